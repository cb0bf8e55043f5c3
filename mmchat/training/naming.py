"""Naming: pre-training of the image tower on pictures in which it is known where each thing stands.

The features under the box of a thing are averaged (RoIAlign, He et al. 2017) and a linear head names the thing. One
picture teaches as many names as it has things, and the features learn to say what stands where they are: that is what
the projector hands to the decoder. It comes after the contrastive stage, which would undo half of what is learnt here.

B pictures of a batch, S side in pixels, Dv width of a feature, R regions of a batch, N names in the dataset
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from mmchat.config import ModelConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.encoders.resnet import ResNetTower
from mmchat.errors import ConfigError, DatasetError
from mmchat.training import parallel
from mmchat.training.data import PictureCache, read_rows, shuffled, step_random
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.settings import NamingStage
from mmchat.training.start import start_from
from mmchat.training.views import Views, draw_free_views

_LABEL_SMOOTHING = 0.1
_SAMPLES = 4  # points a side at which RoIAlign reads a box


@dataclass(frozen=True)
class Named:
    """Pictures, how they are looked at, and what stands where in them."""

    pixels: Tensor
    """(B, 3, S, S) bytes."""
    views: Views
    owners: Tensor
    """(R,) which picture a region is of."""
    boxes: Tensor
    """(R, 4) left, top, right, bottom in 0..1."""
    names: Tensor
    """(R,) ids of the names."""


class NamingTraining(GradientStage[Named]):
    """The image tower learns to name what stands in a region."""

    unit = "names"

    def __init__(self, config: NamingStage, model: ModelConfig, device: torch.device) -> None:
        if model.image_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no image_encoder to train")
        self._config = config
        rows = _named_pictures(config.data / "regions.jsonl")
        names = sorted({region["name"] for row in rows for region in row["regions"]})
        if len(names) < 2:
            raise DatasetError(
                f"{config.data}/regions.jsonl names fewer than two things: there is nothing to tell apart"
            )
        if config.crop:
            rows = [{**row, "regions": [region]} for row in rows for region in row["regions"]]
        self._rows = parallel.own_rows(rows)
        self._batch_size = min(parallel.own_batch(config.batch_size), len(self._rows))
        self._ids = {name: index for index, name in enumerate(names)}
        self._encoder = ClipImageEncoder(model.image_encoder)
        if config.crop and not isinstance(self._encoder.tower, ResNetTower):
            raise ConfigError(f"{config.name}: crop: a tower of patches sees pictures of one size")
        started = start_from(config.start, "image_encoder", self._encoder)
        if config.hold and not started:
            raise ConfigError(
                f"{config.name}: hold: nothing in start has an image_encoder whose features could be held"
            )
        self._encoder.to(device)
        self._encoder.tower.to(memory_format=torch.channels_last)  # convolutions of few channels run 1.6 times as fast
        self._before = deepcopy(self._encoder).eval().requires_grad_(False) if config.hold else None
        self._head = nn.Linear(self._encoder.width, len(names)).to(device)
        # Held, its batch norms keep their statistics as well, as the encoder's own training mode has it.
        self.module = nn.ModuleDict(
            {"tower": self._encoder if config.hold else self._encoder.tower, "head": self._head}
        )
        self._pictures = PictureCache(config.data, model.image_encoder.image_size)

    def batch(self, step: int) -> Named:
        """Pictures in a new view each.

        Raises:
            ImageError: a picture cannot be read.
        """
        size = self._batch_size
        order = shuffled(len(self._rows), self._config.seed, step * size)
        rows = [self._rows[index] for index in itertools.islice(order, size)]
        regions = [(owner, region) for owner, row in enumerate(rows) for region in row["regions"]]
        generator = torch.Generator().manual_seed(step_random(self._config.seed, step).getrandbits(63))
        views = draw_free_views(torch.tensor([_may_be_mirrored(row["regions"]) for row in rows]), generator)
        boxes = torch.tensor([region["box"] for _, region in regions])
        return Named(
            pixels=torch.stack([self._pictures[row["image"]] for row in rows]),
            views=views.within(boxes) if self._config.crop else views,
            owners=torch.tensor([owner for owner, _ in regions]),
            boxes=boxes,
            names=torch.tensor([self._ids[region["name"]] for _, region in regions]),
        )

    def loss(self, batch: Named) -> Loss:
        """Cross entropy of the names, the mean over the pictures of the mean over the regions of each.

        With `hold`, how far the features moved is added.

        Over all regions alike, a large thing alone in its picture, which is what people show, would hardly count beside
        the nine of a crowd.
        """
        device = self._head.weight.device
        pixels = batch.views.of(batch.pixels.to(device).float() / 255, self._config.crop)
        pixels = (pixels - self._encoder.mean) / self._encoder.std
        boxes = batch.views.of_boxes(batch.boxes, batch.owners)
        grid = self._encoder.grid(pixels)  # B, Dv, √P, √P
        logits = self.name(grid, torch.cat([batch.owners[:, None], boxes], 1).to(device))
        names = batch.names.to(device)
        losses = F.cross_entropy(logits.float(), names, label_smoothing=_LABEL_SMOOTHING, reduction="none")  # R
        shares = 1 / batch.owners.bincount(minlength=len(batch.pixels))[batch.owners].to(losses)
        loss = (losses * shares).sum() / len(batch.pixels)
        return Loss(loss + self._config.hold * self._moved(grid, pixels), len(names))

    def _moved(self, grid: Tensor, pixels: Tensor) -> Tensor:
        """How far the features of normalised pixels are from what they were, as a share of their square; 0 unheld."""
        if self._before is None:
            return grid.new_zeros(())
        with torch.no_grad():
            before = self._before.grid(pixels).float()
        return (grid.float() - before).square().mean() / before.square().mean()

    def name(self, grid: Tensor, regions: Tensor) -> Tensor:
        """(R, N) logits of the names for (R, 5) regions of a (B, Dv, √P, √P) grid: picture and box in 0..1."""
        boxes = regions * regions.new_tensor([1, *[grid.shape[-1]] * 4])
        # In float32 whatever the grid is in: numbers of pictures and places in them need more than bfloat16's 8 bits.
        features = roi_align(grid.float().contiguous(), boxes, output_size=1, sampling_ratio=_SAMPLES, aligned=True)
        logits: Tensor = self._head(features.flatten(1))
        return logits

    def components(self) -> Mapping[str, nn.Module]:
        """The image tower; the naming head has served its purpose."""
        return {"image_encoder": self._encoder}


def _named_pictures(path: Path) -> list[dict[str, Any]]:
    """Rows of the pictures that show something with a name."""
    rows = read_rows(path, "image", "regions")
    for row in rows:
        if not all(_is_region(region) for region in row["regions"]):
            raise DatasetError(f"{path}: a region of {row['image']} is not a name and a box [left, top, right, bottom]")
    return [row for row in rows if row["regions"]]


def _may_be_mirrored(regions: list[dict[str, Any]]) -> bool:
    """Whether each would still have its name: a left arrow would not."""
    return not any({"left", "right"} & set(region["name"].split()) for region in regions)


def _is_region(value: object) -> bool:
    match value:
        case {"name": str(), "box": [left, top, right, bottom]}:
            numbers = all(isinstance(edge, int | float) for edge in (left, top, right, bottom))
            return numbers and left < right and top < bottom
    return False
