"""`mmchat info` and `mmchat doctor`: whole transcripts."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest
from fake_assistant import FakeAssistant, Run, Screen

from mmchat.cli import console, doctor, info
from mmchat.errors import CheckpointError

VERSIONS = {"mmchat": "0.1.0", "python": "3.12.0", "torch": "2.9.0"}


@pytest.fixture(autouse=True)
def _fixed_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "versions", lambda: VERSIONS)
    monkeypatch.setattr(doctor, "versions", lambda: VERSIONS)
    monkeypatch.setattr(doctor, "MODULES", ("json",))


def test_info(fake: FakeAssistant, run: Run) -> None:
    assert run("info", "--device", "cpu") == Screen(
        0,
        "model              fake\n"
        "folder             assets/fake\n"
        "knows              cats and cups\n"
        "parameters         1,234,000: decoder 1,200,000, image encoder 34,000\n"
        "context            512 tokens\n"
        "a picture          9 tokens\n"
        "a second of voice  6.25 tokens\n"
        "device             cpu, float32\n"
        "versions           mmchat 0.1.0, python 3.12.0, torch 2.9.0\n",
        "",
    )
    assert fake.loaded == [(None, "cpu", "auto", None, None)]


def test_info_as_json(fake: FakeAssistant, run: Run) -> None:
    assert json.loads(run("info", "--json").out) == {
        "name": "fake",
        "path": "assets/fake",
        "knows": "cats and cups",
        "parameters": {"decoder": 1_200_000, "image_encoder": 34_000},
        "context": 512,
        "device": "cpu",
        "dtype": "float32",
        "quantization": None,
        "tokens_per_image": 9,
        "tokens_per_second": 6.25,
        "transcriber": None,
        "versions": VERSIONS,
    }


AUDIO_ROWS = (
    "ok     audio: WAV         1.00 s, 440 Hz\n"
    "ok     audio: FLAC        1.00 s, 440 Hz\n"
    "ok     audio: OGG         1.00 s, 440 Hz\n"
    "ok     audio: MP3         1.00 s, 440 Hz\n"
)
PACKAGES_ROW = "ok     packages           mmchat 0.1.0, python 3.12.0, torch 2.9.0\n"


def test_doctor_finds_all_well(fake: FakeAssistant, run: Run) -> None:
    assert run("doctor") == Screen(
        0,
        f"{PACKAGES_ROW}{AUDIO_ROWS}"
        "ok     model              fake\n"
        "ok     checkpoint         8 files are as they were saved\n"
        "ok     encoders           a picture: 9 tokens; a second of voice: 6.25 tokens\n"
        "ok     device             cpu, float32\n"
        "ok     pictures are used  with another image the logits move by 1\n"
        "ok     voice is used      with another audio the logits move by 1\n",
        "",
    )


def test_doctor_names_what_failed(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.moved = 0.0
    fake.damage = CheckpointError("decoder.safetensors is not the file that was saved")
    real_import = importlib.import_module

    def without_gradio(name: str) -> ModuleType:
        if name == "gradio":
            raise ModuleNotFoundError("No module named 'gradio'")
        return real_import(name)

    monkeypatch.setattr(doctor, "MODULES", ("json", "gradio"))
    monkeypatch.setattr(importlib, "import_module", without_gradio)
    assert run("doctor") == Screen(
        1,
        "failed packages           ModuleNotFoundError: No module named 'gradio'\n"
        f"{AUDIO_ROWS}"
        "ok     model              fake\n"
        "failed checkpoint         decoder.safetensors is not the file that was saved\n"
        "ok     encoders           a picture: 9 tokens; a second of voice: 6.25 tokens\n"
        "ok     device             cpu, float32\n"
        "failed pictures are used  another image gives the same answer: the logits moved by 0\n"
        "failed voice is used      another audio gives the same answer: the logits moved by 0\n",
        "mmchat: 4 checks failed\n",
    )


def test_doctor_without_a_model_checks_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: str | None) -> FakeAssistant:
        raise CheckpointError("nope is no model")

    monkeypatch.setattr(console, "load_assistant", missing)
    assert run("doctor", "--model", "nope") == Screen(
        1, f"{PACKAGES_ROW}{AUDIO_ROWS}failed model              nope is no model\n", "mmchat: 1 check failed\n"
    )


def test_doctor_goes_on_without_encoders(fake: FakeAssistant, run: Run) -> None:
    fake.blind = CheckpointError("image_encoder.safetensors is malformed")
    assert run("doctor") == Screen(
        1,
        f"{PACKAGES_ROW}{AUDIO_ROWS}"
        "ok     model              fake\n"
        "ok     checkpoint         8 files are as they were saved\n"
        "failed encoders           image_encoder.safetensors is malformed\n",
        "mmchat: 1 check failed\n",
    )


def test_doctor_hears_a_wrong_tone(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FORMATS", ("WAV",))
    monkeypatch.setattr(doctor, "TONE_HZ", 880.0)
    assert "ok     audio: WAV         1.00 s, 880 Hz\n" in run("doctor").out
    monkeypatch.setattr(np, "sin", np.cos)
    assert "ok     audio: WAV" in run("doctor").out
    monkeypatch.setattr(np, "sin", lambda phase: np.cos(phase / 2))
    assert "failed audio: WAV         1.00 s of 880 Hz came back as 1.00 s of 440 Hz\n" in run("doctor").out


def test_made_media_differ_from_what_they_are_exchanged_for() -> None:
    picture = np.asarray(doctor.drawn_picture().image).astype(int)
    assert np.abs(picture - (255 - picture)).mean() > 50
    clip = doctor.rising_tone()
    assert clip.seconds == pytest.approx(2.0)
    assert np.abs(clip.waveform - clip.waveform[::-1]).mean() > 0.1


def test_versions_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(info, "PACKAGES", ("torch", "no-such-package"))
    found = info.versions()
    assert found["no-such-package"] == "not installed"
    assert found["torch"][0].isdigit()
