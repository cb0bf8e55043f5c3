"""Heat maps as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mmchat.explain.occlusion import Heat, Media
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart

_WIDTH = 512
_TRACK = 128  # height of a clip
_GAP = 8
_HOT = np.array([214, 40, 40], dtype=np.float64)
_LEAST_NATS = 1.0  # what changes less is pale, even where nothing changes more
_STRONGEST = 0.75  # how much of the colour covers what helps most


def draw(heats: Sequence[Heat]) -> Image.Image:
    """All pictures and clips below each other, on one scale; the more an answer depends on a part, the redder it is."""
    strongest = max(_LEAST_NATS, *(float(heat.nats.max()) for heat in heats))
    panels = [_panel(heat.part, np.clip(heat.nats / strongest, 0, 1)) for heat in heats]
    height = sum(panel.height for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (_WIDTH, height), "white")
    top = 0
    for panel in panels:
        sheet.paste(panel, (0, top))
        top += panel.height + _GAP
    return sheet


def _panel(part: Media, shares: np.ndarray) -> Image.Image:
    """A picture or clip under the shares, 0 to 1, that its parts have in the strongest."""
    return _picture(part, shares) if isinstance(part, ImagePart) else _clip(part, shares)


def _picture(part: ImagePart, shares: np.ndarray) -> Image.Image:
    image = part.image
    size = (_WIDTH, max(1, round(image.height * _WIDTH / image.width)))
    pixels = np.asarray(image.resize(size), dtype=np.float64)
    small = Image.fromarray((shares * 255).astype(np.uint8))
    cover = np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)[..., None] / 255 * _STRONGEST
    grey = pixels.mean(-1, keepdims=True) * 0.5 + pixels * 0.5
    return Image.fromarray((grey * (1 - cover) + _HOT * cover).round().astype(np.uint8))


def _clip(part: AudioPart, shares: np.ndarray) -> Image.Image:
    waveform = part.waveform
    panel = Image.new("RGB", (_WIDTH, _TRACK), "white")
    drawing = ImageDraw.Draw(panel)
    for index, share in enumerate(shares):
        left, right = _WIDTH * index // len(shares), _WIDTH * (index + 1) // len(shares)
        colour = tuple((255 * (1 - share * _STRONGEST) + _HOT * share * _STRONGEST).round().astype(int).tolist())
        drawing.rectangle((left, 0, right, _TRACK), fill=colour)
    peak = max(float(np.abs(waveform).max()), 1e-9)
    for column in range(_WIDTH):
        piece = waveform[len(waveform) * column // _WIDTH : len(waveform) * (column + 1) // _WIDTH]
        if len(piece):
            half = float(np.abs(piece).max()) / peak * (_TRACK / 2 - 4)
            drawing.line((column, _TRACK / 2 - half, column, _TRACK / 2 + half), fill=(40, 40, 40))
    drawing.text((4, _TRACK - 14), f"{len(waveform) / SAMPLE_RATE:.1f} s", fill=(40, 40, 40))
    return panel
