"""LLaVA-1.5 and LLaVA-Interleave in the layout of llava-hf: CLIP or SigLIP, an MLP, Llama or Qwen2 (Liu et al. 2023).

Names as in https://huggingface.co/llava-hf/llava-1.5-7b-hf and …/llava-interleave-qwen-0.5b-hf
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig

from mmchat.checkpoints.families.family import Family, Rules
from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.families.image_towers import PREFIX, ImageTower, tower_of, tower_of_settings
from mmchat.checkpoints.families.names import rule
from mmchat.checkpoints.families.transformers_names import DECODER, SPELLINGS
from mmchat.config import ImageEncoderConfig, ModelConfig, ProjectorConfig
from mmchat.errors import CheckpointError
from mmchat.model.tokenizer import TOKENIZER_FILE, ChatTokenizer

_BICUBIC = 3


def model_config(files: HubFiles, name: str) -> ModelConfig:
    """What the folder says, as a `ModelConfig`.

    Raises:
        CheckpointError: it uses something of the family that is not supported; says what.
    """
    config = files.settings
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
    try:
        tower = tower_of_settings(vision)
    except CheckpointError as error:
        raise CheckpointError(f"{files.folder}: {error}") from None
    layer, whole = config.vision_feature_layer, config.vision_feature_select_strategy == "full"
    if not isinstance(layer, int) or layer == 0:
        raise CheckpointError(f"{files.folder}: vision_feature_layer {layer} is not supported: it has to be one layer")
    if not whole and not tower.class_token:
        raise CheckpointError(f"{files.folder}: vision_feature_select_strategy 'default' would drop the first patch")
    return ImageEncoderConfig(
        **tower.fields(vision),
        feature_layer=layer - 1 if layer > 0 else layer,  # theirs counts the embeddings as the first
        class_token=whole and tower.class_token,
        **_preprocessing(files, vision.image_size),
    )


def _preprocessing(files: HubFiles, side: int) -> dict[str, Any]:
    """How pictures become squares, and their mean and deviation."""
    found = files.image_processor
    crops = "siglip" not in found.get("image_processor_type", "").lower()  # where the file does not say
    settings = {"resample": _BICUBIC, "do_center_crop": crops, "do_pad": False, **found}
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


def write_settings(folder: Path, config: ModelConfig, tokenizer: ChatTokenizer) -> None:
    """Everything but the weights, by transformers' own classes.

    Raises:
        CheckpointError: the model is no LLaVA; says why.
    """
    from transformers import GenerationConfig, LlavaProcessor, PreTrainedTokenizerFast
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    image, projector, tower = _parts(config)
    tokens, square = config.tokens, {"height": image.image_size, "width": image.image_size}
    vision = tower.settings(image)
    strategy = "full" if image.class_token or not tower.class_token else "default"
    settings = AutoConfig.for_model(
        "llava",
        vision_config=dict(vision),
        text_config=dict(config.decoder),
        architectures=["LlavaForConditionalGeneration"],
        image_token_index=tokenizer.image_id,
        vision_feature_layer=image.feature_layer + (image.feature_layer >= 0),
        vision_feature_select_strategy=strategy,
        multimodal_projector_bias=projector.bias,
        tie_word_embeddings=config.decoder.get("tie_word_embeddings", False),
    )
    settings.save_pretrained(folder)
    tokenizer.save(folder)
    text = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / TOKENIZER_FILE), bos_token=tokens.begin, eos_token=tokens.end, pad_token=tokens.pad
    )
    pictures = LlavaImageProcessorPil(
        size=square if image.resize == "stretch" else {"shortest_edge": image.image_size},
        crop_size=square,
        do_center_crop=image.resize != "stretch",
        do_pad=image.resize == "pad",
        image_mean=list(image.mean),
        image_std=list(image.std),
    )
    LlavaProcessor(
        pictures,
        text,
        vision["patch_size"],
        strategy,
        tokenizer.template,
        tokens.image,
        num_additional_image_tokens=int(tower.class_token),
    ).save_pretrained(folder)
    GenerationConfig(
        bos_token_id=text.bos_token_id, eos_token_id=sorted(tokenizer.stop_ids), pad_token_id=tokenizer.pad_id
    ).save_pretrained(folder)


def _parts(config: ModelConfig) -> tuple[ImageEncoderConfig, ProjectorConfig, ImageTower]:
    """Image encoder, projector and kind of tower of what is a LLaVA.

    Raises:
        CheckpointError: it is none; says why.
    """
    image, projector = config.image_encoder, config.image_projector
    if image is None or projector is None or config.audio_encoder is not None:
        raise CheckpointError(f"{config.name} is no LLaVA: that sees, and does not hear")
    tower = tower_of(image)
    if tower is None:
        raise CheckpointError(
            f"{config.name} is no LLaVA: its image encoder is no vision transformer of CLIP or SigLIP"
        )
    if image.resize == "fit":
        raise CheckpointError(
            f"{config.name} is no LLaVA: resize 'fit' is unknown there; crop, pad and stretch are not"
        )
    mlp = ProjectorConfig(
        reduce=projector.reduce,
        neighbours=1,
        hidden=config.decoder.get("hidden_size"),
        bias=projector.bias,
        norm="none",
    )
    if projector != mlp:
        raise CheckpointError(
            f"{config.name} is no LLaVA: its image projector is not a plain MLP as wide as the decoder"
        )
    return image, projector, tower


def _rules(config: ModelConfig) -> Rules:
    _, _, tower = _parts(config)
    return {
        "decoder": DECODER,
        "image_encoder": tower.rules,
        "image_projector": (
            rule("mlp.0.{rest}", "multi_modal_projector.linear_1.{rest}"),
            rule("mlp.2.{rest}", "multi_modal_projector.linear_2.{rest}"),
        ),
    }


LLAVA = Family(
    model_config=model_config,
    write_settings=write_settings,
    rules=_rules,
    spellings={**SPELLINGS, r"vision_tower\.(?!vision_model\.)": PREFIX},
    unused=(PREFIX + "embeddings.position_ids", PREFIX + "head."),
)
