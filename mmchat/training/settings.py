"""The settings of training stages, as they stand in `configs/*/*.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, model_validator

from mmchat.config import Component, Frozen, Share, read_values, validated
from mmchat.errors import ConfigError


class OptimizerConfig(Frozen):
    """AdamW, or Muon beside it, with warm-up and cosine decay over the budget."""

    matrices: Literal["adamw", "muon"] = "adamw"
    """How the matrices of layers learn; all else, and heads that are thrown away, learn by AdamW."""
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: Share = 0.02
    """Share of the budget over which the rate rises from zero."""
    final: Share = 0.05
    """The rate at the end, as a share of the highest."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    rates: dict[Component, Share] = Field(default_factory=dict)
    """The rate of a component as a share of that of the others: a tower that was trained alone is easily spoilt."""


class _Stage(Frozen):
    name: str
    model: Path
    """YAML file with the `ModelConfig` that is trained."""
    data: Path
    """Dataset folder (one split)."""
    out: Path
    """Checkpoint folder that this stage writes."""


class TokenizerStage(_Stage):
    """Byte-level BPE over the text of the dataset."""

    stage: Literal["tokenizer"]
    vocab_size: int = Field(ge=300)
    chat_template: Path


class _GradientStage(_Stage):
    """What all stages share that follow a gradient."""

    start: tuple[Path, ...] = ()
    """Checkpoint folders that hold what this stage starts from; a component is taken from the first that has it."""
    batch_size: int = Field(ge=1)
    optimizer: OptimizerConfig
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    """The budget: whichever of steps and minutes ends first; the learning rate decays over it."""
    save_minutes: float = Field(3.0, gt=0)
    seed: int = 0
    device: str = "auto"
    threads: int | None = Field(None, ge=1)
    """CPU threads; unset leaves torch's choice."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of forward and loss, by torch's autocast; weights and optimizer stay in float32.

    `auto` is bfloat16 where the device computes in it: a CPU that does not takes some seventy times as long over it.
    """

    @model_validator(mode="after")
    def _has_budget(self) -> _GradientStage:
        if self.max_steps is None and self.max_minutes is None:
            raise ValueError("give a budget: max_steps, max_minutes or both")
        return self


class LanguageStage(_GradientStage):
    """Next-token pre-training of the decoder on the text of the dataset."""

    stage: Literal["language"]
    context: int = Field(ge=16)
    """Tokens a row; documents are packed end to end."""


class NamingStage(_GradientStage):
    """Pre-training of the image tower on regions of pictures and their names."""

    stage: Literal["naming"]
    crop: int | None = Field(None, gt=0, multiple_of=32)
    """Each thing is cut out of its picture and seen alone, at so many pixels a side: cheaper than whole pictures for a
    residual tower that begins (progressive resizing, Howard 2018). Unset, pictures are seen whole."""
    hold: float = Field(0.0, ge=0)
    """Weight of a loss that holds the features to those of the tower in `start`, so that a projector and a decoder that
    read them go on reading them while it learns more (after Li & Hoiem 2016, learning without forgetting)."""


class ContrastiveStage(_GradientStage):
    """CLIP pre-training of the image tower (Radford et al. 2021) on pictures and captions."""

    stage: Literal["contrastive"]
    batch_size: int = Field(ge=2)
    """A caption alone has nothing to be told from."""
    text: dict[str, Any]
    """Fields of open_clip's `CLIPTextCfg` for the text tower, which is thrown away afterwards."""


class SpeechStage(_GradientStage):
    """Speech-to-text pre-training with CTC (Graves et al. 2006)."""

    stage: Literal["speech"]
    spell_in: tuple[Literal["letters", "words"], ...] = Field(("letters",), min_length=1)
    """What is written down: letters, by a head that is thrown away; words of the decoder, so that the audio projector
    learns with the encoder; or both. Words are told as the projector keeps them where it hears words, otherwise by the
    decoder's own embeddings, so that it makes of speech what text would be."""


class ChatStage(_GradientStage):
    """Chat tuning over all modalities; with the encoders and decoder frozen it is projector alignment."""

    stage: Literal["chat"]
    train: tuple[Component, ...] = Field(min_length=1)
    """The components that learn, one or more; the others stay as they are."""
    files: tuple[str, ...] = ("dialogues.jsonl",)
    """Rows of these files of the dataset, dialogues or `captions.jsonl`."""
    extra_files: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Files of which not every dataset has one, and how often their rows stand in an epoch; what is missing is said."""
    media: tuple[Literal["image", "audio"], ...] = ("image", "audio")
    """Rows that hold other media are left out, and so are its encoder and projector."""
    repeat_audio: int = Field(1, ge=1)
    """How often a row with a clip stands in an epoch: speech is slow to make and slow to learn."""
    hear_anew: bool = False
    """Clips are played slower or faster each time, and encoded each time, though their encoder may be frozen."""
    see_anew: bool = False
    """Pictures are shifted, scaled, turned a little and lit otherwise each time, and encoded each time."""
    type_anew: bool = False
    """What users type loses little words or gains some each time, but for what answers quote; for English."""
    ctc_weight: float = Field(0.0, ge=0)
    """Weight of a CTC loss over the tokens of clips, by the `transcripts` of their rows, beside the loss of answers."""
    repeat: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """How often rows of a kind stand in an epoch, where that is not once."""


StageConfig = Annotated[
    TokenizerStage | LanguageStage | NamingStage | ContrastiveStage | SpeechStage | ChatStage,
    Field(discriminator="stage"),
]


def load_stage_config(path: Path, overrides: dict[str, str] | None = None) -> StageConfig:
    """Read the configuration of one training stage from YAML.

    Args:
        path: the file.
        overrides: values that replace those of the file, as YAML text by dotted key (`optimizer.learning_rate`).

    Raises:
        ConfigError: as for `load_model_config`.
    """
    value = read_values(path)
    for key, text in (overrides or {}).items():
        try:
            _put(value, key, yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigError(f"cannot set {key}: {text!r} is malformed") from error
    config: StageConfig = validated(TypeAdapter(StageConfig), value, path)
    return config


def _put(value: dict[str, Any], key: str, new: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        value = value.setdefault(parent, {})
        if not isinstance(value, dict):
            raise ConfigError(f"cannot set {key}: {parent} holds a single value")
    value[last] = new
