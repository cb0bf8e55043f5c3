"""What transformers calls the parts that several families are made of."""

from __future__ import annotations

from typing import Any

from mmchat.checkpoints.families.names import Rule, rule
from mmchat.config import AudioEncoderConfig
from mmchat.errors import CheckpointError

DECODER = (
    rule("lm.lm_head.{rest}", "language_model.lm_head.{rest}"),
    rule("lm.model.{rest}", "language_model.model.{rest}"),
)
"""A language model, as the hub has it."""
SPELLINGS = {
    r"model\.language_model\.": "language_model.model.",
    r"lm_head\.": "language_model.lm_head.",
    r"model\.(?=(vision|audio)_tower\.|multi_modal_projector\.)": "",
}
"""Other names of the same, as transformers 4.52 to 5 write them."""


def whisper_rules(tower: str) -> tuple[Rule, ...]:
    """A Whisper encoder, but for its last layer norm."""
    layer, block = tower + "layers.{layer}.", "encoder.blocks.{layer}."
    parts = {
        "attn.query": "self_attn.q_proj",
        "attn.key": "self_attn.k_proj",
        "attn.value": "self_attn.v_proj",
        "attn.out": "self_attn.out_proj",
        "attn_ln": "self_attn_layer_norm",
        "mlp.0": "fc1",
        "mlp.2": "fc2",
        "mlp_ln": "final_layer_norm",
    }
    return (
        rule("encoder.conv1.{rest}", tower + "conv1.{rest}"),
        rule("encoder.conv2.{rest}", tower + "conv2.{rest}"),
        rule("encoder.positional_embedding", tower + "embed_positions.weight"),
        *(rule(f"{block}{ours}.{{rest}}", f"{layer}{theirs}.{{rest}}") for ours, theirs in parts.items()),
    )


def whisper_settings(config: Any, where: str, **changes: Any) -> AudioEncoderConfig:
    """Settings of a Whisper encoder of transformers as ours.

    Raises:
        CheckpointError: it is not built as Whisper is.
    """
    if config.activation_function != "gelu" or config.scale_embedding or config.encoder_ffn_dim != 4 * config.d_model:
        raise CheckpointError(f"{where}: the audio tower is not built as Whisper's encoder is")
    return AudioEncoderConfig(
        n_mels=config.num_mel_bins,
        n_audio_ctx=config.max_source_positions,
        n_audio_state=config.d_model,
        n_audio_head=config.encoder_attention_heads,
        n_audio_layer=config.encoder_layers,
        **changes,
    )
