"""Every setting of mmchat as frozen values; an unknown key is an error, never ignored.

`ModelConfig` says all about a checkpoint, `GenerationOptions` about one answer, `StageConfig` about one training stage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from mmchat.errors import ConfigError, MmchatError, OptionError

Share = Annotated[float, Field(ge=0, le=1)]
Norm = Literal["none", "layer", "rms"]
Component = Literal["image_encoder", "image_projector", "audio_encoder", "audio_projector", "decoder"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


# ---------------------------------------------------------------------------------------------------------- generation


class GenerationOptions(_Frozen):
    """How one answer is drawn from the logits."""

    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 is greedy; higher is freer."""
    top_k: int = Field(default=0, ge=0)
    """Draw from the k most probable tokens; 0 draws from all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the smallest set of tokens that holds this share of the probability."""
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)
    """Above 1, tokens that were already used become less probable (Keskar et al. 2019, section 4.1)."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """The same seed gives the same answer; without one a fresh seed is drawn and reported."""
    max_new_tokens: int = Field(default=96, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The answer ends before the first of these strings."""

    @classmethod
    def create(cls, **given: Any) -> GenerationOptions:
        """Options from what was given; `None` means not given.

        Raises:
            OptionError: a value is out of range or a name is unknown; one line.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise OptionError(_first_problem(error)) from error


# --------------------------------------------------------------------------------------------------------------- model


class ImageEncoderConfig(_Frozen):
    """An open_clip image tower."""

    vision: dict[str, Any]
    """Fields of open_clip's `CLIPVisionCfg`: a `layers` list builds a ModifiedResNet, a number a vision transformer,
    `timm_model_name` a tower of timm, of other sizes where `timm_model_args` (of timm's `create_model`) says so."""
    embed_dim: int
    """Width of the contrastive space that the tower was trained in."""
    quick_gelu: bool = False
    """Whether a vision transformer has the activation of OpenAI's CLIP, x · sigmoid(1.702 x), in the place of GELU."""
    feature_layer: int = -1
    """Which stage's patch features are used, counted as a Python index."""
    class_token: bool = False
    """Whether the class token of a vision transformer stands before its patch features."""
    resize: Literal["fit", "pad", "crop", "stretch"] = "fit"
    """How a picture becomes a square: all of it, on the colour of its border (`fit`) or on the mean colour (`pad`); its
    middle (`crop`); or all of it, whatever its proportions become (`stretch`)."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @model_validator(mode="after")
    def _says_its_size(self) -> ImageEncoderConfig:
        if "image_size" not in self.vision or self.vision.keys().isdisjoint({"width", "timm_model_name"}):
            raise ValueError("vision needs image_size, and width or timm_model_name")
        return self

    @property
    def image_size(self) -> int:
        """Side of the square that pictures are brought to, in pixels."""
        return int(self.vision["image_size"])


class AudioEncoderConfig(_Frozen):
    """A Whisper audio encoder; names as in openai-whisper's `ModelDimensions`."""

    n_mels: Literal[80, 128] = 80
    n_audio_ctx: int = 1500
    """Positions: 1500 are 30 s."""
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    padding: Literal["none", "masked", "full", "zeros"] = "none"
    """What follows a clip in its last chunk: nothing; silence that is heard at the clip's end and attended to by nobody
    (`masked`); silence that becomes features like any sound, in one spectrogram with all of the clip (`full`); or, in
    such a spectrogram and if there is more than one chunk, zeros that become features and are attended to by nobody
    (`zeros`)."""
    final_norm: bool = True
    """Whether the last layer norm belongs to the encoder; where features are pooled before it, the projector has it."""


class ProjectorConfig(_Frozen):
    """From encoder features to cross-modal tokens."""

    reduce: Literal["stack", "pool"]
    """How k neighbouring features become one token: laid end to end, or averaged."""
    neighbours: int = Field(ge=1)
    """k."""
    remainder: Literal["keep", "drop"] = "keep"
    """What becomes of the last features of a clip that are fewer than k: a token of their own, or nothing unless they
    are all there is."""
    hidden: int | None = Field(default=None, ge=1)
    """Width of the hidden layer of the MLP; without one, a single linear layer."""
    activation: Literal["gelu", "silu", "swiglu"] = "gelu"
    """Of the hidden layer; SwiGLU takes one half of it times the SiLU of the other."""
    bias: bool = True
    """Whether linear layers add one."""
    norm: Norm = "layer"
    """Over a token's features, before the first linear layer."""
    hidden_norm: Norm = "none"
    """After the activation."""
    out_norm: Norm = "none"
    """Over the cross-modal token."""
    positions: int = Field(default=0, ge=0)
    """Learned positions, one added to each token of a picture: the features of a convolutional tower say what stands
    somewhere, but not where. 0 adds none; otherwise as many as a picture has tokens."""

    @model_validator(mode="after")
    def _has_what_it_shapes(self) -> ProjectorConfig:
        if self.hidden is None and (self.activation != "gelu" or self.hidden_norm != "none"):
            raise ValueError("activation and hidden_norm belong to the hidden layer: give hidden")
        if self.hidden is not None and self.activation == "swiglu" and self.hidden % 2:
            raise ValueError(f"swiglu halves the hidden layer: {self.hidden} is odd")
        return self


class SpecialTokens(_Frozen):
    """The tokens that nobody can type, each one id of the vocabulary, and how the chat template is given media."""

    begin: str | None = None
    """Stands before the first turn, whether the chat template writes it or not."""
    end: str = "<|end|>"
    """Ends a turn; the decoder stops on it."""
    also_end: tuple[str, ...] = ()
    """More tokens that the decoder stops on."""
    pad: str = "<|pad|>"
    image: str | None = "<|image|>"
    """Placeholder: replaced by one cross-modal token of a picture."""
    audio: str | None = "<|audio|>"
    """Placeholder: replaced by one cross-modal token of a clip."""
    fill: str | None = None
    """The token whose id fills the runs of media where the decoder embeds no placeholders, as where they were added to
    the tokenizer of a text model; by default the placeholder's own."""
    markers: tuple[str, ...] = (
        "<|system|>", "<|user|>", "<|assistant|>",
        "<|image_start|>", "<|image_end|>", "<|audio_start|>", "<|audio_end|>",
    )  # fmt: skip
    content: Literal["parts", "string"] = "parts"
    """What the chat template reads of a message: its parts, or one string with placeholders for media in it."""

    @model_validator(mode="after")
    def _all_differ(self) -> SpecialTokens:
        given = [self.end, *self.markers, self.image, self.audio, None if self.pad == self.end else self.pad]
        twice = sorted({token for token in given if token is not None and given.count(token) > 1})
        if twice:
            raise ValueError(f"each special token needs a name of its own; {', '.join(twice)} stands twice")
        return self

    @property
    def all(self) -> tuple[str, ...]:
        """Every special token, in the order of their ids."""
        ours = (self.pad, self.end, *self.markers, self.image, self.audio, self.begin, self.fill, *self.also_end)
        return tuple(dict.fromkeys(token for token in ours if token is not None))


class ModelConfig(_Frozen):
    """Everything that is needed to build a model; stored as `config.json` of its checkpoint folder."""

    format: Literal[1] = 1
    name: str
    knows: str
    """What the model can be asked, in one or two sentences; shown by `mmchat info` and on the page."""
    decoder: dict[str, Any]
    """A transformers configuration with its `model_type`."""
    image_encoder: ImageEncoderConfig | None = None
    image_projector: ProjectorConfig | None = None
    audio_encoder: AudioEncoderConfig | None = None
    audio_projector: ProjectorConfig | None = None
    tokens: SpecialTokens = SpecialTokens()
    untrained: tuple[Component, ...] = ()
    """Projectors that are still fresh; the model refuses what they would bring."""

    @model_validator(mode="after")
    def _encoders_have_projectors(self) -> ModelConfig:
        for kind in ("image", "audio"):
            if (getattr(self, f"{kind}_encoder") is None) != (getattr(self, f"{kind}_projector") is None):
                raise ValueError(f"{kind}_encoder and {kind}_projector come together: give both or neither")
        if "model_type" not in self.decoder:
            raise ValueError('decoder needs a "model_type" of transformers, "gpt2" for one')
        return self


# ------------------------------------------------------------------------------------------------------------ training


class OptimizerConfig(_Frozen):
    """AdamW with warm-up and cosine decay over the budget."""

    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: Share = 0.02
    """Share of the budget over which the rate rises from zero."""
    final: Share = 0.05
    """The rate at the end, as a share of the highest."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""


class _Stage(_Frozen):
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
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of forward and loss, by torch's autocast; weights and optimizer stay in float32."""

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
    """What is written down: letters, by a head that is thrown away; words of the decoder, by its own embeddings, so
    that the audio projector learns with the encoder to make of speech what text would be; or both."""


class ChatStage(_GradientStage):
    """Chat tuning over all modalities; with the encoders and decoder frozen it is projector alignment."""

    stage: Literal["chat"]
    train: tuple[Component, ...] = Field(min_length=1)
    """The components that learn, one or more; the others stay as they are."""
    files: tuple[str, ...] = ("dialogues.jsonl",)
    """Rows of these files of the dataset, dialogues or `captions.jsonl`."""
    media: tuple[Literal["image", "audio"], ...] = ("image", "audio")
    """Rows that hold other media are left out, and so are its encoder and projector."""
    repeat_audio: int = Field(1, ge=1)
    """How often a row with a clip stands in an epoch: speech is slow to make and slow to learn."""
    repeat: dict[str, Annotated[int, Field(ge=1)]] = {}
    """How often rows of a kind stand in an epoch, where that is not once."""


StageConfig = Annotated[
    TokenizerStage | LanguageStage | NamingStage | ContrastiveStage | SpeechStage | ChatStage,
    Field(discriminator="stage"),
]


# ------------------------------------------------------------------------------------------------------------- reading


def load_model_config(path: Path) -> ModelConfig:
    """Read a `ModelConfig` from YAML or JSON.

    Raises:
        ConfigError: the file is missing or malformed, or has an unknown key or a wrong value; one line.
    """
    config: ModelConfig = _validated(TypeAdapter(ModelConfig), _read(path), path)
    return config


def load_stage_config(path: Path, overrides: dict[str, str] | None = None) -> StageConfig:
    """Read the configuration of one training stage from YAML.

    Args:
        path: the file.
        overrides: values that replace those of the file, as YAML text by dotted key (`optimizer.learning_rate`).

    Raises:
        ConfigError: as for `load_model_config`.
    """
    value = _read(path)
    for key, text in (overrides or {}).items():
        try:
            _put(value, key, yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigError(f"cannot set {key}: {text!r} is malformed") from error
    config: StageConfig = _validated(TypeAdapter(StageConfig), value, path)
    return config


def _put(value: dict[str, Any], key: str, new: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        value = value.setdefault(parent, {})
        if not isinstance(value, dict):
            raise ConfigError(f"cannot set {key}: {parent} holds a single value")
    value[last] = new


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is malformed: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold keys and values")
    return value


def _validated(adapter: TypeAdapter[Any], value: dict[str, Any], path: Path) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from error
    except MmchatError as error:
        raise ConfigError(f"{path}: {error}") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}"
    message, given = problem["msg"].removeprefix("Value error, "), problem["input"]
    if not where:
        return message
    return f"{where}: {message[0].lower()}{message[1:]}" + ("" if isinstance(given, dict) else f", not {given!r}")
