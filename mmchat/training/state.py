"""What a training keeps beside the checkpoint folder that it will write, and how it goes on from there.

<out>.state.pt              weights, optimizer, position and random numbers; remove it to begin anew
<out>.state.jsonl           the curve, one row a step
<out>.nan-batch.pt          the batch that ended a run: its loss or gradient was no number; nan-batch1.pt of process 1
tensorboard/<name of out>/  the curve as TensorBoard reads it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import nn

from mmchat.errors import CheckpointError


@dataclass(frozen=True)
class RunFiles:
    """Where a training that will write the checkpoint folder `out` keeps its own files."""

    out: Path

    @property
    def state(self) -> Path:
        """Written every `save_minutes` and at the end."""
        return self._beside("state.pt")

    @property
    def curve(self) -> Path:
        """JSON lines."""
        return self._beside("state.jsonl")

    def nan_batch(self, process: int) -> Path:
        """As `torch.save` writes a batch of the stage, of one of the processes that train together."""
        return self._beside(f"nan-batch{process or ''}.pt")

    @property
    def tensorboard(self) -> Path:
        """A folder for this training, in one that compares all trainings beside it."""
        return self.out.parent / "tensorboard" / self.out.name

    def _beside(self, ending: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{ending}")


def load_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Bring back the weights, the optimizer and the random numbers of a training that was stopped.

    Returns:
        Steps and seconds that were used before; zero where there is no such file.

    Raises:
        CheckpointError: the file is damaged or is of another model.
    """
    if not path.is_file():
        return 0, 0.0
    if not is_zipfile(path):  # torch.load would take it for a file of an older format and fail in any way
        raise CheckpointError(f"{path} is damaged: remove it to begin anew")
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is the state of another model: remove it to begin anew") from error
    torch.set_rng_state(state["random"])
    torch.cuda.set_rng_state_all(state.get("random_cuda", [])[: torch.cuda.device_count()])
    return int(state["step"]), float(state["seconds"])


def save_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float) -> None:
    """Write what `load_state` reads; a save that is cut short leaves the last one whole."""
    partial = path.with_suffix(".partial")
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all(),
    }
    torch.save(state, partial)
    partial.replace(path)
