"""Voxtral: Whisper's encoder on whole chunks of 30 s, four features a token, an MLP, Llama (Liu et al. 2025).

Names as in https://huggingface.co/mistralai/Voxtral-Mini-3B-2507
"""

from __future__ import annotations

from mmchat.checkpoints.families.family import Family
from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.families.names import rule
from mmchat.checkpoints.families.transformers_names import DECODER, SPELLINGS, whisper_rules, whisper_settings
from mmchat.config import ModelConfig, ProjectorConfig
from mmchat.errors import CheckpointError

# Mistral's own tokenizer lays conversations out in code; the folders hold no template. This is its seventh version.
_TEMPLATE = """{{- bos_token }}
{%- for message in messages -%}
{%- if message.role == "system" %}[SYSTEM_PROMPT]{% elif message.role == "user" %}[INST]{% endif -%}
{%- for part in message.content -%}
{%- if part.type == "audio" -%}
{%- if messages[0].role == "system" -%}
{{ raise_exception("this family takes no system prompt where there is a clip") }}
{%- endif %}[BEGIN_AUDIO][AUDIO]
{%- else %}{{ "\\n\\n" if loop.previtem and loop.previtem.type == "text" }}{{ part.text }}{% endif -%}
{%- endfor -%}
{%- if message.role == "system" %}[/SYSTEM_PROMPT]{% elif message.role == "user" %}[/INST]
{%- else %}{{ eos_token }}{% endif -%}
{%- endfor -%}
"""


def model_config(files: HubFiles, name: str) -> ModelConfig:
    """What the folder says, as a `ModelConfig`.

    Raises:
        CheckpointError: it uses something of the family that is not supported; says what.
    """
    config = files.settings
    if config.projector_hidden_act != "gelu":
        raise CheckpointError(f"{files.folder}: projector_hidden_act {config.projector_hidden_act!r} is not supported")
    audio = files.tokenizer.id_to_token(config.audio_token_id)
    if audio is None:
        raise CheckpointError(f"{files.folder}: the tokenizer has no token {config.audio_token_id}, the clip's")
    return ModelConfig(
        name=name,
        knows="What its makers trained it on: its model card says it. It reads text and hears speech.",
        decoder=decoder_settings(config.text_config),
        audio_encoder=whisper_settings(config.audio_config, str(files.folder), padding="full"),
        audio_projector=ProjectorConfig(
            reduce="stack", neighbours=4, hidden=config.text_config.hidden_size, bias=False, norm="none"
        ),
        tokens=files.special_tokens(image=None, audio=audio),
    )


VOXTRAL = Family(
    model_config=model_config,
    rules=lambda _: {
        "decoder": DECODER,
        "audio_encoder": (
            *whisper_rules("audio_tower."),
            rule("encoder.ln_post.{rest}", "audio_tower.layer_norm.{rest}"),
        ),
        "audio_projector": (
            rule("mlp.0.{rest}", "multi_modal_projector.linear_1.{rest}"),
            rule("mlp.2.{rest}", "multi_modal_projector.linear_2.{rest}"),
        ),
    },
    spellings=SPELLINGS,
    chat_template=_TEMPLATE,
)
