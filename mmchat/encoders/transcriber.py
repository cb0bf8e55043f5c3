"""A whole Whisper, which writes down what it hears: ears for a model that has none."""

from __future__ import annotations

import threading
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
import whisper
from whisper.model import Whisper

from mmchat.errors import AudioError, CheckpointError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.messages import Message, Part, TextPart

_REMEMBERED_CLIPS = 64


def load_whisper(source: str, device: torch.device) -> Whisper:
    """A whole Whisper.

    Args:
        source: a file in openai-whisper's own format, or a name of `whisper.available_models()`, downloaded when it is
            first used.
        device: where its weights go.

    Raises:
        CheckpointError: there is no such file or name, it is not a Whisper, or it cannot be downloaded.
    """
    if not Path(source).is_file() and source not in whisper.available_models():
        names = ", ".join(whisper.available_models())
        raise CheckpointError(f"no Whisper {source!r}: give a file of openai-whisper, or one of {names}")
    try:
        return whisper.load_model(source, device=device)
    except Exception as error:  # what a damaged file or a lost connection raises is not said anywhere
        told = shorten(f"{type(error).__name__}: {error}", 150, placeholder=" …")
        raise CheckpointError(f"cannot load the Whisper {source}: {told}") from error


class Transcriber:
    """Whisper's encoder and decoder, greedy, in windows of 30 s to the clip's end."""

    def __init__(self, model: Whisper, name: str) -> None:
        self.name = name
        self._model = model.eval()
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()  # openai-whisper hangs a decoding's cache on the model itself

    @classmethod
    def load(cls, source: str, device: torch.device) -> Transcriber:
        """Load the weights.

        Raises:
            CheckpointError: as for `load_whisper`.
        """
        return cls(load_whisper(source, device), Path(source).stem)

    def transcribe(self, part: AudioPart) -> str:
        """What is said in a clip; clips heard lately are remembered.

        Raises:
            AudioError: nothing is said in it.
        """
        with self._lock:
            if part.digest not in self._known:
                while len(self._known) >= _REMEMBERED_CLIPS:
                    del self._known[next(iter(self._known))]
                self._known[part.digest] = self._heard(part.waveform)
            text = self._known[part.digest]
        if not text:
            raise AudioError(f"{part.name}: {self.name} hears no speech in it")
        return text

    def written(self, message: Message) -> Message:
        """The message with its clips written down, each where it stood.

        Raises:
            AudioError: as for `transcribe`.
        """
        parts: list[Part] = []
        for index, part in enumerate(message.content):
            if isinstance(part, AudioPart):
                before, after = " " * (index > 0), " " * (index + 1 < len(message.content))
                parts.append(TextPart(f"{before}{self.transcribe(part)}{after}"))
            else:
                parts.append(part)
        return Message(message.role, tuple(parts))

    def _heard(self, waveform: np.ndarray) -> str:
        half = next(self._model.parameters()).device.type == "cuda"
        return str(whisper.transcribe(self._model, waveform, temperature=0.0, fp16=half)["text"]).strip()
