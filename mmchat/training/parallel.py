"""Several processes that train one model together: `torchrun --nproc-per-node 2 -m mmchat train …`.

Each process holds all weights and a share of the rows; after every step the gradients are averaged, so that the weights
stay the same in all of them. Outside `torchrun` there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmchat.errors import ConfigError

Row = TypeVar("Row")


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that `torchrun` started: over NCCL where each has a GPU, otherwise over Gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process. Process 0 alone writes files and shows progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_device() -> torch.device:
    """The GPU of this process where there is one, otherwise the CPU."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else _CPU


def own_rows(rows: Sequence[Row]) -> list[Row]:
    """This process's share of the rows: every N-th.

    Raises:
        ConfigError: there are fewer rows than processes.
    """
    if 0 < len(rows) < processes():
        raise ConfigError(f"{len(rows)} rows cannot be shared by {processes()} processes: start fewer")
    return list(rows[rank() :: processes()])


def own_batch(size: int) -> int:
    """This process's share of a batch.

    Raises:
        ConfigError: the batch cannot be divided equally.
    """
    if size % processes():
        raise ConfigError(f"batch_size: {size} cannot be divided equally among {processes()} processes")
    return size // processes()


def first_says(value: bool) -> bool:
    """What process 0 says; the others wait for it."""
    if processes() == 1:
        return value
    told = torch.tensor([int(value)], device=_where())
    dist.broadcast(told, src=0)
    return bool(told.item())


def mean(*values: float) -> tuple[float, ...]:
    """The mean of each value over the processes."""
    if processes() == 1:
        return values
    summed = torch.tensor(values, dtype=torch.float64, device=_where())
    dist.all_reduce(summed)
    return tuple((summed / processes()).tolist())


def average_gradients(weights: Sequence[nn.Parameter]) -> None:
    """The mean of the gradients over the processes; a weight that no process has a gradient of keeps none."""
    if processes() == 1:
        return
    given = torch.tensor([float(weight.grad is not None) for weight in weights], device=_where())
    flat = torch.cat([_gradient(weight).flatten() for weight in weights])
    dist.all_reduce(given)
    dist.all_reduce(flat)
    parts = torch.split_with_sizes(flat / processes(), [weight.numel() for weight in weights])
    for weight, part, times in zip(weights, parts, given.tolist(), strict=True):
        weight.grad = part.view_as(weight) if times else None


_CPU = torch.device("cpu")


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _where() -> torch.device:
    """Where NCCL and Gloo look for what is exchanged."""
    return local_device() if dist.get_backend() == "nccl" else _CPU
