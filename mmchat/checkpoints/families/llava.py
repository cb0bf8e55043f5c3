"""LLaVA-1.5 in the layout of llava-hf: a CLIP vision transformer, an MLP, Llama or Qwen2 (Liu et al. 2023).

Names as in https://huggingface.co/llava-hf/llava-1.5-7b-hf
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig

from mmchat.checkpoints.families.family import Family
from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.families.names import rule
from mmchat.config import ImageEncoderConfig, ModelConfig, ProjectorConfig
from mmchat.errors import CheckpointError

_TOWER = "vision_tower.vision_model."
_LAYER = _TOWER + "encoder.layers.{layer}."
_BLOCK = "tower.transformer.resblocks.{layer}."
_BICUBIC = 3


def model_config(files: HubFiles, name: str) -> ModelConfig:
    """What the folder says, as a `ModelConfig`.

    Raises:
        CheckpointError: it uses something of the family that is not supported; says what.
    """
    config = AutoConfig.for_model("llava", **{key: value for key, value in files.config.items() if key != "model_type"})
    if config.projector_hidden_act != "gelu":
        raise CheckpointError(f"{files.folder}: projector_hidden_act {config.projector_hidden_act!r} is not supported")
    image = files.tokenizer.id_to_token(config.image_token_index)
    if image is None:
        raise CheckpointError(f"{files.folder}: the tokenizer has no token {config.image_token_index}, the image's")
    return ModelConfig(
        name=name,
        knows="What its makers trained it on: its model card says it. It reads text and sees pictures.",
        decoder=decoder_settings(config.text_config),
        image_encoder=_image_encoder(config, files),
        image_projector=ProjectorConfig(
            reduce="stack",
            neighbours=1,
            hidden=config.text_config.hidden_size,
            bias=config.multimodal_projector_bias,
            norm="none",
        ),
        tokens=files.special_tokens(image=image, audio=None),
    )


def _image_encoder(config: Any, files: HubFiles) -> ImageEncoderConfig:
    vision = config.vision_config
    if vision.model_type != "clip_vision_model":
        raise CheckpointError(f"{files.folder}: a vision tower {vision.model_type!r} is not supported")
    if vision.hidden_act not in ("quick_gelu", "gelu"):
        raise CheckpointError(f"{files.folder}: hidden_act {vision.hidden_act!r} of the vision tower is not supported")
    layer = config.vision_feature_layer
    if not isinstance(layer, int) or layer == 0:
        raise CheckpointError(f"{files.folder}: vision_feature_layer {layer} is not supported: it has to be one layer")
    return ImageEncoderConfig(
        vision={
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "patch_size": vision.patch_size,
            "image_size": vision.image_size,
            "norm_kwargs": {"eps": vision.layer_norm_eps},
        },
        embed_dim=vision.projection_dim,
        quick_gelu=vision.hidden_act == "quick_gelu",
        feature_layer=layer - 1 if layer > 0 else layer,  # theirs counts the embeddings as the first
        class_token=config.vision_feature_select_strategy == "full",
        **_preprocessing(files, vision.image_size),
    )


def _preprocessing(files: HubFiles, side: int) -> dict[str, Any]:
    """How pictures become squares, and their mean and deviation."""
    settings = {"resample": _BICUBIC, "do_center_crop": True, "do_pad": False, **files.image_processor}
    if settings["resample"] != _BICUBIC:
        raise CheckpointError(
            f"{files.folder}: resample {settings['resample']} of pictures is not supported, {_BICUBIC} is"
        )
    size = settings.get("crop_size" if settings["do_center_crop"] else "size", side)
    sides = {size} if isinstance(size, int) else {*size.values()}
    if sides != {side}:
        raise CheckpointError(f"{files.folder}: pictures are made {size}, the vision tower reads {side} pixels")
    resize = "pad" if settings["do_pad"] else "crop" if settings["do_center_crop"] else "stretch"
    norm = {"mean": settings.get("image_mean"), "std": settings.get("image_std")}
    return {"resize": resize, **{key: value for key, value in norm.items() if value is not None}}


LLAVA = Family(
    model_config=model_config,
    rules={
        "decoder": (
            rule("lm.lm_head.{rest}", "language_model.lm_head.{rest}"),
            rule("lm.model.{rest}", "language_model.model.{rest}"),
        ),
        "image_encoder": (
            rule("tower.class_embedding", _TOWER + "embeddings.class_embedding"),
            rule("tower.positional_embedding", _TOWER + "embeddings.position_embedding.weight"),
            rule("tower.conv1.weight", _TOWER + "embeddings.patch_embedding.weight"),
            rule("tower.ln_pre.{rest}", _TOWER + "pre_layrnorm.{rest}"),
            rule("tower.ln_post.{rest}", _TOWER + "post_layernorm.{rest}"),
            rule(_BLOCK + "ln_1.{rest}", _LAYER + "layer_norm1.{rest}"),
            rule(_BLOCK + "ln_2.{rest}", _LAYER + "layer_norm2.{rest}"),
            rule(
                _BLOCK + "attn.in_proj_{rest}",
                *(_LAYER + f"self_attn.{each}_proj.{{rest}}" for each in ("q", "k", "v")),
            ),
            rule(_BLOCK + "attn.out_proj.{rest}", _LAYER + "self_attn.out_proj.{rest}"),
            rule(_BLOCK + "mlp.c_fc.{rest}", _LAYER + "mlp.fc1.{rest}"),
            rule(_BLOCK + "mlp.c_proj.{rest}", _LAYER + "mlp.fc2.{rest}"),
        ),
        "image_projector": (
            rule("mlp.0.{rest}", "multi_modal_projector.linear_1.{rest}"),
            rule("mlp.2.{rest}", "multi_modal_projector.linear_2.{rest}"),
        ),
    },
    # transformers 4.52 to 5 write other names than the hub has
    spellings={
        r"model\.language_model\.": "language_model.model.",
        r"lm_head\.": "language_model.lm_head.",
        r"model\.(?=vision_tower\.|multi_modal_projector\.)": "",
        r"vision_tower\.(?!vision_model\.)": _TOWER,
    },
    unused=(_TOWER + "embeddings.position_ids",),
)
