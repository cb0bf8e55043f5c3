"""Settings as frozen values; an unknown key is an error, never ignored.

`ModelConfig` says all about a checkpoint, `GenerationOptions` about one answer; the settings of training stages stand
beside the stages, in `mmchat/training/settings.py`.
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


class Frozen(BaseModel):
    """Values that cannot be changed, under names that are all known."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


# ---------------------------------------------------------------------------------------------------------- generation


Modality = Literal["image", "audio"]
FinishReason = Literal["stop", "length"]
"""The model ended its turn, or the token budget or the context ran out."""


class GenerationOptions(Frozen):
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
    prompt_lookup: int = Field(default=0, ge=0)
    """At most so many tokens are guessed from what was said before and read at once; the answer is the same, sooner
    where it repeats the conversation."""
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


class ImageEncoderConfig(Frozen):
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


class AudioEncoderConfig(Frozen):
    """A Whisper audio encoder; names as in openai-whisper's `ModelDimensions`."""

    n_mels: Literal[80, 128] = 80
    n_audio_ctx: int = 1500
    """Positions: 1500 are 30 s."""
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    stride: Literal[2, 4, 8] = 2
    """Mel frames a feature, each of 10 ms; Whisper's own checkpoints have 2. With more, fewer features run through as
    many layers (as in FastConformer, Rekesh et al. 2023); only where nothing follows a clip."""
    padding: Literal["none", "masked", "full", "zeros"] = "none"
    """What follows a clip in its last chunk: nothing; silence that is heard at the clip's end and attended to by nobody
    (`masked`); silence that becomes features like any sound, in one spectrogram with all of the clip (`full`); or, in
    such a spectrogram and if there is more than one chunk, zeros that become features and are attended to by nobody
    (`zeros`)."""
    final_norm: bool = True
    """Whether the last layer norm belongs to the encoder; where features are pooled before it, the projector has it."""

    @model_validator(mode="after")
    def _fills_its_positions(self) -> AudioEncoderConfig:
        if self.stride > 2 and self.padding != "none":
            raise ValueError(f"stride: {self.stride} goes with padding none, not {self.padding}")
        if 2 * self.n_audio_ctx % self.stride:
            raise ValueError(f"stride: {2 * self.n_audio_ctx} mel frames are no multiple of {self.stride}")
        return self


class ProjectorConfig(Frozen):
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
    heard: Literal["tokens", "words"] = "tokens"
    """As what the decoder reads a clip: as the MLP's tokens, in time; or as words. Then a token at which a word is said
    is read as that word's own embedding, mixed with those of what else it may have been, so that speech reads like
    text; tokens at which none is said stand behind. What is said is learnt with CTC."""

    @model_validator(mode="after")
    def _has_what_it_shapes(self) -> ProjectorConfig:
        if self.hidden is None and (self.activation != "gelu" or self.hidden_norm != "none"):
            raise ValueError("activation and hidden_norm belong to the hidden layer: give hidden")
        if self.hidden is not None and self.activation == "swiglu" and self.hidden % 2:
            raise ValueError(f"swiglu halves the hidden layer: {self.hidden} is odd")
        return self


class SpecialTokens(Frozen):
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


class ModelConfig(Frozen):
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


# ------------------------------------------------------------------------------------------------------------- reading


def load_model_config(path: Path) -> ModelConfig:
    """Read a `ModelConfig` from YAML or JSON.

    Raises:
        ConfigError: the file is missing or malformed, or has an unknown key or a wrong value; one line.
    """
    config: ModelConfig = validated(TypeAdapter(ModelConfig), read_values(path), path)
    return config


def read_values(path: Path) -> dict[str, Any]:
    """Keys and values of a YAML or JSON file.

    Raises:
        ConfigError: the file is missing or malformed, or holds anything else.
    """
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


def validated(adapter: TypeAdapter[Any], value: dict[str, Any], path: Path) -> Any:
    """What an adapter makes of the values of a file.

    Raises:
        ConfigError: an unknown key or a wrong value; one line that names the file.
    """
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
