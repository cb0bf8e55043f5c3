"""One loop for every stage that follows a gradient: budget, schedule, resume, progress; it stops on NaN."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from mmchat.config import ChatStage, ContrastiveStage, LanguageStage, OptimizerConfig, SpeechStage
from mmchat.errors import CheckpointError, TrainingError

GradientConfig = ContrastiveStage | LanguageStage | SpeechStage | ChatStage
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Loss:
    """What one batch gives."""

    value: Tensor
    """A scalar with its graph."""
    items: int
    """Labelled tokens, pictures or clips: what the speed is counted in."""


class GradientStage(ABC, Generic[Batch]):
    """A stage: what is trained, which batch a step sees, and its loss."""

    unit: str
    """Name of what `Loss.items` counts."""
    module: nn.Module
    """Holds every weight of the stage; those that require a gradient are trained."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a step; the same for the same step, whenever it is asked for."""

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch.

        Raises:
            TrainingError: the batch has nothing to learn from.
        """

    @abstractmethod
    def components(self) -> Mapping[str, nn.Module]:
        """What the stage hands on, by the component's name in a checkpoint."""


def fit(stage: GradientStage[Any], config: GradientConfig, state_file: Path, console: Console) -> None:
    """Train a stage until its budget is used; goes on from `state_file` when there is one.

    Args:
        stage: what to train.
        config: its budget and optimizer.
        state_file: weights, optimizer and position, written every `save_minutes`; a `.jsonl` beside it takes the curve,
            one row a step.
        console: where progress is shown.

    Raises:
        CheckpointError: `state_file` is of another model.
        TrainingError: the loss or its gradient is not a number; the step is named and the last state is kept.
    """
    trained = [weight for weight in stage.module.parameters() if weight.requires_grad]
    optimizer = _optimizer(stage.module, config.optimizer)
    step, seconds = _resume(stage.module, optimizer, state_file)
    curve_file = state_file.with_suffix(".jsonl")
    _begin_curve(curve_file, step)
    began = saved = time.monotonic() - seconds
    saved += seconds
    _train_mode(stage.module)
    with _progress(console) as progress:
        bar = progress.add_task(config.name, total=1.0, status="")
        while (share := _budget_used(config, step, time.monotonic() - began)) < 1.0:
            for group in optimizer.param_groups:
                group["lr"] = config.optimizer.learning_rate * _schedule(config.optimizer, share)
            started = time.monotonic()
            loss = stage.loss(stage.batch(step))
            value = float(loss.value.detach())
            if not math.isfinite(value):
                raise TrainingError(f"{config.name}: the loss of step {step} is {value}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.value.backward()  # type: ignore[no-untyped-call]
            norm = float(torch.nn.utils.clip_grad_norm_(trained, config.optimizer.clip))
            if not math.isfinite(norm):
                raise TrainingError(f"{config.name}: the gradient of step {step} is {norm}; lower the learning rate")
            optimizer.step()
            step += 1
            now = time.monotonic()
            speed = loss.items / max(now - started, 1e-6)  # some clocks tick in 16 ms
            _record(curve_file, step, now - began, value, speed, stage.unit)
            left = (now - began) * (1 - share) / share if share > 0 else 0.0
            status = f"step {step} loss {value:.3f} {speed:.0f} {stage.unit}/s {left / 60:.0f} min left"
            progress.update(bar, completed=share, status=status)
            if now - saved > config.save_minutes * 60:
                _save(stage.module, optimizer, step, now - began, state_file)
                saved = now
        progress.update(bar, completed=1.0)
    _save(stage.module, optimizer, step, time.monotonic() - began, state_file)
    stage.module.eval()


def _train_mode(module: nn.Module) -> None:
    """Training mode for what is trained; a batch norm among frozen weights would still move its running statistics."""
    module.train()
    for part in module.modules():
        weights = list(part.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            part.eval()


def _optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def _schedule(config: OptimizerConfig, share: float) -> float:
    """Share of the highest learning rate when a share of the budget is used: linear warm-up, then cosine decay."""
    if share < config.warmup:
        return (share + 1e-3) / (config.warmup + 1e-3)
    decay = (share - config.warmup) / (1 - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * decay))


def _budget_used(config: GradientConfig, step: int, seconds: float) -> float:
    by_steps = 0.0 if config.max_steps is None else step / config.max_steps
    by_time = 0.0 if config.max_minutes is None else seconds / (config.max_minutes * 60)
    return max(by_steps, by_time)


def _resume(module: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is the state of another model: remove it to begin anew") from error
    torch.set_rng_state(state["random"])
    return int(state["step"]), float(state["seconds"])


def _save(module: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
        "random": torch.get_rng_state(),
    }
    torch.save(state, partial)
    partial.replace(path)


def _begin_curve(path: Path, step: int) -> None:
    """Drop the rows of steps that were taken after the last save, for they are taken again."""
    if not path.is_file():
        return
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(rows[:step]), encoding="utf-8")


def _record(path: Path, step: int, seconds: float, loss: float, speed: float, unit: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"step": step, "seconds": round(seconds, 1), "loss": round(loss, 5), f"{unit}_per_s": round(speed, 1)}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        console=console,
    )
