"""Clips written down by a toy Whisper, beside whisper.transcribe on the same weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from mmchat.encoders.transcriber import Transcriber
from mmchat.errors import AudioError, CheckpointError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.messages import Message, TextPart

CPU = torch.device("cpu")
TOY = ModelDimensions(
    n_mels=80, n_audio_ctx=1500, n_audio_state=8, n_audio_head=1, n_audio_layer=1,
    n_vocab=51864, n_text_ctx=16, n_text_state=8, n_text_head=1, n_text_layer=1,
)  # fmt: skip


def clip(seed: int, seconds: float = 1.0) -> AudioPart:
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    return AudioPart.from_waveform(noise.astype(np.float32), SAMPLE_RATE)


@pytest.fixture(scope="module")
def toy() -> Whisper:
    torch.manual_seed(0)
    model = Whisper(TOY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5)
    return model


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whisper says how long a clip is, in words; the lengths it was given."""
    lengths: list[int] = []

    def transcribe(model: Whisper, waveform: np.ndarray, **_: Any) -> dict[str, str]:
        lengths.append(len(waveform))
        return {"text": f" {len(waveform)} samples" if np.abs(waveform).max() > 0.05 else ""}

    monkeypatch.setattr(whisper, "transcribe", transcribe)
    return lengths


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # openai-whisper forgets to close its vocabulary
def test_a_transcript_is_that_of_whisper(toy: Whisper) -> None:
    theirs = whisper.transcribe(toy, clip(0).waveform, temperature=0.0, fp16=False)["text"].strip()
    assert theirs
    assert Transcriber(toy, "toy").transcribe(clip(0)) == theirs


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_file_of_whisper_is_loaded(toy: Whisper, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"dims": asdict(toy.dims), "model_state_dict": toy.state_dict()}, path)
    loaded = Transcriber.load(str(path), CPU)
    assert loaded.name == "mine"
    assert loaded.transcribe(clip(0)) == Transcriber(toy, "toy").transcribe(clip(0))


def test_all_of_a_long_clip_is_given_to_whisper(toy: Whisper, said: list[int]) -> None:
    assert Transcriber(toy, "toy").transcribe(clip(0, 75)) == f"{75 * SAMPLE_RATE} samples"


def test_a_clip_is_heard_once(toy: Whisper, said: list[int]) -> None:
    transcriber = Transcriber(toy, "toy")
    for seed in (0, 1, 0, 0):
        transcriber.transcribe(clip(seed))
    assert len(said) == 2
    for seed in range(2, 70):
        transcriber.transcribe(clip(seed, 0.1))
    assert len(transcriber._known) == 64


def test_a_transcript_stands_where_its_clip_stood(toy: Whisper, said: list[int]) -> None:
    message = Message.user("first", clip(0), "then", clip(1, 2))
    assert Transcriber(toy, "toy").written(message) == Message(
        "user",
        (TextPart("first"), TextPart(" 16000 samples "), TextPart("then"), TextPart(" 32000 samples")),
    )
    alone = Message.user(clip(0))
    assert Transcriber(toy, "toy").written(alone) == Message("user", (TextPart("16000 samples"),))


def test_silence_is_no_sentence(toy: Whisper, said: list[int]) -> None:
    hum = 0.02 * np.sin(np.arange(SAMPLE_RATE) / 20)
    quiet = AudioPart.from_waveform(hum.astype(np.float32), SAMPLE_RATE, name="quiet.wav")
    with pytest.raises(AudioError, match=r"quiet\.wav: toy hears no speech in it"):
        Transcriber(toy, "toy").transcribe(quiet)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(CheckpointError, match=r"no Whisper 'enormous': give a file .* or one of tiny\.en,"):
        Transcriber.load("enormous", CPU)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"cannot load the Whisper .*mine\.pt: ") as caught:
        Transcriber.load(str(tmp_path / "mine.pt"), CPU)
    assert "\n" not in str(caught.value)
