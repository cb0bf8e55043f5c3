"""Random views of pictures: what still shows the same things, seen a little differently.

B pictures, S side in pixels, R regions
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SHIFT = 0.12  # of half the side
_GREY_SHARE = 0.1


@dataclass(frozen=True)
class Views:
    """How each picture of a batch is looked at; drawn on the CPU, used on any device."""

    turns: Tensor
    """(B, 2, 3): where in the picture a point of the view lies, both in -1..1 (Spatial Transformers, 2015, eq. 1)."""
    saturation: Tensor
    contrast: Tensor
    brightness: Tensor
    """(B, 1, 1, 1) each."""

    def of(self, pixels: Tensor) -> Tensor:
        """The views of (B, 3, S, S) pixels in 0..1; beyond the edge it is repeated. Channels last in memory."""
        device = pixels.device
        with torch.autocast(device.type, enabled=False):  # places in a picture need more than bfloat16's 8 bits
            grid = F.affine_grid(self.turns.to(device), list(pixels.shape), align_corners=False)
        views = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        grey = views.mean(1, keepdim=True)
        views = grey + (views - grey) * self.saturation.to(device)
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
        scale = torch.linalg.det(back).sqrt()
        centres, sizes = (moved + 1) / 2, sizes * scale[:, None]
        return torch.cat([centres - sizes / 2, centres + sizes / 2], 1).clamp(0, 1)


def draw_views(count: int, generator: torch.Generator, *, grey: bool = False) -> Views:
    """Views that leave what is said of `count` pictures true: shifted, scaled, turned a little, in another light.

    Pictures are never mirrored, for captions say left and right, and their hue stays, for they say colours.

    Args:
        count: B.
        generator: all randomness comes from it.
        grey: whether a tenth of the views may lose their colours too.
    """

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *size, generator=generator)

    angle, scale = 0.1 * torch.randn(count, generator=generator), uniform(0.85, 1.15)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    shift = uniform(-_SHIFT, _SHIFT, 2)
    saturation = uniform(0.7, 1.3, 1, 1, 1)
    if grey:
        saturation = saturation * (uniform(0, 1, 1, 1, 1) >= _GREY_SHARE)
    return Views(
        turns=torch.stack([cos, sin, shift[:, 0], -sin, cos, shift[:, 1]], 1).view(count, 2, 3),
        saturation=saturation,
        contrast=uniform(0.75, 1.25, 1, 1, 1),
        brightness=uniform(-0.1, 0.1, 1, 1, 1),
    )
