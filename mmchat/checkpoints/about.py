"""What a loaded model says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmchat.config import Modality
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart

_MOVED = 1e-3


@dataclass(frozen=True)
class AssistantInfo:
    """What `mmchat info` shows."""

    name: str
    path: Path
    knows: str
    parameters: dict[str, int]
    context: int
    device: str
    dtype: str
    quantization: str | None
    tokens_per_image: int | None
    tokens_per_second: float | None
    transcriber: str | None
    """The Whisper whose transcript takes the place of a clip."""


@dataclass(frozen=True)
class MediaCheck:
    """Outcome of the self-test that media is used."""

    kind: Modality
    moved: float
    """The largest change of a logit when the picture or clip is exchanged for another."""

    @property
    def ok(self) -> bool:
        """Whether the logits moved by more than rounding would move them."""
        return self.moved > _MOVED


def any_picture() -> ImagePart:
    """To ask what a picture costs."""
    return ImagePart.from_pil(Image.new("RGB", (64, 64)))


def any_clip(seconds: float) -> AudioPart:
    """To ask what voice costs."""
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)
    return AudioPart.from_waveform(samples, SAMPLE_RATE)
