"""Keys and values of what a decoder has read.

B rows, H key heads, S positions that there is room for, T positions that are read, W width of a head
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_ROOM = 64
"""Room grows by whole multiples of so many positions."""


class Cache(Protocol):
    """What a decoder has read, of one row or of several that are equally long."""

    @property
    def length(self) -> int:
        """Positions."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        ...

    @property
    def position_bytes(self) -> float:
        """Bytes of one position."""
        ...

    def fork(self) -> Cache:
        """A copy that grows by itself."""
        ...

    def prefix(self, length: int) -> Cache | None:
        """A copy of the first `length` positions; None where they cannot be had any more."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order; a row may stand in it more than once."""
        ...

    @property
    def croppable(self) -> bool:
        """Whether the last positions can be forgotten."""
        ...

    def crop(self, length: int) -> None:
        """Forget all but the first `length` positions; `croppable` says whether this can be."""
        ...


@dataclass(frozen=True)
class Sizes:
    """Of the keys of one position, and of the values too."""

    layers: int
    heads: int
    width: int
    context: int
    """The most positions."""


@dataclass(frozen=True)
class Span:
    """The positions that one forward pass reads."""

    start: int
    """The first of them; of rows of different lengths, of the shortest."""
    end: int
    """The last of them and one; of rows of different lengths, of the longest."""
    positions: Tensor
    """(T,), or (B, 1) where each row has its own."""
    mask: Tensor | None
    """(T, end) or (B, 1, 1, end) bool, which positions each sees; None where `causal` says it, or each sees all."""
    causal: bool
    """Whether the T positions are the first, and each sees itself and those before it."""


class KeyValueCache:
    """Keys and values in tensors with room for more, so that a token is written and nothing else is moved."""

    def __init__(self, sizes: Sizes, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        """Nothing was read yet.

        Args:
            sizes: of keys and values.
            rows: B.
            dtype: of keys and values.
            device: where they are.
        """
        self._sizes = sizes
        self._data = torch.empty((sizes.layers, 2, rows, sizes.heads, 0, sizes.width), dtype=dtype, device=device)
        self._length = 0

    @property
    def length(self) -> int:
        """Positions."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of memory, the room included."""
        return self._data.nbytes

    @property
    def position_bytes(self) -> float:
        """Bytes of one position."""
        return self._data.nbytes / self._data.shape[-2]

    def fork(self) -> KeyValueCache:
        """A copy that grows by itself."""
        return self.prefix(self._length)

    def prefix(self, length: int) -> KeyValueCache:
        """A copy of the first `length` positions."""
        assert length <= self._length, f"{length} positions of {self._length}"
        other = KeyValueCache(self._sizes, self._data.shape[2], self._data.dtype, self._data.device)
        other._make_room(min(length + 1, self._sizes.context))
        other._data[..., :length, :] = self._data[..., :length, :]
        other._length = length
        return other

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order; a row may stand in it more than once."""
        self._data = self._data[:, :, torch.tensor(rows, device=self._data.device)]

    @property
    def croppable(self) -> bool:
        """Always."""
        return True

    def crop(self, length: int) -> None:
        """Forget all but the first `length` positions."""
        assert length <= self._length, f"{length} positions of {self._length}"
        self._length = length

    def extend(self, count: int) -> Span:
        """Room for the next positions; `write` fills it layer by layer.

        Args:
            count: T.
        """
        start, end = self._length, self._length + count
        assert end <= self._sizes.context, f"position {end} of a context of {self._sizes.context}"
        self._make_room(end)
        self._length = end
        positions = torch.arange(start, end, device=self._data.device)
        mask = None
        if start and count > 1:
            mask = torch.arange(end, device=self._data.device) <= positions[:, None]
        return Span(start, end, positions, mask, causal=start == 0 and count > 1)

    def write(self, layer: int, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep what a layer made of a span.

        Args:
            layer: its number.
            span: of `extend`.
            keys: (B, H, T, W).
            values: (B, H, T, W).

        Returns:
            Keys and values (B, H, end, W) of all positions so far; views.
        """
        all_keys, all_values = self._data[layer]
        all_keys[:, :, span.start : span.end] = keys
        all_values[:, :, span.start : span.end] = values
        return all_keys[:, :, : span.end], all_values[:, :, : span.end]

    def _make_room(self, needed: int) -> None:
        """For `needed` positions; twice as many as there were, so that a long answer is moved a few times only."""
        room = self._data.shape[-2]
        if needed <= room:
            return
        wanted = max(needed, 2 * room)
        room = min(_rounded(wanted), self._sizes.context)
        data = self._data.new_empty((*self._data.shape[:-2], room, self._data.shape[-1]))
        data[..., : self._length, :] = self._data[..., : self._length, :]
        self._data = data


class BatchCache:
    """Keys and values of rows that are not equally long, and grow a position at a time, all of them together.

    Rows come and go; those that are there lie side by side at the front, so that a pass reads nothing else.
    """

    def __init__(self, sizes: Sizes, dtype: torch.dtype, device: torch.device) -> None:
        """Without a row.

        Args:
            sizes: of keys and values.
            dtype: of keys and values.
            device: where they are.
        """
        self._sizes = sizes
        self._data = torch.zeros((sizes.layers, 2, 0, sizes.heads, 0, sizes.width), dtype=dtype, device=device)
        self._lengths: list[int] = []
        self._rows = torch.arange(0, device=device)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Positions of each row."""
        return tuple(self._lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, the room included."""
        return self._data.nbytes

    @property
    def data(self) -> Tensor:
        """(layers, 2, rows and more, H, S, W): keys and values; another tensor whenever room was made."""
        return self._data

    def add(self, cache: KeyValueCache) -> None:
        """A new last row, with a copy of what a cache of one row holds."""
        row, length = len(self._lengths), cache.length
        self._make_room(row + 1, min(length + 1, self._sizes.context))
        self._data[:, :, row, :, :length] = cache._data[:, :, 0, :, :length]
        self._changed([*self._lengths, length])

    def take(self, row: int) -> KeyValueCache:
        """Remove a row; what it held. The last row takes its place."""
        length = self._lengths[row]
        taken = KeyValueCache(self._sizes, 1, self._data.dtype, self._data.device)
        taken._make_room(length)
        taken._data[:, :, 0, :, :length] = self._data[:, :, row, :, :length]
        taken._length = length
        *others, last = self._lengths
        if row < len(others):
            self._data[:, :, row, :, :last] = self._data[:, :, len(others), :, :last]
            others[row] = last
        self._changed(others)
        return taken

    def extend(self, count: int) -> Span:
        """Room for the next position of each row; `write` fills it layer by layer.

        Args:
            count: 1.
        """
        assert count == 1, f"{count} positions of rows of different lengths"
        lengths = self.grow()
        start, end = min(lengths), max(lengths) + 1
        positions = torch.tensor(lengths, device=self._data.device)[:, None]
        mask = None
        if start + 1 < end:
            mask = (torch.arange(end, device=self._data.device) <= positions)[:, None, None]
        return Span(start, end, positions, mask, causal=False)

    def grow(self) -> tuple[int, ...]:
        """Room for the next position of each row; which they are."""
        places = self.lengths
        end = max(places) + 1
        assert end <= self._sizes.context, f"position {end} of a context of {self._sizes.context}"
        self._make_room(len(places), end)
        self._lengths = [length + 1 for length in places]
        return places

    def write(self, layer: int, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep what a layer made of a span.

        Args:
            layer: its number.
            span: of `extend`.
            keys: (B, H, 1, W).
            values: (B, H, 1, W).

        Returns:
            Keys and values (B, H, end, W); of a shorter row, what stands behind its end means nothing. Views.
        """
        all_keys, all_values = self._data[layer, :, : len(self._lengths)]
        if span.mask is None:
            all_keys[:, :, span.start : span.end] = keys
            all_values[:, :, span.start : span.end] = values
        else:
            places = span.positions[:, 0]
            all_keys[self._rows, :, places] = keys[:, :, 0]
            all_values[self._rows, :, places] = values[:, :, 0]
        return all_keys[:, :, : span.end], all_values[:, :, : span.end]

    def _changed(self, lengths: list[int]) -> None:
        self._lengths = lengths
        self._rows = torch.arange(len(lengths), device=self._data.device)

    def _make_room(self, rows: int, positions: int) -> None:
        """For so many rows and positions; twice as many as there were, where they were too few."""
        had_rows, had = self._data.shape[2], self._data.shape[-2]
        if rows <= had_rows and positions <= had:
            return
        wanted = had if positions <= had else min(_rounded(max(positions, 2 * had)), self._sizes.context)
        shape = (*self._data.shape[:2], had_rows if rows <= had_rows else max(rows, 2 * had_rows), self._sizes.heads)
        data = self._data.new_zeros((*shape, wanted, self._sizes.width))  # what nobody wrote is no NaN
        data[:, :, :had_rows, :, :had] = self._data
        self._data = data


def _rounded(positions: int) -> int:
    """To whole multiples of the room that is made at a time."""
    return -(-positions // _ROOM) * _ROOM
