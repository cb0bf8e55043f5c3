"""How many threads a step is taken with: on a CPU that others use too, one is often faster than all."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import torch

_LOOK_EVERY = 48
"""Of so many steps one is taken the other way, to see whether that is faster now."""
_REMEMBERED = 3
_CLEARLY = 1.3
"""How many times sooner one thread has to be done: measurements are uneven, and an idle machine wants all."""

Result = TypeVar("Result")


class Threads:
    """Takes steps with one thread or with all that torch may use, whichever took less time of late.

    All of them wait for the last: where another program has one of the cores, a step of a small model takes several
    times as long with two threads as with one. To be used from one thread of the program.
    """

    def __init__(self) -> None:
        self._all = self._best = torch.get_num_threads()
        self._taken: defaultdict[tuple[int, int], deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        """Seconds by size of the step and number of threads."""
        self._steps: defaultdict[int, int] = defaultdict(int)

    def step(self, size: int, take: Callable[[], Result]) -> Result:
        """Take one of many steps that are alike.

        Args:
            size: steps of one size take about as long.
            take: what is done.
        """
        count = self._next(size)
        began = time.perf_counter()
        try:
            return self._with(count, take)
        finally:
            self._taken[size, count].append(time.perf_counter() - began)

    def once(self, take: Callable[[], Result]) -> Result:
        """Do something that is not like a step, with as many threads as were found best for those."""
        return self._with(self._best, take)

    def _with(self, count: int, take: Callable[[], Result]) -> Result:
        torch.set_num_threads(count)
        try:
            return take()
        finally:
            torch.set_num_threads(self._all)

    def _next(self, size: int) -> int:
        """The number of threads for the next step of a size."""
        if self._all == 1:
            return 1
        one, every = self._taken[size, 1], self._taken[size, self._all]
        if len(one) < _REMEMBERED or len(every) < _REMEMBERED:
            return 1 if len(one) <= len(every) else self._all
        alone = median(one) * _CLEARLY < median(every)
        self._best, other = (1, self._all) if alone else (self._all, 1)
        self._steps[size] += 1
        return self._best if self._steps[size] % _LOOK_EVERY else other
