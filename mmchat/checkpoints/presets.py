"""Public checkpoints with a short name: `configs/models/NAME.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

_BFLOAT16_BYTES = 2


class Preset(BaseModel):
    """What there is to know of a checkpoint before it is downloaded; facts of its model card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """On the hub."""
    about: str
    takes: tuple[Literal["pictures", "voice"], ...]
    """Beside text."""
    parameters: float
    """Number of weights, those of the checkpoints that it names included."""
    licence: str
    gated: str | None = None
    """The checkpoint whose licence has to be accepted on the hub first."""

    @property
    def needed_bytes(self) -> int:
        """Memory for its weights in bfloat16."""
        return round(self.parameters * _BFLOAT16_BYTES)


@cache
def presets() -> dict[str, Preset]:
    """All presets by their short name."""
    files = sorted(presets_folder().glob("*.yaml"))
    return {path.stem: Preset.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files}


def presets_folder() -> Path:
    """Where their files are."""
    package = Path(__file__).resolve().parents[1]
    places = (package / "configs" / "models", package.parent / "configs" / "models")  # in a wheel, in a source checkout
    return next((place for place in places if place.is_dir()), places[0])
