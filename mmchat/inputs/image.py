"""Pictures at the door: a path, bytes or a PIL picture becomes upright RGB, or one line says why not."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmchat.errors import ImageError
from mmchat.inputs.files import check_size, read_file

MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
)
"""What Pillow's plugins raise when bytes are not what their header promised."""


@dataclass(frozen=True, eq=False)
class ImagePart:
    """A picture in a message.

    Attributes:
        image: RGB, loaded, turned upright.
        name: what a receipt calls it.
        note: something that the person should know, such as "first frame of 12".
    """

    image: Image.Image
    name: str = "picture"
    note: str | None = None

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of the size and the pixels."""
        width, height = self.image.size
        return hashlib.sha256(f"{width}x{height}:".encode() + self.image.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImagePart):
            return NotImplemented
        return (self.name, self.note, self.digest) == (other.name, other.note, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.note, self.digest))

    @classmethod
    def from_pil(cls, image: Image.Image, name: str = "picture") -> ImagePart:
        """A picture that a program holds already; of an animation, the frame it stands at.

        Raises:
            ImageError: no pixels, too many of them, or pixels that cannot be decoded.
        """
        return cls(_upright_rgb(image, name), name)


def load_image(source: Path | bytes, name: str | None = None) -> ImagePart:
    """Read a picture from a file or from a file's bytes.

    Args:
        source: anything Pillow decodes: PNG, JPEG, WebP, GIF, BMP, TIFF ...
        name: what receipts call it; a path's own last part if not given.

    Raises:
        ImageError: missing, a folder, empty, not a picture, damaged, or over MAX_FILE_BYTES or MAX_PIXELS;
            the pixels are counted in the header, before anything is decoded.
    """
    if isinstance(source, Path):
        label = str(source)
        data = read_file(source, kind="a picture", limit=MAX_FILE_BYTES, error=ImageError)
    else:
        label = "picture" if name is None else name
        data = source
        check_size(data, label, kind="a picture", limit=MAX_FILE_BYTES, error=ImageError)
    if name is None:
        name = source.name if isinstance(source, Path) else label
    image = _open(data, label)
    frames = _count_frames(image, label)
    return ImagePart(_upright_rgb(image, label), name, f"first frame of {frames}" if frames > 1 else None)


def _open(data: bytes, label: str) -> Image.Image:
    """Read the header only."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that we refuse ourselves.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as reason:
        raise _too_many_pixels(label) from reason
    except UnidentifiedImageError as reason:
        raise ImageError(
            f"{label}: not a picture that I can read; give a PNG, JPEG, WebP, GIF, BMP or TIFF"
        ) from reason
    except DECODER_ERRORS as reason:
        raise _damaged(label) from reason


def _count_frames(image: Image.Image, label: str) -> int:
    """Frames of an animation, left at the first. The extra pictures in a phone's MPO are no animation."""
    if image.format == "MPO":
        return 1
    try:
        frames = int(getattr(image, "n_frames", 1))
        image.seek(0)
    except DECODER_ERRORS as reason:
        raise _damaged(label) from reason
    return frames


def _upright_rgb(image: Image.Image, label: str) -> Image.Image:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{label}: the picture has no pixels")
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(label)
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except DECODER_ERRORS as reason:
        raise _damaged(label) from reason


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale deep grey to 8 bits; Pillow's own conversion would clip it at 255.

    Pillow hands 16-bit files over as `I;16…` or as `I`: white is 65535, or the peak where that is larger. In
    floating-point pixels, white is the first of 1, 255, 65535 and the peak that nothing exceeds.
    """
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    peak = float(pixels.max())
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((level for level in usual if peak <= level), peak)
    return Image.fromarray(np.rint(pixels.clip(0, white) * (255 / white)).astype(np.uint8))


def _too_many_pixels(label: str) -> ImageError:
    return ImageError(f"{label}: the picture has more than {MAX_PIXELS // 10**6} million pixels; give a smaller one")


def _damaged(label: str) -> ImageError:
    return ImageError(f"{label}: the picture is damaged or cut short")
