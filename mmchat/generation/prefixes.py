"""What was read lately, so that a conversation's next turn costs its new tokens and not its history."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmchat.model.cache import Cache
from mmchat.model.sequence import MixedSequence


@dataclass(frozen=True)
class _Positions:
    """What says whether two sequences begin alike."""

    ids: np.ndarray
    media: dict[int, tuple[int, str]]
    """Length and content hash of each run of cross-modal tokens, by its start."""

    @classmethod
    def of(cls, sequence: MixedSequence, ids: Sequence[int]) -> _Positions:
        """Of the media of a sequence and of ids, its own or more or fewer."""
        media = {span.start: (span.length, span.media.digest) for span in sequence.spans}
        return cls(np.array(ids, dtype=np.int64), media)

    def common(self, other: _Positions) -> int:
        """How many positions at the beginning are the same."""
        length = min(len(self.ids), len(other.ids))
        different = np.flatnonzero(self.ids[:length] != other.ids[:length])
        starts = self.media.keys() | other.media.keys()
        unlike = [start for start in starts if self.media.get(start) != other.media.get(start)]
        return min([length, *map(int, different[:1]), *unlike])


class Prefixes:
    """Caches of conversations, by their ids and the content of their media; those used last, within a budget.

    Safe to share between threads and chats: what is kept never changes, and what is handed out is a copy.
    """

    def __init__(self, budget: int) -> None:
        """
        Args:
            budget: bytes that all caches together may take.
        """
        self._budget = budget
        self._entries: OrderedDict[int, tuple[_Positions, Cache]] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that all caches together take."""
        return sum(cache.nbytes for _, cache in self._entries.values())

    def longest(self, sequence: MixedSequence) -> Cache | None:
        """A copy of what was read of the longest known beginning of a sequence, its last position left out: that one
        has to be read again for its logits. None where no beginning is known."""
        wanted = _Positions.of(sequence, sequence.ids[:-1])
        with self._lock:
            common = {number: wanted.common(known) for number, (known, _) in self._entries.items()}
            best = max(common, key=lambda number: common[number], default=0)
            if not common.get(best):
                return None
            self._entries.move_to_end(best)
            _, cache = self._entries[best]
        return cache.prefix(common[best])

    def keep(self, sequence: MixedSequence, answer: Sequence[int], cache: Cache) -> None:
        """Keep a cache that nobody extends any more; those of its own beginnings give way to it.

        Args:
            sequence: the prompt.
            answer: ids after it, of which the cache may hold less than all.
            cache: of the prompt and what it holds of the answer.
        """
        new = _Positions.of(sequence, (*sequence.ids, *answer)[: cache.length])
        with self._lock:
            for number, (known, _) in list(self._entries.items()):
                if new.common(known) == len(known.ids):
                    del self._entries[number]
            self._count += 1
            self._entries[self._count] = (new, cache)
            while self.nbytes > self._budget:
                self._entries.popitem(last=False)
