"""Image towers of public checkpoints: as their `vision_config` describes them, and as open_clip builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmchat.checkpoints.families.names import Rule, rule
from mmchat.config import ImageEncoderConfig
from mmchat.errors import CheckpointError

PREFIX = "vision_tower.vision_model."
_LAYER = PREFIX + "encoder.layers.{layer}."
_QUERY_KEY_VALUE = tuple(_LAYER + f"self_attn.{each}_proj.{{rest}}" for each in ("q", "k", "v"))
_ACTIVATIONS = {"clip_vision_model": ("quick_gelu", "gelu"), "siglip_vision_model": ("gelu_pytorch_tanh",)}
_CLIP_EPSILON = 1e-5
_SIGLIP_EPSILON = 1e-6
_SIGLIP = "vit_base_patch16_siglip_gap_224"
"""The architecture in timm, whose sizes are replaced."""


@dataclass(frozen=True)
class ImageTower:
    """One kind of tower."""

    class_token: bool
    """Whether one stands before the patch features."""
    fields: Callable[[Any], Mapping[str, Any]]
    """Of an `ImageEncoderConfig`, from a `vision_config`."""
    settings: Callable[[ImageEncoderConfig], Mapping[str, Any]]
    """The `vision_config` again."""
    rules: tuple[Rule, ...]


def tower_of_settings(vision: Any) -> ImageTower:
    """The kind of tower that a `vision_config` describes.

    Raises:
        CheckpointError: it is not supported; says what is not.
    """
    if vision.model_type not in _TOWERS:
        raise CheckpointError(f"a vision tower {vision.model_type!r} is not supported; {' and '.join(_TOWERS)} are")
    if vision.hidden_act not in _ACTIVATIONS[vision.model_type]:
        raise CheckpointError(f"hidden_act {vision.hidden_act!r} of the vision tower is not supported")
    if vision.model_type == "siglip_vision_model" and vision.layer_norm_eps != _SIGLIP_EPSILON:
        raise CheckpointError(f"layer_norm_eps {vision.layer_norm_eps} of the vision tower is not supported")
    return _TOWERS[vision.model_type]


def tower_of(image: ImageEncoderConfig) -> ImageTower | None:
    """The kind of tower that one of our configurations describes; None where public checkpoints have none such."""
    if image.vision.get("timm_model_name") == _SIGLIP and "timm_model_args" in image.vision:
        return _TOWERS["siglip_vision_model"]
    if "timm_model_name" in image.vision or isinstance(image.vision["layers"], list):
        return None
    return _TOWERS["clip_vision_model"]


def _clip_fields(vision: Any) -> Mapping[str, Any]:
    return {
        "vision": {
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "patch_size": vision.patch_size,
            "image_size": vision.image_size,
            "norm_kwargs": {"eps": vision.layer_norm_eps},
        },
        "embed_dim": vision.projection_dim,
        "quick_gelu": vision.hidden_act == "quick_gelu",
    }


def _clip_settings(image: ImageEncoderConfig) -> Mapping[str, Any]:
    vision = image.vision
    return {
        "model_type": "clip_vision_model",
        "hidden_size": vision["width"],
        "num_hidden_layers": vision["layers"],
        "num_attention_heads": vision["width"] // vision["head_width"],
        "intermediate_size": int(vision["width"] * vision["mlp_ratio"]),
        "patch_size": vision["patch_size"],
        "image_size": image.image_size,
        "projection_dim": image.embed_dim,
        "layer_norm_eps": vision.get("norm_kwargs", {}).get("eps", _CLIP_EPSILON),
        "hidden_act": "quick_gelu" if image.quick_gelu else "gelu",
    }


def _siglip_fields(vision: Any) -> Mapping[str, Any]:
    shape = {
        "img_size": vision.image_size,
        "patch_size": vision.patch_size,
        "embed_dim": vision.hidden_size,
        "depth": vision.num_hidden_layers,
        "num_heads": vision.num_attention_heads,
        "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        "act_layer": "gelu_tanh",
        "global_pool": "",
    }
    name = {"timm_model_name": _SIGLIP, "timm_pool": "", "timm_proj": "none"}
    return {
        "vision": {"image_size": vision.image_size, **name, "timm_model_args": shape},
        "embed_dim": vision.hidden_size,
    }


def _siglip_settings(image: ImageEncoderConfig) -> Mapping[str, Any]:
    shape = image.vision["timm_model_args"]
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": shape["embed_dim"],
        "num_hidden_layers": shape["depth"],
        "num_attention_heads": shape["num_heads"],
        "intermediate_size": int(shape["embed_dim"] * shape["mlp_ratio"]),
        "patch_size": shape["patch_size"],
        "image_size": shape["img_size"],
        "vision_use_head": False,
    }


_BLOCK = "tower.transformer.resblocks.{layer}."
_TRUNK = "tower.trunk."
_TOWERS = {
    "clip_vision_model": ImageTower(
        class_token=True,
        fields=_clip_fields,
        settings=_clip_settings,
        rules=(
            rule("tower.class_embedding", PREFIX + "embeddings.class_embedding"),
            rule("tower.positional_embedding", PREFIX + "embeddings.position_embedding.weight"),
            rule("tower.conv1.weight", PREFIX + "embeddings.patch_embedding.weight"),
            rule("tower.ln_pre.{rest}", PREFIX + "pre_layrnorm.{rest}"),
            rule("tower.ln_post.{rest}", PREFIX + "post_layernorm.{rest}"),
            rule(_BLOCK + "ln_1.{rest}", _LAYER + "layer_norm1.{rest}"),
            rule(_BLOCK + "ln_2.{rest}", _LAYER + "layer_norm2.{rest}"),
            rule(_BLOCK + "attn.in_proj_{rest}", *_QUERY_KEY_VALUE),
            rule(_BLOCK + "attn.out_proj.{rest}", _LAYER + "self_attn.out_proj.{rest}"),
            rule(_BLOCK + "mlp.c_fc.{rest}", _LAYER + "mlp.fc1.{rest}"),
            rule(_BLOCK + "mlp.c_proj.{rest}", _LAYER + "mlp.fc2.{rest}"),
        ),
    ),
    "siglip_vision_model": ImageTower(
        class_token=False,
        fields=_siglip_fields,
        settings=_siglip_settings,
        rules=(
            rule(_TRUNK + "pos_embed", PREFIX + "embeddings.position_embedding.weight", batched=True),
            rule(_TRUNK + "patch_embed.proj.{rest}", PREFIX + "embeddings.patch_embedding.{rest}"),
            rule(_TRUNK + "norm.{rest}", PREFIX + "post_layernorm.{rest}"),
            rule(_TRUNK + "blocks.{layer}.norm1.{rest}", _LAYER + "layer_norm1.{rest}"),
            rule(_TRUNK + "blocks.{layer}.norm2.{rest}", _LAYER + "layer_norm2.{rest}"),
            rule(_TRUNK + "blocks.{layer}.attn.qkv.{rest}", *_QUERY_KEY_VALUE),
            rule(_TRUNK + "blocks.{layer}.attn.proj.{rest}", _LAYER + "self_attn.out_proj.{rest}"),
            rule(_TRUNK + "blocks.{layer}.mlp.{rest}", _LAYER + "mlp.{rest}"),
        ),
    ),
}
