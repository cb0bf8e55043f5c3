"""Pictures and clips named on the command line, in the order in which the person named them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from mmchat.inputs.audio import AudioPart
    from mmchat.inputs.image import ImagePart

_ORDER = "mmchat.order"


class MediaCommand(TyperCommand):
    """A command that remembers the order of its options.

    The parser collects the values of `--image` and of `--audio` apart, so that `-i a.png -b b.wav -i c.png` would come
    out as two pictures, then a clip. Its third result, the options in the order they were met, keeps what is needed.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, and keep the names of the options as they came."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def media_in_order(
    ctx: typer.Context, image: Sequence[Path] | None, audio: Sequence[Path] | None
) -> tuple[ImagePart | AudioPart, ...]:
    """Read the files of `--image` and `--audio` in the order of the command line.

    Raises:
        ImageError, AudioError: a file cannot be read.
    """
    from mmchat.inputs.audio import load_audio
    from mmchat.inputs.image import load_image

    pictures, clips = iter(image or ()), iter(audio or ())
    parts: list[ImagePart | AudioPart] = []
    for name in ctx.meta[_ORDER]:
        if name == "image":
            parts.append(load_image(next(pictures)))
        elif name == "audio":
            parts.append(load_audio(next(clips)))
    return tuple(parts)
