"""How fast several chats are answered at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles

import torch

from mmchat.config import GenerationOptions
from mmchat.evaluation.timing import Progress
from mmchat.generation.scheduler import Scheduler

CHATS = (1, 2, 4, 8, 16)
_PROMPT = 32
_TOKENS = 64
_ANSWERS_EACH = 3


@dataclass(frozen=True)
class Throughput:
    """Several chats at once."""

    tokens_per_second: float
    """Of all together; the median of the runs."""
    p95_s: float
    """95 % of the answers of all runs were whole within so many seconds."""


def chats_speed(scheduler: Scheduler, repeats: int, progress: Progress) -> dict[int, Throughput]:
    """Time chats that ask one question after another, each answered at a fixed length, by how many there are.

    Args:
        scheduler: of an engine without ids that end an answer.
        repeats: of each number of chats.
        progress: told what is done.
    """
    speeds: dict[int, list[float]] = {count: [] for count in CHATS}
    waits: dict[int, list[float]] = {count: [] for count in CHATS}
    for repeat in range(repeats + 1):  # the first warms up
        for count in CHATS:
            began = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                taken = list(threads.map(partial(_answered, scheduler), range(_ANSWERS_EACH * count)))
            if repeat:
                speeds[count].append(len(taken) * _TOKENS / (time.perf_counter() - began))
                waits[count] += taken
        progress("chats", repeat, repeats)
    return {count: Throughput(median(speeds[count]), quantiles(waits[count], n=20)[-1]) for count in CHATS}


def _answered(scheduler: Scheduler, number: int) -> float:
    """Seconds that one question waits for the end of its answer."""
    decoder = scheduler.engine.decoder
    ids = [1 + (position * (number + 1)) % (decoder.vocab_size - 1) for position in range(_PROMPT)]
    began = time.perf_counter()
    prefill = scheduler.prefill(lambda: decoder.embed(torch.tensor([ids], device=decoder.device)))
    options = GenerationOptions.create(max_new_tokens=_TOKENS)
    assert len(list(scheduler.answer(prefill, ids, options, seed=0))) == _TOKENS
    return time.perf_counter() - began
