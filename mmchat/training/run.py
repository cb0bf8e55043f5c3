"""`mmchat train`: one stage from its configuration file, or every stage of a folder in the order of its file names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ModelConfig, load_model_config
from mmchat.errors import CheckpointError, ConfigError, DatasetError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training import parallel
from mmchat.training.chat import ChatTraining
from mmchat.training.contrastive import ContrastiveTraining
from mmchat.training.language import LanguageTraining
from mmchat.training.loop import GradientConfig, GradientStage, fit
from mmchat.training.naming import NamingTraining
from mmchat.training.settings import (
    ChatStage,
    ContrastiveStage,
    LanguageStage,
    NamingStage,
    SpeechStage,
    StageConfig,
    TokenizerStage,
    load_stage_config,
)
from mmchat.training.speech import SpeechTraining
from mmchat.training.tokenizer import train_tokenizer

_DONE = "stage.done"


def run(config_path: Path, overrides: dict[str, str] | None = None, console: Console | None = None) -> None:
    """Train what a configuration says; a stage that was stopped goes on, one that is done is passed over.

    Args:
        config_path: a stage's YAML file, or a folder whose `1-….yaml`, `2-….yaml` … are the stages of a recipe.
        overrides: values that replace those of the files, as YAML text by dotted key.
        console: where progress is shown; standard error by default.

    Raises:
        ConfigError, DatasetError, CheckpointError: something the stage needs is missing or wrong.
        TrainingError: the training itself failed.
    """
    console = console if console is not None else Console(stderr=True)
    paths = sorted(config_path.glob("[0-9]*.yaml")) if config_path.is_dir() else [config_path]
    if not paths:
        raise ConfigError(f"{config_path} holds no stages: they are named 1-….yaml, 2-….yaml and so on")
    with parallel.joined():
        console.quiet = console.quiet or parallel.rank() > 0
        configs = [load_stage_config(path, overrides) for path in paths]
        for config in configs:
            _check_files(config)
        for config in configs:
            _run_stage(config, console)


def _check_files(config: StageConfig) -> None:
    """What a stage reads is looked for before the first one begins: the last begins hours later."""
    if isinstance(config, ChatStage) and not (config.out / _DONE).is_file():
        for path in (config.data / name for name in config.files):
            if not path.is_file():
                raise DatasetError(f"{config.name}: {path} is not there")


def _run_stage(config: StageConfig, console: Console) -> None:
    if parallel.first_says((config.out / _DONE).is_file()):
        _say(console, f"{config.name}: done before, in {config.out}")
        return
    model = load_model_config(config.model)
    if not isinstance(config, TokenizerStage):
        _run_gradient(config, model, console)
    elif parallel.rank() == 0:
        train_tokenizer(config, model)
    if parallel.rank() == 0:
        (config.out / _DONE).touch()
    parallel.first_says(True)  # the next stage starts from what the first process has written
    _say(console, f"{config.name}: written to {config.out}")


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _run_gradient(config: GradientConfig, model: ModelConfig, console: Console) -> None:
    for folder in config.start:
        if not folder.is_dir():
            raise CheckpointError(f"{config.name}: {folder} is not there: run the stage that writes it first")
    torch.manual_seed(config.seed)
    tokenizer = None if isinstance(config, NamingStage) else _tokenizer(config, model)
    if isinstance(config, ChatStage):
        for path in (config.data / name for name in config.extra_files):
            if not path.is_file():
                _say(console, f"{config.name}: without {path}, which is not there")
    with _threads(config.threads):
        stage = _build(config, model, tokenizer, _device(config.device))
        fit(stage, config, console)
    if tokenizer is not None:
        model = model.model_copy(update={"decoder": {"vocab_size": tokenizer.vocab_size, **model.decoder}})
    if isinstance(config, ChatStage):
        untrained = tuple(name for name in model.untrained if name not in config.train)
        model = model.model_copy(update={"untrained": untrained})
    if parallel.rank() == 0:
        save_checkpoint(config.out, model, stage.components(), tokenizer)


def _build(
    config: GradientConfig, model: ModelConfig, tokenizer: ChatTokenizer | None, device: torch.device
) -> GradientStage[Any]:
    if isinstance(config, NamingStage):
        return NamingTraining(config, model, device)
    assert tokenizer is not None, "all other stages read text"
    match config:
        case LanguageStage():
            return LanguageTraining(config, model, tokenizer, device)
        case ContrastiveStage():
            return ContrastiveTraining(config, model, tokenizer, device)
        case SpeechStage():
            return SpeechTraining(config, model, tokenizer, device)
        case ChatStage():
            return ChatTraining(config, model, tokenizer, device)


def _tokenizer(config: GradientConfig, model: ModelConfig) -> ChatTokenizer:
    for folder in config.start:
        if (folder / "tokenizer.json").is_file():
            return ChatTokenizer.load(folder, model.tokens)
    raise CheckpointError(f"{config.name}: no tokenizer in {', '.join(map(str, config.start))}: run its stage first")


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many CPU threads for one stage; the next makes its own choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(name: str) -> torch.device:
    if name == "auto":
        return parallel.local_device()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build of torch without CUDA
        raise ConfigError(f"there is no device {name!r} here: use auto, cpu, cuda or cuda:N") from error
