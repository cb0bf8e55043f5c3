"""Pictures of one colour and clips of one pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.inputs.audio import SAMPLE_RATE
from tests.evaluation.watcher import COLOURS, PITCHES


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder with red.png, green.png, blue.png, low.wav and high.wav, and no rows yet."""
    for colour, rgb in COLOURS.items():
        Image.new("RGB", (8, 8), rgb).save(tmp_path / f"{colour}.png")
    for pitch, hertz in PITCHES.items():
        samples = np.sin(2 * np.pi * hertz * np.arange(4800) / SAMPLE_RATE) * 0.5
        soundfile.write(tmp_path / f"{pitch}.wav", samples, SAMPLE_RATE)
    return tmp_path
