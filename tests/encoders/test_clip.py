"""Patch features beside open_clip's own on the same weights, and the pixels that the tower is given."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import timm
import torch
from open_clip.model import CLIP
from PIL import Image
from torch import Tensor, nn

from mmchat.config import ImageEncoderConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.encoders.towers import build_tower
from mmchat.errors import ConfigError

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "head_width": 32}
TRANSFORMER = {"layers": 3, "width": 32, "image_size": 64, "head_width": 16, "patch_size": 16}
TIMM = {
    "timm_model_name": "vit_base_patch16_siglip_gap_224",
    "timm_pool": "",
    "timm_proj": "none",
    "image_size": 64,
    "timm_model_args": {
        **{"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 3, "num_heads": 2},
        **{"act_layer": "gelu_tanh", "global_pool": ""},
    },
}
TEXT = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
EMBED_DIM = 32
BOTH = pytest.mark.parametrize("vision", [RESNET, TRANSFORMER], ids=["resnet", "transformer"])


def config(vision: dict[str, object], layer: int = -1) -> ImageEncoderConfig:
    return ImageEncoderConfig(vision=vision, embed_dim=EMBED_DIM, feature_layer=layer)


def randomise(module: nn.Module) -> None:
    """Fresh weights hide things: a ModifiedResNet starts with blocks that add nothing."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            fresh = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + 0.1 * fresh.abs() if name.endswith("running_var") else 0.2 * fresh)


def encoder_and_reference(vision: dict[str, object], layer: int = -1) -> tuple[ClipImageEncoder, Any]:
    """Our encoder and open_clip's tower out of a whole CLIP model, with the same weights."""
    theirs = CLIP(embed_dim=EMBED_DIM, vision_cfg=dict(vision), text_cfg=dict(TEXT)).visual.eval()
    randomise(theirs)
    ours = ClipImageEncoder(config(vision, layer)).eval()
    found = ours.tower.load_state_dict(theirs.state_dict(), strict=False)
    assert not found.missing_keys
    assert {key.split(".")[0] for key in found.unexpected_keys} <= {"attnpool", "proj"}
    return ours, theirs


def pixels(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


# Features


@BOTH
@pytest.mark.parametrize("layer", [-1, -2, 0])
@torch.no_grad()
def test_features_equal_those_of_open_clip(vision: dict[str, object], layer: int) -> None:
    """Of the last stage, and of any other that the configuration asks for."""
    ours, theirs = encoder_and_reference(vision, layer)
    grid = theirs.forward_intermediates(pixels())["image_intermediates"][layer]  # B, Dv, √P, √P
    features = ours(pixels())
    torch.testing.assert_close(features, grid.flatten(2).transpose(1, 2))
    assert features.shape == (2, ours.num_features, ours.width)
    assert features.std() > 0.01


@pytest.mark.parametrize("layer", [-1, 0])
@torch.no_grad()
def test_a_tower_of_timm_has_the_sizes_that_are_asked_for(layer: int) -> None:
    ours = ClipImageEncoder(config(TIMM, layer)).eval()
    trunk = ours.tower.trunk
    hidden = trunk.pos_embed + trunk.patch_embed(pixels())  # B, P, Dv
    for block in trunk.blocks[: layer % 3 + 1]:
        hidden = block(hidden)
    torch.testing.assert_close(ours(pixels()), hidden)
    assert hidden.shape == (2, ours.num_features, ours.width) == (2, 16, 32)
    assert not any(tensor.is_meta for tensor in ours.state_dict().values())
    assert isinstance(trunk.blocks[0].mlp.act, timm.layers.GELUTanh)


@torch.no_grad()
def test_a_named_tower_of_timm_is_what_open_clip_builds() -> None:
    """A convolutional one, whose stages differ in width and grid."""
    vision = {"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear", "image_size": 64}
    ours = ClipImageEncoder(config(vision, -2)).eval()
    theirs = build_tower(config(vision)).eval()
    found = ours.tower.load_state_dict(theirs.state_dict(), strict=False)
    assert not found.missing_keys
    grid = theirs.forward_intermediates(pixels())["image_intermediates"][-2]
    torch.testing.assert_close(ours(pixels()), grid.flatten(2).transpose(1, 2))
    assert grid.shape[1:] == (ours.width, 4, 4)
    assert ours.num_features == 16


@BOTH
@torch.no_grad()
def test_a_picture_has_the_same_features_in_a_batch(vision: dict[str, object]) -> None:
    ours, _ = encoder_and_reference(vision)
    together = ours(pixels(3))
    for index in range(3):
        torch.testing.assert_close(together[index], ours(pixels(3)[index : index + 1])[0])


@torch.no_grad()
def test_features_come_row_by_row_from_the_top_left() -> None:
    """The stem sees a few pixels around each of its 16 × 16 places: a spot moves those around it alone."""
    ours, _ = encoder_and_reference(RESNET, layer=0)
    plain, spotted = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    row, column = 3, 9
    spotted[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    moved = (ours(spotted) != ours(plain)).any(-1)[0].nonzero().flatten().tolist()
    assert row * 16 + column in moved
    assert {(index // 16 - row, index % 16 - column) for index in moved} <= set(product(range(-2, 3), repeat=2))


def test_batch_norms_keep_their_statistics_in_training() -> None:
    """A batch of conversations holds few pictures: their mean says nothing of all pictures."""
    ours, _ = encoder_and_reference(RESNET)
    at_rest = ours(pixels())
    before = {name: buffer.clone() for name, buffer in ours.named_buffers()}
    for model in (ours, nn.Sequential(ours)):
        model.train()
        torch.testing.assert_close(ours(pixels()), at_rest)
    assert all(torch.equal(buffer, before[name]) for name, buffer in ours.named_buffers())


@BOTH
def test_only_weights_that_make_features_are_kept(vision: dict[str, object]) -> None:
    """The pooling head and the constants of the preprocessing are no weights of a checkpoint."""
    names = {name.split(".")[1] for name in ClipImageEncoder(config(vision)).state_dict()}
    assert names.isdisjoint({"attnpool", "proj"})
    assert all(name.startswith("tower.") for name in ClipImageEncoder(config(vision)).state_dict())


def test_an_unknown_key_of_the_tower_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        ClipImageEncoder(config({**RESNET, "depth": 3}))
    assert str(caught.value) == "image_encoder.vision: unknown key depth"


@pytest.mark.parametrize(("vision", "layer", "stages"), [(RESNET, 5, 5), (TRANSFORMER, -4, 3), (TIMM, 3, 3)])
def test_a_stage_that_the_tower_does_not_have(vision: dict[str, object], layer: int, stages: int) -> None:
    with pytest.raises(ConfigError) as caught:
        ClipImageEncoder(config(vision, layer))
    expected = f"image_encoder.feature_layer: the tower has {stages} stages, there is no stage {layer}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("vision", [RESNET, TIMM], ids=["resnet", "siglip"])
def test_a_tower_without_a_class_token_is_asked_for_one(vision: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        ClipImageEncoder(config(vision).model_copy(update={"class_token": True}))
    assert str(caught.value) == "image_encoder.class_token: this tower has none"


# Preprocessing


def test_pixels_are_normalised_with_the_values_of_the_weights() -> None:
    encoder = ClipImageEncoder(ImageEncoderConfig(vision=RESNET, embed_dim=32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 1)))
    ours = encoder.preprocess([Image.new("RGB", (100, 100), (255, 102, 0))])
    assert ours.shape == (1, 3, 64, 64)
    torch.testing.assert_close(ours[0, :, 5, 7], torch.tensor([1.0, 0.0, -0.3]))


def test_pixels_have_the_type_of_the_tower() -> None:
    encoder = ClipImageEncoder(config(RESNET)).to(torch.bfloat16)
    assert encoder.preprocess([Image.new("RGB", (9, 9))]).dtype == torch.bfloat16


def test_pictures_of_any_size_make_one_batch() -> None:
    sizes = [(64, 64), (1, 1), (1, 900), (3000, 20), (65, 64), (640, 480)]
    assert ClipImageEncoder(config(RESNET)).preprocess([Image.new("RGB", size) for size in sizes]).shape[0] == len(
        sizes
    )
