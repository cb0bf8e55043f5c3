"""Settings: what is accepted, and the one line that a wrong one gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mmchat.config import GenerationOptions, ModelConfig, SpecialTokens, load_model_config
from mmchat.errors import ConfigError, OptionError
from mmchat.training.settings import ChatStage, load_stage_config

MODEL = {
    "name": "toy",
    "knows": "nothing",
    "decoder": {"model_type": "gpt2", "eos_token_id": None},
    "image_encoder": {"vision": {"layers": 2, "width": 32, "patch_size": 16, "image_size": 64}, "embed_dim": 32},
    "image_projector": {"reduce": "pool", "neighbours": 1, "hidden": 8},
}
STAGE = {
    "stage": "chat",
    "name": "chat",
    "model": "model.yaml",
    "data": "data",
    "out": "out",
    "batch_size": 2,
    "max_steps": 3,
    "train": ["decoder"],
    "optimizer": {"learning_rate": 1e-3},
}


def written(folder: Path, value: Any, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(json.dumps(value) if path.suffix == ".json" else yaml.safe_dump(value))
    return path


def changed(value: dict[str, Any], key: str, new: Any) -> dict[str, Any]:
    """A copy in which the value at a dotted key is another."""
    first, _, rest = key.partition(".")
    return {**value, first: changed(value[first], rest, new) if rest else new}


# Generation


def test_options_that_were_not_given_take_their_defaults() -> None:
    assert GenerationOptions.create(temperature=None, seed=None, stop=None) == GenerationOptions()


def test_zero_is_a_value_and_not_the_absence_of_one() -> None:
    """`temperature or default` would turn greedy into something else."""
    options = GenerationOptions.create(temperature=0, top_k=0, seed=0)
    assert (options.temperature, options.top_k, options.seed) == (0.0, 0, 0)


def test_stop_strings_come_as_a_list_or_a_tuple() -> None:
    assert GenerationOptions.create(stop=["a", "b"]).stop == ("a", "b")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"temperature": -0.1}, "temperature: input should be greater than or equal to 0, not -0.1"),
        ({"temperature": float("nan")}, "temperature: input should be less than or equal to 10, not nan"),
        ({"top_k": -1}, "top_k: input should be greater than or equal to 0, not -1"),
        ({"top_p": 0}, "top_p: input should be greater than 0, not 0"),
        ({"top_p": 1.01}, "top_p: input should be less than or equal to 1, not 1.01"),
        ({"repetition_penalty": 0}, "repetition_penalty: input should be greater than 0, not 0"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, not -1"),
        ({"max_new_tokens": 0}, "max_new_tokens: input should be greater than or equal to 1, not 0"),
        ({"stop": "end"}, "stop: input should be a valid tuple, not 'end'"),
        ({"stop": [""]}, "stop.0: string should have at least 1 character, not ''"),
        ({"temprature": 1}, "unknown key temprature"),
    ],
)
def test_an_option_out_of_range_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionError) as caught:
        GenerationOptions.create(**given)
    assert str(caught.value) == line
    assert caught.value.exit_code == 2


def test_options_are_frozen() -> None:
    options = GenerationOptions()
    with pytest.raises(ValidationError, match="frozen"):
        options.temperature = 1.0


# Models


@pytest.mark.parametrize("name", ["config.yaml", "config.json"])
def test_a_model_is_read_from_yaml_and_json(tmp_path: Path, name: str) -> None:
    config = load_model_config(written(tmp_path, MODEL, name))
    assert config == ModelConfig.model_validate(MODEL)
    assert config.image_encoder is not None
    assert config.image_encoder.image_size == 64


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    """Also a null inside the decoder's settings: without it transformers takes an id outside the vocabulary."""
    config = ModelConfig.model_validate(MODEL)
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json(exclude_none=True))
    assert load_model_config(path) == config


@pytest.mark.parametrize(
    ("key", "new", "line"),
    [
        ("colour", "red", "unknown key colour"),
        ("image_encoder.depth", 3, "unknown key image_encoder.depth"),
        ("image_projector.neighbors", 3, "unknown key image_projector.neighbors"),
        ("image_projector.neighbours", 0,
         "image_projector.neighbours: input should be greater than or equal to 1, not 0"),
        ("image_projector.reduce", "sum", "image_projector.reduce: input should be 'stack' or 'pool', not 'sum'"),
        ("format", 2, "format: input should be 1, not 2"),
        ("decoder", {}, 'decoder needs a "model_type" of transformers, "gpt2" for one'),
        ("image_projector", None, "image_encoder and image_projector come together: give both or neither"),
        ("audio_encoder", {"n_audio_state": 4, "n_audio_head": 1, "n_audio_layer": 1},
         "audio_encoder and audio_projector come together: give both or neither"),
        ("image_encoder.vision", {"width": 32}, "image_encoder: vision needs image_size, and width or timm_model_name"),
        ("tokens", {"image": "<|audio|>"},
         "tokens: each special token needs a name of its own; <|audio|> stands twice"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_one_line_with_the_file(tmp_path: Path, key: str, new: Any, line: str) -> None:
    path = written(tmp_path, changed(MODEL, key, new))
    with pytest.raises(ConfigError) as caught:
        load_model_config(path)
    assert str(caught.value) == f"{path}: {line}"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, {key: value for key, value in MODEL.items() if key != "knows"})
    with pytest.raises(ConfigError) as caught:
        load_model_config(path)
    assert str(caught.value) == f"{path}: knows: field required"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot read {path}: No such file or directory"),
        (b"a: [1, 2", "{path} is malformed: while parsing a flow sequence"),
        (b"", "{path} must hold keys and values"),
        (b"- a\n- b\n", "{path} must hold keys and values"),
        (b"name: \xff\xfe", "cannot read {path}: 'utf-8' codec can't decode"),
    ],
    ids=["missing", "malformed", "empty", "list", "binary"],
)
def test_a_file_that_holds_no_settings(tmp_path: Path, content: bytes | None, line: str) -> None:
    path = tmp_path / "model.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_model_config(path)
    assert str(caught.value).startswith(line.format(path=path))
    assert "\n" not in str(caught.value)


def test_special_tokens_have_a_fixed_order() -> None:
    """Their ids follow it, so it is part of the format."""
    assert SpecialTokens().all == (
        "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>",
        "<|image_start|>", "<|image_end|>", "<|audio_start|>", "<|audio_end|>", "<|image|>", "<|audio|>",
    )  # fmt: skip


# Stages


def test_a_stage_is_told_apart_by_its_name(tmp_path: Path) -> None:
    config = load_stage_config(written(tmp_path, STAGE))
    assert isinstance(config, ChatStage)
    assert config.optimizer.learning_rate == 1e-3


def test_values_may_be_replaced_by_dotted_keys(tmp_path: Path) -> None:
    overrides = {"optimizer.learning_rate": "5e-4", "max_steps": "null", "max_minutes": "1.5", "seed": "7"}
    config = load_stage_config(written(tmp_path, STAGE), overrides)
    assert isinstance(config, ChatStage)
    assert (config.max_steps, config.max_minutes, config.seed) == (None, 1.5, 7)
    assert config.optimizer.learning_rate == 5e-4


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"optimizer.rate": "1"}, "{path}: unknown key chat.optimizer.rate"),
        ({"name.first": "1"}, "cannot set name.first: name holds a single value"),
        ({"seed": "[1"}, "cannot set seed: '[1' is malformed"),
        ({"seed": "seven"}, "{path}: chat.seed: input should be a valid integer, unable to parse string as an integer, "
         "not 'seven'"),
        ({"precision": "float16"}, "{path}: chat.precision: input should be 'float32', 'bfloat16' or 'auto', not "
         "'float16'"),
        ({"max_steps": "null"}, "{path}: chat: give a budget: max_steps, max_minutes or both"),
        ({"stage": "dance"}, "{path}: Input tag 'dance' found using 'stage' does not match any of the expected tags"),
    ],
)  # fmt: skip
def test_a_wrong_replacement_is_one_line(tmp_path: Path, overrides: dict[str, str], line: str) -> None:
    path = written(tmp_path, STAGE)
    with pytest.raises(ConfigError) as caught:
        load_stage_config(path, overrides)
    assert str(caught.value).startswith(line.format(path=path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ({"stage": "contrastive", "batch_size": 1, "text": {}},
         "contrastive.batch_size: input should be greater than or equal to 2, not 1"),
        ({"stage": "tokenizer", "vocab_size": 512, "chat_template": "t.jinja", "start": ["before"]},
         "unknown key tokenizer.start"),
    ],
)  # fmt: skip
def test_what_a_stage_could_not_use_is_refused(tmp_path: Path, stage: dict[str, Any], line: str) -> None:
    """One caption has nothing to be told from; a tokenizer starts from nothing."""
    common = {key: STAGE[key] for key in ("name", "model", "data", "out")}
    gradient = {key: STAGE[key] for key in ("max_steps", "optimizer")} if stage["stage"] != "tokenizer" else {}
    path = written(tmp_path, {**common, **gradient, **stage})
    with pytest.raises(ConfigError) as caught:
        load_stage_config(path)
    assert str(caught.value) == f"{path}: {line}"
