"""Random views of pictures: what still shows the same things, seen a little differently.

B pictures, S side in pixels, R regions
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

_SHIFT = 0.12  # of half the side
_GREY_SHARE = 0.1
_RECOLOURED_SHARE = 0.4
_REDRAWN_SHARE = 0.3
_STRENGTH_ANEW = 0.5  # white is not to become grey


@dataclass(frozen=True)
class Views:
    """How each picture of a batch is looked at; drawn on the CPU, used on any device."""

    turns: Tensor
    """(B, 2, 3): where in the picture a point of the view lies, both in -1..1 (Spatial Transformers, 2015, eq. 1)."""
    colours: Tensor
    """(B, 3, 3): each colour of the view as a mixture of red, green and blue of the picture."""
    strokes: Tensor
    """(B, 1, 3, 3): what each point takes of its neighbours: sharper, softer or embossed edges."""
    contrast: Tensor
    brightness: Tensor
    """(B, 1, 1, 1) each."""

    def within(self, boxes: Tensor) -> Views:
        """The same views of a square around each of (B, 4) boxes in 0..1 instead of the whole picture."""
        centres = boxes.view(-1, 2, 2).mean(1) * 2 - 1  # B, 2 in -1..1
        halves = (boxes[:, 2:] - boxes[:, :2]).amax(1)  # B: of the side of the square, in -1..1
        turns = halves[:, None, None] * self.turns
        return replace(self, turns=torch.cat([turns[:, :, :2], turns[:, :, 2:] + centres[:, :, None]], 2))

    def of(self, pixels: Tensor, side: int | None = None) -> Tensor:
        """The views of (B, 3, S, S) pixels in 0..1; beyond the edge it is repeated. Channels last in memory.

        Args:
            pixels: the pictures.
            side: pixels a side of a view, S unless given.
        """
        device = pixels.device
        shape = [*pixels.shape[:2], *([side, side] if side else pixels.shape[2:])]
        with torch.autocast(device.type, enabled=False):  # places in a picture need more than bfloat16's 8 bits
            grid = F.affine_grid(self.turns.to(device), shape, align_corners=False)
            views = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
            views = torch.einsum("bij,bjhw->bihw", self.colours.to(device), views)
            views = self._redrawn(views)
        views = (views - 0.5) * self.contrast.to(device) + 0.5 + self.brightness.to(device)
        return views.clamp(0, 1).contiguous(memory_format=torch.channels_last)

    def of_boxes(self, boxes: Tensor, owners: Tensor) -> Tensor:
        """Where (R, 4) boxes of pictures `owners` (R,) lie in the views: left, top, right, bottom in 0..1.

        A box is moved and scaled with its picture but stays upright.
        """
        turns = self.turns[owners]
        centres = boxes.view(-1, 2, 2).mean(1) * 2 - 1  # R, 2 in -1..1
        sizes = boxes[:, 2:] - boxes[:, :2]
        back = torch.linalg.inv(turns[:, :, :2])  # R, 2, 2
        with torch.autocast(boxes.device.type, enabled=False):
            moved = (back @ (centres - turns[:, :, 2]).unsqueeze(-1)).squeeze(-1)
        sizes = sizes * back.square().sum(2).sqrt()  # a side is as long as the row that makes it
        centres = (moved + 1) / 2
        return torch.cat([centres - sizes / 2, centres + sizes / 2], 1).clamp(0, 1)

    def _redrawn(self, views: Tensor) -> Tensor:
        """`strokes` over the views that have them."""
        chosen = (self.strokes != _as_drawn(1)).flatten(1).any(1).nonzero().flatten().to(views.device)
        if len(chosen) == 0:
            return views
        kernels = self.strokes.to(views.device)[chosen].repeat_interleave(3, 0)  # 3 colours of each
        around = F.pad(views[chosen], (1, 1, 1, 1), mode="replicate")
        drawn = F.conv2d(around.view(1, -1, *around.shape[2:]), kernels, groups=len(kernels))
        return views.index_copy(0, chosen, drawn.view(len(chosen), *views.shape[1:]))


def draw_views(count: int, generator: torch.Generator, strength: float = 1.0) -> Views:
    """Views that leave what is said of `count` pictures true: shifted, scaled, turned a little, in another light.

    Pictures are never mirrored, for captions say left and right, and their hue stays, for they say colours.

    Args:
        count: B.
        generator: all randomness comes from it.
        strength: how far sizes, angles and colours go; places go as far as ever.
    """
    draw = _Draw(count, generator)

    def about(middle: float, reach: float, *size: int) -> Tensor:
        return draw.uniform(middle - strength * reach, middle + strength * reach, *size)

    angle, scale = 0.1 * strength * draw.normal(), about(1, 0.15)
    return Views(
        turns=draw.turns(angle, torch.stack([scale, scale], 1)),
        colours=_saturated(torch.eye(3), about(1, 0.3)),
        strokes=_as_drawn(count),
        contrast=about(1, 0.25, 1, 1, 1),
        brightness=about(0, 0.1, 1, 1, 1),
    )


def seen_anew(image: Image.Image, rng: random.Random) -> Image.Image:
    """An RGB picture in a view that leaves true what is said of it, the names of its colours among that.

    Its strokes may be others, so that a tower that learns in this stage keeps seeing past the hand that drew.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    views = draw_views(1, generator, _STRENGTH_ANEW)
    views = replace(views, strokes=_Draw(1, generator).strokes())
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255  # 1, 3, H, W
    view = views.of(pixels)[0].permute(1, 2, 0)
    return Image.fromarray((view * 255).round().byte().numpy())


def draw_free_views(mirrored: Tensor, generator: torch.Generator) -> Views:
    """Views in which things keep their names and nothing else, as if another hand had drawn them.

    Half of those that may be are mirrored; all are turned and stretched more; some have other hues or none, some other
    strokes.

    Args:
        mirrored: (B,) bools: whether the picture may be mirrored, which turns a left arrow into a right one.
        generator: all randomness comes from it.
    """
    count = len(mirrored)
    draw = _Draw(count, generator)
    scale = draw.uniform(0.75, 1.2, 1) * draw.uniform(-0.2, 0.2, 2).exp()
    scale[:, 0] *= 1 - 2 * (mirrored & draw.share(0.5))
    hues = 0.2 * draw.normal(3, 3) * draw.share(_RECOLOURED_SHARE)[:, None, None]
    hues = torch.eye(3) + hues - hues.mean(2, keepdim=True)  # grey stays grey
    return Views(
        turns=draw.turns(0.2 * draw.normal(), scale),
        colours=_saturated(hues, draw.uniform(0.6, 1.4) * ~draw.share(_GREY_SHARE)),
        strokes=draw.strokes(),
        contrast=draw.uniform(0.6, 1.3, 1, 1, 1),
        brightness=draw.uniform(-0.15, 0.15, 1, 1, 1),
    )


@dataclass(frozen=True)
class _Draw:
    """Random numbers for each of `count` views."""

    count: int
    generator: torch.Generator

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(self.count, *size, generator=self.generator)

    def normal(self, *size: int) -> Tensor:
        return torch.randn(self.count, *size, generator=self.generator)

    def share(self, share: float) -> Tensor:
        """(B,) bools, of which `share` are true."""
        return self.uniform(0, 1) < share

    def strokes(self) -> Tensor:
        """(B, 1, 3, 3): some as another hand would have drawn them (after Xu et al. 2021, random convolutions against
        the style of a picture).
        """
        strokes = 0.35 * self.normal(1, 3, 3)
        strokes = strokes - strokes.mean((2, 3), keepdim=True)  # plain areas keep their colour
        return _as_drawn(self.count) + strokes * self.share(_REDRAWN_SHARE)[:, None, None, None]

    def turns(self, angle: Tensor, scale: Tensor) -> Tensor:
        """(B, 2, 3) from (B,) angles in radians, (B, 2) scales across and down, and random shifts."""
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2) / scale[:, None]
        return torch.cat([turn, self.uniform(-_SHIFT, _SHIFT, 2)[:, :, None]], 2)


def _saturated(colours: Tensor, saturation: Tensor) -> Tensor:
    """(B, 3, 3) mixtures of which all three are brought nearer to their mean, a grey, or farther from it."""
    grey = colours.mean(-2, keepdim=True)
    return grey + (colours - grey) * saturation[:, None, None]


def _as_drawn(count: int) -> Tensor:
    """(B, 1, 3, 3): each point as it is."""
    kernel = torch.zeros(count, 1, 3, 3)
    kernel[:, :, 1, 1] = 1
    return kernel
