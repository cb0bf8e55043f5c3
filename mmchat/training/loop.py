"""One loop for every stage that follows a gradient: budget, schedule, precision, resume, progress; it stops on NaN."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from mmchat.errors import TrainingError
from mmchat.training import parallel
from mmchat.training.curve import Curve, Point
from mmchat.training.optimizer import build_optimizer
from mmchat.training.settings import (
    ChatStage,
    ContrastiveStage,
    LanguageStage,
    NamingStage,
    OptimizerConfig,
    SpeechStage,
)
from mmchat.training.state import RunFiles, load_state, save_state

GradientConfig = NamingStage | ContrastiveStage | LanguageStage | SpeechStage | ChatStage
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Loss:
    """What one batch gives."""

    value: Tensor
    """A scalar in float32 with its graph."""
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
        """The batch of a step; the same for the same step, whenever it is asked for.

        It is prepared in another thread while the step before it is taken: it reads no weight, and its randomness
        comes from the step alone. Of several processes each has its own rows (`mmchat.training.parallel`).
        """

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch.

        Raises:
            TrainingError: the batch has nothing to learn from.
        """

    @abstractmethod
    def components(self) -> Mapping[str, nn.Module]:
        """What the stage hands on, by the component's name in a checkpoint."""


def fit(stage: GradientStage[Any], config: GradientConfig, console: Console) -> None:
    """Train a stage until its budget is used; goes on from its last state when there is one.

    Args:
        stage: what to train.
        config: its budget and optimizer; `RunFiles(config.out)` says what is written meanwhile.
        console: where progress is shown.

    Raises:
        CheckpointError: the state is damaged or of another model.
        TrainingError: the loss or its gradient is not a number; it names the step and the file that keeps its batch.
    """
    files = RunFiles(config.out)
    optimizer = build_optimizer(stage.module, stage.components(), config.optimizer)
    step, seconds = load_state(files.state, stage.module, optimizer)
    share = first_share = _budget_used(config, step, seconds)
    _train_mode(stage.module)
    with (
        closing(_prepared(stage.batch, step)) as batches,
        _curve(files, step, stage.unit) as curve,
        _progress(console) as progress,
    ):
        bar = progress.add_task(config.name, total=1.0, status="")
        opened = saved = time.monotonic()
        began = opened - seconds  # as if the runs before had ended just now
        while share < 1.0:
            rate = config.optimizer.learning_rate * _schedule(config.optimizer, share)
            started = time.monotonic()
            loss, norm, items = _descend(stage, config, optimizer, rate, step, next(batches))
            step += 1
            now = time.monotonic()
            speed = items / max(now - started, 1e-6)  # some clocks tick in 16 ms
            share, loss, speed = parallel.mean(_budget_used(config, step, now - began), loss, speed)
            speed *= parallel.processes()
            if curve is None:
                continue
            curve.add(Point(step, now - began, loss, rate, norm, speed))
            left = _seconds_left(now - opened, share - first_share, 1 - share)
            status = f"step {step} loss {loss:.3f} {speed:.0f} {stage.unit}/s {timedelta(seconds=round(left))} left"
            progress.update(bar, completed=share, status=status)
            if share >= 1.0 or now - saved > config.save_minutes * 60:
                curve.flush()
                save_state(files.state, stage.module, optimizer, step, now - began)
                saved = now
    stage.module.eval()


def _curve(files: RunFiles, step: int, unit: str) -> AbstractContextManager[Curve | None]:
    """The curve, kept by the first process alone, and with it the state."""
    return closing(Curve(files, step, unit)) if parallel.rank() == 0 else nullcontext()


def _descend(
    stage: GradientStage[Any],
    config: GradientConfig,
    optimizer: torch.optim.Optimizer,
    rate: float,
    step: int,
    batch: object,
) -> tuple[float, float, int]:
    """Take a step down the gradient of a batch.

    Returns:
        The loss, the norm of its gradient before it was clipped, and the items of the batch.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    weights = [weight for weight in stage.module.parameters() if weight.requires_grad]
    with torch.autocast(weights[0].device.type, torch.bfloat16, enabled=_in_bfloat16(config, weights[0].device)):
        loss = stage.loss(batch)
    value = float(loss.value.detach())
    _check_finite(value, "loss", config, step, batch)
    optimizer.zero_grad(set_to_none=True)
    loss.value.backward()  # type: ignore[no-untyped-call]
    parallel.average_gradients(weights)
    norm = float(torch.nn.utils.clip_grad_norm_(weights, config.optimizer.clip))
    _check_finite(norm, "gradient", config, step, batch)
    optimizer.step()
    return value, norm, loss.items


def _in_bfloat16(config: GradientConfig, device: torch.device) -> bool:
    if config.precision != "auto":
        return config.precision == "bfloat16"
    # What oneDNN says of the CPU: it multiplies in bfloat16 with AVX-512, AMX or Arm's instructions, not with AVX2.
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_finite(value: float, what: str, config: GradientConfig, step: int, batch: object) -> None:
    if math.isfinite(value):
        return
    path = RunFiles(config.out).nan_batch(parallel.rank())
    torch.save(batch, path)
    raise TrainingError(
        f"{config.name}: the {what} of step {step} is {value}: lower the learning rate, or look at the batch: "
        f"torch.load({str(path)!r}, weights_only=False)"
    )


def _prepared(batch: Callable[[int], Batch], step: int) -> Generator[Batch, None, None]:
    """The batches of `step` and of those after it; while one is in use, a thread prepares the next."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as worker:
        coming = worker.submit(batch, step)
        while True:
            ready = coming.result()
            step += 1
            coming = worker.submit(batch, step)
            yield ready


def _train_mode(module: nn.Module) -> None:
    """Training mode for what is trained; a batch norm among frozen weights would still move its running statistics."""
    module.train()
    for part in module.modules():
        weights = list(part.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            part.eval()


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


def _seconds_left(seconds: float, share: float, rest: float) -> float:
    """How long the rest of the budget takes at the pace of this run: the runs before may have been on another machine.

    Args:
        seconds: of this run.
        share: of the budget that this run has used.
        rest: share of the budget that is left.
    """
    return max(0.0, seconds * rest / share) if share > 0 else 0.0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        console=console,
    )
