"""Pictures to patch features: an image tower of open_clip, its own or one of timm's.

B pictures, S side in pixels, P patches of the feature grid, Dv width of a feature
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import timm
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from PIL import Image
from torch import Tensor, nn

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.resize import part_seen, squared
from mmchat.errors import ConfigError

_RESNET_STAGES = 5


def build_tower(config: ImageEncoderConfig) -> nn.Module:
    """The tower as open_clip builds it, pooling head included, with fresh weights.

    Raises:
        ConfigError: open_clip knows no such setting.
    """
    vision = dict(config.vision)
    shape = vision.pop("timm_model_args", None)
    unknown = vision.keys() - {field.name for field in fields(CLIPVisionCfg)}
    if unknown:
        raise ConfigError(f"image_encoder.vision: unknown key {', '.join(sorted(unknown))}")
    if shape is None:
        tower: nn.Module = _build_vision_tower(config.embed_dim, vision, config.quick_gelu)
        return tower
    with torch.device("meta"):  # the named sizes; only what is around the trunk is kept
        tower = _build_vision_tower(config.embed_dim, vision, config.quick_gelu)
    tower.trunk = timm.create_model(vision["timm_model_name"], num_classes=0, **shape)
    return tower


class ClipImageEncoder(nn.Module):
    """The patch features of one stage of a CLIP image tower, without its pooling head."""

    def __init__(self, config: ImageEncoderConfig, tower: nn.Module | None = None) -> None:
        """Take over `tower`, or build one with fresh weights; its pooling head is removed.

        Raises:
            ConfigError: open_clip knows no such setting, or the tower has no such stage.
        """
        super().__init__()
        self.config = config
        self.tower: Any = tower if tower is not None else build_tower(config)
        if isinstance(self.tower, ModifiedResNet):
            self._layer = _stage(config, _RESNET_STAGES)
            # Stem and first stage have stride 4; each stage after them halves the side and doubles the width.
            stride = 4 * 2 ** max(0, self._layer - 1)
            self.width = config.vision["width"] * (stride if self._layer else 1)
            prefix = 0
            self.tower.attnpool = nn.Identity()  # serves contrastive training alone
        elif isinstance(self.tower, TimmModel):
            stages = self.tower.trunk.feature_info
            self._layer = _stage(config, len(stages))
            self.width, stride = stages[self._layer]["num_chs"], stages[self._layer]["reduction"]
            prefix = getattr(self.tower.trunk, "num_prefix_tokens", 0)
            self.tower.trunk.reset_classifier(0, "")
            self.tower.head = nn.Identity()
        else:
            self._layer = _stage(config, config.vision["layers"])
            self.width, stride = config.vision["width"], config.vision["patch_size"]
            prefix = 1
            self.tower.register_parameter("proj", None)
        if config.class_token and prefix != 1:
            raise ConfigError("image_encoder.class_token: this tower has none")
        self.num_features = (config.image_size // stride) ** 2 + config.class_token
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
        stages = self._stages(pixels)
        features: Tensor = stages["image_intermediates"][0].flatten(2).transpose(1, 2)
        if not self.config.class_token:
            return features
        return torch.cat([stages["image_intermediates_prefix"][0], features], dim=1)

    def grid(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised pixels to (B, Dv, √P, √P) features where they stand in the picture."""
        features: Tensor = self._stages(pixels)["image_intermediates"][0]
        return features

    def _stages(self, pixels: Tensor) -> dict[str, list[Tensor]]:
        wanted: dict[str, Any] = {"output_extra_tokens": True} if self.config.class_token else {}
        read = self.tower.forward_intermediates
        stages: dict[str, list[Tensor]] = read(
            pixels, indices=[self._layer], stop_early=True, intermediates_only=True, **wanted
        )
        return stages


def _stage(config: ImageEncoderConfig, depth: int) -> int:
    """The stage whose features are used, counted from 0."""
    if not -depth <= config.feature_layer < depth:
        raise ConfigError(
            f"image_encoder.feature_layer: the tower has {depth} stages, there is no stage {config.feature_layer}"
        )
    return config.feature_layer % depth
