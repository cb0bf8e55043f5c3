"""The sample files in `assets/`: what they are, and that the script beside them still draws them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.inputs.audio import SAMPLE_RATE, load_audio
from mmchat.inputs.image import load_image

ASSETS = Path(__file__).parents[1] / "assets"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_samples", ASSETS / "draw_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cat", "carrot", "sailboat"])
def test_pictures_are_what_the_script_draws(script: ModuleType, name: str, tmp_path: Path) -> None:
    """Near enough: another pillow may smooth an edge a little differently."""
    getattr(script, f"draw_{name}")().save(tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn:
        difference = np.asarray(drawn, float) - np.asarray(load_image(ASSETS / f"{name}.png").image, float)
    assert np.abs(difference).mean() < 0.5


def test_the_question_is_a_short_clip_at_16_khz() -> None:
    info = soundfile.info(ASSETS / "question.wav")
    assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    assert 1.0 <= load_audio(ASSETS / "question.wav").seconds <= 1.5


def test_every_sample_has_a_line_of_provenance() -> None:
    text = (ASSETS / "README.md").read_text()
    samples = [path.name for path in ASSETS.iterdir() if path.suffix in (".png", ".wav")]
    assert samples
    assert [name for name in samples if f"`{name}`" not in text] == []
