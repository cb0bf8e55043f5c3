"""Pictures to patch features: an image tower of open_clip, its own or one of timm's, or its residual network as ours.

B pictures, S side in pixels, P patches of the feature grid, Dv width of a feature
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.resize import part_seen, squared
from mmchat.encoders.resnet import ResNetTower, resnet_stage, resnet_tower
from mmchat.errors import ConfigError


class ClipImageEncoder(nn.Module):
    """The patch features of one stage of a CLIP image tower, without its pooling head."""

    def __init__(self, config: ImageEncoderConfig, tower: nn.Module | None = None) -> None:
        """Take over `tower`, or build one with fresh weights; its pooling head is removed.

        Raises:
            ConfigError: open_clip knows no such setting, or the tower has no such stage.
        """
        super().__init__()
        self.config = config
        self.tower: Any = resnet_tower(config) if tower is None else tower
        if isinstance(self.tower, ResNetTower):
            self._stage = resnet_stage(config)
        else:
            from mmchat.encoders.towers import build_tower, without_head

            self.tower = build_tower(config) if tower is None else tower
            self._stage = without_head(self.tower, config)
        if config.class_token and self._stage.prefix != 1:
            raise ConfigError("image_encoder.class_token: this tower has none")
        self.width = self._stage.width
        self.num_features = (config.image_size // self._stage.stride) ** 2 + config.class_token
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> ClipImageEncoder:
        """Batch norms keep the statistics of their pre-training: a batch of conversations holds few pictures."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def part_seen(self, image: Image.Image) -> str:
        """What part of a picture the tower sees, in words; empty when it sees all of it."""
        return part_seen(image, self.config)

    def preprocess(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB pictures of any size to normalised pixels.

        Returns:
            (B, 3, S, S), on the device and in the dtype of the tower.
        """
        pixels = np.stack([np.asarray(squared(image, self.config)) for image in images])  # B, S, S, 3
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.mean) / 255  # B, 3, S, S
        return (scaled - self.mean) / self.std

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised pixels to (B, P, Dv) features: the class token if it is used, then row by row."""
        if isinstance(self.tower, ResNetTower):
            return self.grid(pixels).flatten(2).transpose(1, 2)
        stages = self._stages(pixels)
        features: Tensor = stages["image_intermediates"][0].flatten(2).transpose(1, 2)
        if not self.config.class_token:
            return features
        return torch.cat([stages["image_intermediates_prefix"][0], features], dim=1)

    def grid(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised pixels to (B, Dv, √P, √P) features where they stand in the picture."""
        features: Tensor
        if isinstance(self.tower, ResNetTower):
            features = self.tower(pixels, self._stage.number)
        else:
            features = self._stages(pixels)["image_intermediates"][0]
        return features

    def _stages(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        wanted: dict[str, Any] = {"output_extra_tokens": True} if self.config.class_token else {}
        read = self.tower.forward_intermediates
        stages: dict[str, list[Tensor]] = read(
            pixels, indices=[self._stage.number], stop_early=True, intermediates_only=True, **wanted
        )
        return stages
