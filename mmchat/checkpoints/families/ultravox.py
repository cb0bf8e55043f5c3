"""Ultravox: Whisper's encoder, eight features a token, SwiGLU between RMSNorms, any text model (Fixie.ai 2024).

Names as in https://huggingface.co/fixie-ai/ultravox-v0_5-llama-3_1-8b; what a checkpoint does not hold, the text model
as a rule, is that of the checkpoints that its config.json names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmchat.checkpoints.families.family import Family, Rules
from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.families.names import rule
from mmchat.checkpoints.families.transformers_names import DECODER, whisper_rules, whisper_settings
from mmchat.checkpoints.weights import JoinedTensors, Tensors
from mmchat.config import ModelConfig, ProjectorConfig, SpecialTokens
from mmchat.errors import CheckpointError

_PLACEHOLDER = "<|audio|>"
_END_OF_TURN = "<|eot_id|>"
_PROJECTOR = "multi_modal_projector."
_DEFAULTS = {"hidden_size": 4096, "stack_factor": 8, "projector_act": "swiglu", "projector_ln_mid": False}


def model_config(files: HubFiles, name: str) -> ModelConfig:
    """What the folder and the checkpoints that it names say, as a `ModelConfig`.

    Raises:
        CheckpointError: one of them is not there, or uses something that is not supported; says what.
    """
    config = {**_DEFAULTS, **files.config}
    if config.get("audio_latency_block_size") is not None:
        raise CheckpointError(f"{files.folder}: audio_latency_block_size is not supported: all of a clip is heard")
    if config["projector_act"] not in ("swiglu", "silu", "gelu"):
        raise CheckpointError(f"{files.folder}: projector_act {config['projector_act']!r} is not supported")
    text = _settings(files, "text", "llama")
    if hasattr(text, "text_config"):
        raise CheckpointError(f"{files.folder}: a text model of type {text.model_type!r} is not supported")
    stack, middle = config["stack_factor"], config["projector_ln_mid"]
    return ModelConfig(
        name=name,
        knows="What its makers trained it on: its model card says it. It reads text and hears speech.",
        decoder=decoder_settings(text),
        audio_encoder=whisper_settings(_settings(files, "audio", "whisper"), str(files.folder), padding="zeros"),
        audio_projector=ProjectorConfig(
            reduce="stack",
            neighbours=stack,
            hidden=config["hidden_size"],
            activation=config["projector_act"],
            bias=False,
            norm="rms",
            hidden_norm="rms" if middle else "none",  # from version 0.5 on
            out_norm="none" if middle else "rms",
        ),
        tokens=_tokens(files),
    )


def _settings(files: HubFiles, part: str, model_type: str) -> Any:
    """The configuration of the text or audio model, in the folder or of the checkpoint that it names."""
    base = files.base(f"{part}_model_id")
    if base is not None:
        return base.settings
    return files.settings_of({"model_type": model_type, **files.config.get(f"{part}_config", {})})


def _tokens(files: HubFiles) -> SpecialTokens:
    """The placeholder is in no vocabulary: templates write it as text, and its run is filled with the end token."""
    tokens = files.special_tokens(image=None, audio=_PLACEHOLDER, content="string")
    ends = [*tokens.also_end]
    if files.tokenizer.token_to_id(_END_OF_TURN) is not None and _END_OF_TURN not in (tokens.end, *ends):
        ends.append(_END_OF_TURN)
    return SpecialTokens(**{**tokens.model_dump(), "fill": tokens.end, "also_end": ends})


def _weights(files: HubFiles) -> Tensors:
    """Its own tensors, then those of the checkpoints that it names."""
    parts: list[tuple[Tensors, Callable[[str], str | None]]] = [(files.weights(), str)]
    if text := files.base("text_model_id"):
        parts.append((text.weights(), "language_model.{}".format))
    if audio := files.base("audio_model_id"):
        parts.append((audio.weights(), _of_whisper))
    return JoinedTensors(files.folder, parts)


def _of_whisper(name: str) -> str | None:
    """A tensor of a whole Whisper: of its encoder alone."""
    tower = name.removeprefix("model.")
    return f"audio_tower.{tower.removeprefix('encoder.')}" if tower.startswith("encoder.") else None


def _rules(config: ModelConfig) -> Rules:
    assert config.audio_projector is not None
    middle = config.audio_projector.hidden_norm != "none"
    ends = {"mlp.2": "ln_mid", "mlp.3": "linear_2"} if middle else {"mlp.2": "linear_2", "mlp.3": "ln_post"}
    names = {"norm": "ln_pre", "mlp.0": "linear_1", **ends}
    return {
        "decoder": DECODER,
        "audio_encoder": (
            *whisper_rules("audio_tower."),
            rule("encoder.ln_post.{rest}", "audio_tower.layer_norm.{rest}"),
        ),
        "audio_projector": tuple(
            rule(f"{ours}.{{rest}}", f"{_PROJECTOR}{theirs}.{{rest}}") for ours, theirs in names.items()
        ),
    }


ULTRAVOX = Family(model_config=model_config, rules=_rules, weights=_weights)
