"""What a loaded model says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmchat.config import Modality

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
