"""A picture of any size to the square that an image tower reads; each family of checkpoints has a way of its own.

S side of the square in pixels
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from mmchat.config import ImageEncoderConfig

_BICUBIC = Image.Resampling.BICUBIC


def squared(image: Image.Image, config: ImageEncoderConfig) -> Image.Image:
    """An RGB picture as an (S, S) one, in the way of `config.resize`."""
    side = config.image_size
    match config.resize:
        case "fit":
            return fit(image, side)
        case "pad":
            red, green, blue = (int(value * 255) for value in config.mean)
            longest = max(image.size)
            return _laid_on(image, longest, (red, green, blue)).resize((side, side), _BICUBIC)
        case "crop":
            return _middle(image, side)
        case "stretch":
            return image.resize((side, side), _BICUBIC)


def part_seen(image: Image.Image, config: ImageEncoderConfig) -> str:
    """What part of a picture the tower sees, in words; empty when it sees all of it."""
    width, height = image.size
    shortest = min(width, height)
    if config.resize != "crop" or max(width, height) * config.image_size // shortest == config.image_size:
        return ""
    return f"its middle {shortest} × {shortest} of {width} × {height} pixels"


def fit(image: Image.Image, side: int) -> Image.Image:
    """The whole of `image` on a `side` × `side` square, the rest filled with the median colour of its border."""
    if image.size == (side, side):
        return image
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, _BICUBIC, reducing_gap=3.0)
    if size == (side, side):
        return small
    pixels = np.asarray(small)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, axis=0))
    return _laid_on(small, side, (red, green, blue))


def _laid_on(image: Image.Image, side: int, colour: tuple[int, int, int]) -> Image.Image:
    """In the middle of a square of one colour."""
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _middle(image: Image.Image, side: int) -> Image.Image:
    """The shorter side brought to `side`, and of the longer one the middle, as CLIP's own preprocessing has it."""
    shortest = min(image.size)
    width, height = (side if length == shortest else int(side * length / shortest) for length in image.size)
    small = image.resize((width, height), _BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return small.crop((left, top, left + side, top + side))
