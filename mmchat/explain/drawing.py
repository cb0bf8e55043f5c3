"""Heat maps as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mmchat.explain.heat import Heat, Media
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart

_WIDTH = 512
_TRACK = 128  # height of a clip
_GAP = 8
_RED = np.array([214, 40, 40], dtype=np.float64)
_BLUE = np.array([30, 80, 220], dtype=np.float64)
_LEAST_NATS = 1.0  # what changes less is pale, even where nothing changes more
_LEAST_SHARE = 0.01  # of attention, likewise
_STRONGEST = 0.75  # how much of the colour covers what has most


def draw(hidden: Sequence[Heat], attended: Sequence[Heat] = ()) -> Image.Image:
    """All pictures and clips below each other: what `occlusion` found in red, and to the right `attention` in blue.

    On one scale each: the more of its colour, the more an answer depends on a part, or attends to it.
    """
    sheets = [_sheet(hidden, _LEAST_NATS, _RED)]
    if attended:
        sheets.append(_sheet(attended, _LEAST_SHARE, _BLUE))
    both = Image.new("RGB", ((_WIDTH + _GAP) * len(sheets) - _GAP, max(sheet.height for sheet in sheets)), "white")
    for index, sheet in enumerate(sheets):
        both.paste(sheet, ((_WIDTH + _GAP) * index, 0))
    return both


def _sheet(heats: Sequence[Heat], least: float, colour: np.ndarray) -> Image.Image:
    strongest = max(least, *(float(heat.values.max()) for heat in heats))
    panels = [_panel(heat.part, np.clip(heat.values / strongest, 0, 1), colour) for heat in heats]
    height = sum(panel.height for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (_WIDTH, height), "white")
    top = 0
    for panel in panels:
        sheet.paste(panel, (0, top))
        top += panel.height + _GAP
    return sheet


def _panel(part: Media, shares: np.ndarray, colour: np.ndarray) -> Image.Image:
    """A picture or clip under the shares, 0 to 1, that its parts have in the strongest."""
    return _picture(part, shares, colour) if isinstance(part, ImagePart) else _clip(part, shares, colour)


def _picture(part: ImagePart, shares: np.ndarray, colour: np.ndarray) -> Image.Image:
    image = part.image
    size = (_WIDTH, max(1, round(image.height * _WIDTH / image.width)))
    pixels = np.asarray(image.resize(size), dtype=np.float64)
    small = Image.fromarray((shares * 255).astype(np.uint8))
    cover = np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)[..., None] / 255 * _STRONGEST
    grey = pixels.mean(-1, keepdims=True) * 0.5 + pixels * 0.5
    return Image.fromarray((grey * (1 - cover) + colour * cover).round().astype(np.uint8))


def _clip(part: AudioPart, shares: np.ndarray, colour: np.ndarray) -> Image.Image:
    waveform = part.waveform
    panel = Image.new("RGB", (_WIDTH, _TRACK), "white")
    drawing = ImageDraw.Draw(panel)
    for index, share in enumerate(shares):
        left, right = _WIDTH * index // len(shares), _WIDTH * (index + 1) // len(shares)
        fill = tuple((255 * (1 - share * _STRONGEST) + colour * share * _STRONGEST).round().astype(int).tolist())
        drawing.rectangle((left, 0, right, _TRACK), fill=fill)
    peak = max(float(np.abs(waveform).max()), 1e-9)
    for column in range(_WIDTH):
        piece = waveform[len(waveform) * column // _WIDTH : len(waveform) * (column + 1) // _WIDTH]
        if len(piece):
            half = float(np.abs(piece).max()) / peak * (_TRACK / 2 - 4)
            drawing.line((column, _TRACK / 2 - half, column, _TRACK / 2 + half), fill=(40, 40, 40))
    drawing.text((4, _TRACK - 14), f"{len(waveform) / SAMPLE_RATE:.1f} s", fill=(40, 40, 40))
    return panel
