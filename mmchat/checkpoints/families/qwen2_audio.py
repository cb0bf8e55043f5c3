"""Qwen2-Audio: Whisper's encoder with pairs of features averaged, one linear layer, Qwen2 (Chu et al. 2024).

Names as in https://huggingface.co/Qwen/Qwen2-Audio-7B-Instruct
"""

from __future__ import annotations

from transformers import Qwen2AudioProcessor

from mmchat.checkpoints.families.family import Family
from mmchat.checkpoints.families.hub_files import HubFiles, decoder_settings
from mmchat.checkpoints.families.names import rule
from mmchat.checkpoints.families.transformers_names import DECODER, SPELLINGS, whisper_rules, whisper_settings
from mmchat.config import ModelConfig, ProjectorConfig
from mmchat.errors import CheckpointError


def model_config(files: HubFiles, name: str) -> ModelConfig:
    """What the folder says, as a `ModelConfig`.

    Raises:
        CheckpointError: it uses something of the family that is not supported; says what.
    """
    config = files.settings
    audio = files.tokenizer.id_to_token(config.audio_token_index)
    if audio is None:
        raise CheckpointError(f"{files.folder}: the tokenizer has no token {config.audio_token_index}, the clip's")
    return ModelConfig(
        name=name,
        knows="What its makers trained it on: its model card says it. It reads text and hears speech and sounds.",
        decoder=decoder_settings(config.text_config),
        # The features are averaged before the last layer norm: that is why the projector has it.
        audio_encoder=whisper_settings(config.audio_config, str(files.folder), padding="masked", final_norm=False),
        audio_projector=ProjectorConfig(reduce="pool", neighbours=2, remainder="drop", norm="layer"),
        tokens=files.special_tokens(image=None, audio=audio),
    )


QWEN2_AUDIO = Family(
    model_config=model_config,
    rules=lambda _: {
        "decoder": DECODER,
        "audio_encoder": whisper_rules("audio_tower."),
        "audio_projector": (
            rule("norm.{rest}", "audio_tower.layer_norm.{rest}"),
            rule("mlp.0.{rest}", "multi_modal_projector.linear.{rest}"),
        ),
    },
    spellings=SPELLINGS,
    # the folders of the hub have none of their own; transformers keeps it
    chat_template=Qwen2AudioProcessor.default_chat_template.fget(None),
)
