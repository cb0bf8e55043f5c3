"""Which of an image tower's features are used."""

from __future__ import annotations

from dataclasses import dataclass

from mmchat.config import ImageEncoderConfig
from mmchat.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """Where the features are that a configuration asks for."""

    number: int
    """Of the stage, from 0."""
    width: int
    """Of a feature."""
    stride: int
    """Pixels from one feature to the next."""
    prefix: int = 0
    """Tokens that stand before them, and are of no place."""


def stage_number(config: ImageEncoderConfig, depth: int) -> int:
    """The stage whose features are used, counted from 0.

    Args:
        config: counts it as a Python index.
        depth: how many stages the tower has.

    Raises:
        ConfigError: it has no such stage.
    """
    if not -depth <= config.feature_layer < depth:
        raise ConfigError(
            f"image_encoder.feature_layer: the tower has {depth} stages, there is no stage {config.feature_layer}"
        )
    return config.feature_layer % depth
