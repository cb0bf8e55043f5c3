"""Image towers of open_clip, its own and timm's, and where their patch features are."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import timm
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import nn

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.resnet import resnet_stage
from mmchat.encoders.stage import Stage, stage_number
from mmchat.errors import ConfigError


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


def without_head(tower: Any, config: ImageEncoderConfig) -> Stage:
    """Remove the pooling head of a tower; where its features are.

    Raises:
        ConfigError: it has no such stage.
    """
    if isinstance(tower, ModifiedResNet):
        tower.attnpool = nn.Identity()  # serves contrastive training alone
        return resnet_stage(config)
    if isinstance(tower, TimmModel):
        stages = tower.trunk.feature_info
        number = stage_number(config, len(stages))
        tower.trunk.reset_classifier(0, "")
        tower.head = nn.Identity()
        prefix = getattr(tower.trunk, "num_prefix_tokens", 0)
        return Stage(number, stages[number]["num_chs"], stages[number]["reduction"], prefix)
    tower.register_parameter("proj", None)
    vision = config.vision
    return Stage(stage_number(config, vision["layers"]), vision["width"], vision["patch_size"], prefix=1)
