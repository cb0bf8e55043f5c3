"""Pictures of any size as squares; the ways of CLIP, LLaVA and SigLIP beside transformers' own processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.encoders.resize import fit, part_seen

SIDE = 56
SIZES = [(56, 56), (640, 480), (301, 517), (57, 56), (20, 9), (1000, 40)]


def config(resize: str, **changes: Any) -> ImageEncoderConfig:
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 14, "image_size": SIDE}
    return ImageEncoderConfig.model_validate({"vision": vision, "embed_dim": 16, "resize": resize, **changes})


def picture(size: tuple[int, int]) -> Image.Image:
    """Coarse and fine structure, so that any other filter or offset shows."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    waves = [128 + 90 * np.sin(x * 2 + channel) * np.cos(y * (channel + 1)) for channel in range(3)]
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    return Image.fromarray((np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8))


SQUARE = {"height": SIDE, "width": SIDE}
HALF = (0.5, 0.5, 0.5)
REFERENCES: dict[str, tuple[Any, dict[str, Any]]] = {
    "crop": (CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE), {}),
    "pad": (LlavaImageProcessorPil(do_pad=True, size={"shortest_edge": SIDE}, crop_size=SQUARE), {}),
    "stretch": (SiglipImageProcessorPil(size=SQUARE, resample=3), {"mean": HALF, "std": HALF}),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("resize", REFERENCES)
def test_pixels_are_those_of_the_reference_processor(resize: str, size: tuple[int, int]) -> None:
    processor, changes = REFERENCES[resize]
    chosen = config(resize, **changes)
    theirs = processor(images=picture(size), return_tensors="pt")["pixel_values"]
    ours = ClipImageEncoder(chosen).preprocess([picture(size)])
    scale = min(chosen.std)  # back to shares of full brightness
    assert float((ours - theirs).abs().max()) * scale < 1 / 255


@pytest.mark.parametrize(
    ("resize", "size", "words"),
    [
        ("crop", (640, 480), "its middle 480 × 480 of 640 × 480 pixels"),
        ("crop", (480, 640), "its middle 480 × 480 of 480 × 640 pixels"),
        ("crop", (300, 300), ""),
        ("fit", (640, 480), ""),
        ("pad", (640, 480), ""),
        ("stretch", (640, 480), ""),
    ],
)
def test_what_is_part_seen_is_said(resize: str, size: tuple[int, int], words: str) -> None:
    assert part_seen(Image.new("RGB", size), config(resize)) == words


# Our own way


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert fit(image, 64) is image


@pytest.mark.parametrize("size", [(200, 50), (50, 200), (20, 5)], ids=["wide", "tall", "small"])
def test_the_whole_picture_is_used_and_nothing_cropped(size: tuple[int, int]) -> None:
    """A CLIP of the usual recipe crops the middle; a thing at the end of a wide picture would not be there."""
    pixels = np.full((size[1], size[0], 3), 200, np.uint8)
    pixels[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
    pixels[-(size[1] // 4) :, -(size[0] // 4) :] = (0, 0, 255)
    square = np.asarray(fit(Image.fromarray(pixels), 64)).astype(int)
    assert square.shape == (64, 64, 3)
    top_left, bottom_right = square[:32, :32], square[32:, 32:]
    assert (top_left[..., 0] - top_left[..., 2]).max() > 200
    assert (bottom_right[..., 2] - bottom_right[..., 0]).max() > 200


def test_the_rest_has_the_colour_of_the_border() -> None:
    """Black bars would be a thing in the picture."""
    image = Image.new("RGB", (60, 30), (10, 200, 30))
    image.paste((255, 0, 0), (20, 10, 40, 20))
    square = fit(image, 64)
    assert [square.getpixel(place) for place in [(0, 0), (63, 0), (32, 63)]] == [(10, 200, 30)] * 3
    assert square.getpixel((32, 32)) == (255, 0, 0)
