"""Passes over a batch as recorded CUDA graphs: launching its kernels one by one takes longer than computing them.

A graph replays the same kernels on the same addresses, so all that changes between two tokens lies in tensors that
stay: the ids, and where each row stands. Graphs are recorded for a few numbers of rows and of positions.

B rows, S positions that a pass sees, V size of the vocabulary, H key heads, W width of a head
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from mmchat.model.cache import BatchCache, Span

_POSITIONS = 256
"""Passes see whole multiples of so many positions: reading a few too many costs less than another graph."""
_WARM_UP = 2
"""Passes before one is recorded: libraries choose their kernels in the first."""

Compute = Callable[[Tensor, "FixedCache"], Tensor]
"""The logits (B, V) of the next ids (B, 1) of rows that a cache holds."""
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""A pass to something that repeats it, and the tensor in which its result then stands."""


class FixedCache:
    """Rows of a batch cache, at addresses and of shapes that stay."""

    def __init__(self, data: Tensor, rows: int, end: int) -> None:
        """
        Args:
            data: (layers, 2, B or more, H, S or more, W).
            rows: B.
            end: S.
        """
        self.places = torch.zeros((rows, 1), dtype=torch.long, device=data.device)
        """(B, 1): at which position the next id of each row stands."""
        self._data = data[:, :, :rows, :, :end]
        self._rows = torch.arange(rows, device=data.device)
        self._ends = torch.arange(end, device=data.device)

    def extend(self, count: int) -> Span:
        """As of a batch cache; which positions a row sees is computed from `places`."""
        assert count == 1, f"{count} positions of rows of different lengths"
        mask = (self._ends <= self.places)[:, None, None]  # B, 1, 1, S
        return Span(0, len(self._ends), self.places, mask, causal=False)

    def write(self, layer: int, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As of a batch cache: (B, H, 1, W) each to (B, H, S, W) each."""
        all_keys, all_values = self._data[layer]
        places = span.positions[:, 0]
        all_keys[self._rows, :, places] = keys[:, :, 0]
        all_values[self._rows, :, places] = values[:, :, 0]
        return all_keys, all_values


class _Pass:
    """A pass that is recorded when it is first wanted, and the tensors that it reads."""

    def __init__(self, compute: Compute, record: Record, cache: FixedCache) -> None:
        self._ids = torch.zeros_like(cache.places)
        self._cache = cache
        self._record = partial(record, lambda: compute(self._ids, cache))
        self._repeat: Callable[[], None] | None = None

    def read(self, ids: Sequence[int], places: Sequence[int]) -> Tensor:
        """The logits (B, V) of ids at these places; rows that nobody has are read too, and mean nothing."""
        self._ids[: len(ids), 0] = torch.tensor(ids)
        self._cache.places[: len(ids), 0] = torch.tensor(places)
        if self._repeat is None:  # only now: passes before a recording write into the cache as well
            self._repeat, self._logits = self._record()
        self._repeat()
        return self._logits[: len(ids)].clone()


class Graphs:
    """The recorded passes over a batch cache."""

    def __init__(self, compute: Compute, cache: BatchCache, record: Record | None = None) -> None:
        """
        Args:
            compute: what is recorded; it may not wait for the device, nor depend on what lies there.
            cache: of the rows.
            record: how; as a CUDA graph if not given.
        """
        self._compute = compute
        self._cache = cache
        self._record = recorded if record is None else record
        self._data = cache.data
        self._passes: dict[tuple[int, int], _Pass] = {}

    def read(self, ids: Sequence[int]) -> Tensor:
        """The logits (B, V) after the next id of each row."""
        places = self._cache.grow()
        if self._data is not self._cache.data:  # it has moved, and what is recorded reads where it was
            self._data = self._cache.data
            self._passes.clear()
        return self._pass(len(ids), max(places) + 1).read(ids, places)

    def _pass(self, rows: int, end: int) -> _Pass:
        """One of at least so many rows and positions."""
        room, positions = self._data.shape[2], self._data.shape[-2]
        rows = min(1 << (rows - 1).bit_length(), room)
        end = min(-(-end // _POSITIONS) * _POSITIONS, positions)
        if (rows, end) not in self._passes:
            self._passes[rows, end] = _Pass(self._compute, self._record, FixedCache(self._data, rows, end))
        return self._passes[rows, end]


def recorded(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a pass as a CUDA graph, while other threads may use the device."""
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(_WARM_UP):
            compute()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        logits = compute()
    return graph.replay, logits
