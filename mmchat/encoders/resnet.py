"""CLIP's residual network for its patch features alone, without open_clip and all that its import brings.

The definition, its fresh weights and their names are those of `open_clip.modified_resnet.ModifiedResNet`, whose pooling
head serves contrastive training alone; tests compare the two.

B pictures, S side in pixels, C channels
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.stage import Stage, stage_number

_EXPANSION = 4
_STAGES = 5
_SETTINGS = {"layers", "width", "image_size", "head_width"}
"""Of open_clip's `CLIPVisionCfg`: those that such a tower has."""


class ResNetTower(nn.Module):
    """Three convolutions and an average, then four stages of bottlenecks."""

    def __init__(self, layers: Sequence[int], width: int) -> None:
        """
        Args:
            layers: bottlenecks of each of the four stages.
            width: channels of the stem.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, layers[0], 1)
        self.layer2 = _stage(4 * width, 2 * width, layers[1], 2)
        self.layer3 = _stage(8 * width, 4 * width, layers[2], 2)
        self.layer4 = _stage(16 * width, 8 * width, layers[3], 2)

    def forward(self, pixels: Tensor, stage: int) -> Tensor:
        """(B, 3, S, S) normalised pixels to the features (B, C, √P, √P) of a stage, 0 to 4."""
        x = F.relu(self.bn1(self.conv1(pixels)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4)[:stage]:
            x = layer(x)
        return x


def resnet_tower(config: ImageEncoderConfig) -> ResNetTower | None:
    """The tower that a configuration asks for; None where that is another."""
    vision = config.vision
    if not vision.keys() <= _SETTINGS or not isinstance(vision.get("layers"), list | tuple):
        return None
    return ResNetTower(vision["layers"], vision["width"])


def resnet_stage(config: ImageEncoderConfig) -> Stage:
    """Where the features are: stem and first stage have stride 4, each after them half the side and twice the width.

    Raises:
        ConfigError: there is no such stage.
    """
    number = stage_number(config, _STAGES)
    stride = 4 * 2 ** max(0, number - 1)
    return Stage(number, config.vision["width"] * (stride if number else 1), stride)


class _Bottleneck(nn.Module):
    """Where the side is halved, an average stands before the last convolution and before the way past all three."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.bn3.weight)  # a fresh one adds nothing
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential()
            self.downsample.add_module("-1", nn.AvgPool2d(stride))
            self.downsample.add_module("0", nn.Conv2d(inputs, outputs, 1, bias=False))
            self.downsample.add_module("1", nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 × width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.avgpool(F.relu(self.bn2(self.conv2(out))))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def _stage(inputs: int, width: int, depth: int, stride: int) -> nn.Sequential:
    later = [_Bottleneck(_EXPANSION * width, width, 1) for _ in range(depth - 1)]
    return nn.Sequential(_Bottleneck(inputs, width, stride), *later)
