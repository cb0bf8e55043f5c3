"""A new model out of an image tower, a Whisper and a causal language model, joined by fresh projectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn

from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.store import write_checkpoint
from mmchat.checkpoints.weights import JoinedTensors, compare, unique
from mmchat.config import (
    AudioEncoderConfig,
    Component,
    ImageEncoderConfig,
    ModelConfig,
    ProjectorConfig,
    SpecialTokens,
)
from mmchat.errors import CheckpointError
from mmchat.model.projector import Projector
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder

_IMAGE, _AUDIO = "<|image|>", "<|audio|>"
_RESIZE: Mapping[str, Literal["crop", "stretch", "pad"]] = {"shortest": "crop", "squash": "stretch", "longest": "pad"}
_FEATURES_A_TOKEN = {"image": 1, "audio": 8}


def compose(folder: Path, name: str, decoder: str, image: str | None, audio: str | None) -> ModelConfig:
    """Write a checkpoint folder whose projectors `mmchat train` has to train.

    Args:
        folder: it must not exist.
        name: of the new model.
        decoder: a folder of a causal language model with a chat template, or its id on the hub.
        image: an open_clip model: `NAME:TAG` of a pretrained one, `hf-hub:owner/name` or `local-dir:FOLDER`.
        audio: a Whisper: a name of openai-whisper or a file in its format.

    Raises:
        CheckpointError: a part is not there, is of a kind that is not supported, or cannot be downloaded.
    """
    text = HubFiles(find_model(decoder))
    settings = text.settings
    if hasattr(settings, "text_config"):
        raise CheckpointError(f"{decoder} is no text model: its type is {settings.model_type}")
    tokenizer = _with_placeholders(text.tokenizer)
    tensors: dict[str, Mapping[str, Tensor]] = {}
    parts: dict[str, Any] = {}
    fresh: list[Component] = []
    with torch.device("meta"):
        built = TransformersDecoder(decoder_settings(settings))
    weights = JoinedTensors(text.folder, [(text.weights(), "lm.{}".format)])
    compare(built.weight_shapes(), weights)
    tensors["decoder"] = {key: weights.tensor(key) for key in weights.shapes()}
    for sense, source in (("image", image), ("audio", audio)):
        if source is not None:
            encoder, config = (_image_encoder if sense == "image" else _audio_encoder)(source)
            projector = _projector(_FEATURES_A_TOKEN[sense], built.width)
            parts |= {f"{sense}_encoder": config, f"{sense}_projector": projector}
            tensors[f"{sense}_encoder"] = _state(encoder)
            tensors[f"{sense}_projector"] = _state(Projector(projector, encoder.width, built.width, built.vocab_size))
            fresh.append("image_projector" if sense == "image" else "audio_projector")
    model = ModelConfig(
        name=name,
        knows="What its text model knows; pictures and voice once its projectors are trained.",
        decoder=decoder_settings(settings),
        untrained=tuple(fresh),
        tokens=_tokens(text),
        **parts,
    )
    write_checkpoint(folder, model, tensors.items(), ChatTokenizer(tokenizer, text.chat_template, model.tokens), "")
    return model


def _tokens(text: HubFiles) -> SpecialTokens:
    """The placeholders are no tokens of the text model: their runs hold the id of its end of turn."""
    tokens = text.special_tokens(image=_IMAGE, audio=_AUDIO, content="string")
    return SpecialTokens(**{**tokens.model_dump(), "fill": tokens.end})


def _with_placeholders(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (_IMAGE, _AUDIO)])
    return tokenizer


def _projector(neighbours: int, width: int) -> ProjectorConfig:
    """An MLP as wide as the decoder, as LLaVA-1.5 has it, over normalised features."""
    return ProjectorConfig(reduce="stack", neighbours=neighbours, hidden=width)


def _image_encoder(source: str) -> tuple[Any, ImageEncoderConfig]:
    """The tower of an open_clip model: a transformer's last layer but one, a convolutional one's last stage."""
    import open_clip
    from open_clip.transformer import QuickGELU

    from mmchat.encoders.clip import ClipImageEncoder

    name, _, tag = source.partition(":") if "-dir:" not in source and "-hub:" not in source else (source, "", "")
    try:
        clip = open_clip.create_model(name, pretrained=tag or None, require_pretrained=True)
        model = open_clip.get_model_config(name)
    except Exception as error:  # whatever a download or a file raises
        raise CheckpointError(f"cannot load the open_clip model {source}: {_told(error)}") from error
    vision = model["vision_cfg"]
    seen = clip.visual.preprocess_cfg
    if seen["resize_mode"] not in _RESIZE or seen["interpolation"] != "bicubic":
        raise CheckpointError(f"{source}: pictures resized by {seen['resize_mode']}, {seen['interpolation']}: unknown")
    config = ImageEncoderConfig(
        vision=vision,
        embed_dim=model["embed_dim"],
        quick_gelu=any(isinstance(module, QuickGELU) for module in clip.visual.modules()),
        feature_layer=-2 if _is_transformer(clip.visual) else -1,
        resize=_RESIZE[seen["resize_mode"]],
        mean=tuple(seen["mean"]),
        std=tuple(seen["std"]),
    )
    return ClipImageEncoder(config, clip.visual), config


def _is_transformer(tower: Any) -> bool:
    """One of open_clip, or one of timm."""
    return hasattr(tower, "transformer") or hasattr(getattr(tower, "trunk", None), "blocks")


def _audio_encoder(source: str) -> tuple[Any, AudioEncoderConfig]:
    from mmchat.encoders.transcriber import load_whisper
    from mmchat.encoders.whisper import WhisperAudioEncoder

    whisper = load_whisper(source, torch.device("cpu"))
    sizes = asdict(whisper.dims)
    config = AudioEncoderConfig(**{name: sizes[name] for name in AudioEncoderConfig.model_fields if name in sizes})
    encoder = WhisperAudioEncoder(config)
    encoder.encoder.load_state_dict(whisper.encoder.state_dict())
    return encoder, config


def _state(component: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.detach().contiguous() for key, tensor in unique(component)}


def _told(error: Exception) -> str:
    return shorten(f"{type(error).__name__}: {error}", 150, placeholder=" …")
