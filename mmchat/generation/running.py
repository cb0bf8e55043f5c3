"""Answers that are being given, and advance together, a token of each at a time.

B answers, V size of the vocabulary
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

import torch
from torch import Tensor

from mmchat.config import FinishReason, GenerationOptions
from mmchat.errors import FailureError
from mmchat.generation.engine import Engine, Prefill
from mmchat.generation.sampling import Sampler, draw_each
from mmchat.generation.threads import Threads
from mmchat.model.decoder import Batch

_NO_MEMORY = re.compile("can't allocate memory|not enough memory")
"""What torch says of a CPU's memory, in an error of no class of its own."""


class Answer:
    """Ids of an answer as they are drawn: an iterator that never gives a stop id."""

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        """Why the answer ended, once its ids have."""
        self.closed = False
        """Whether nobody reads it any more."""
        self._drawn: SimpleQueue[int | FinishReason | Exception] = SimpleQueue()

    def __iter__(self) -> Answer:
        return self

    def __next__(self) -> int:
        """The next id; waits for it.

        Raises:
            FailureError: the logits are not numbers.
            OptionError: prompt lookup is wanted of a decoder that cannot forget what it read.
        """
        if self.finish_reason is not None:
            raise StopIteration
        drawn = self._drawn.get()
        if isinstance(drawn, int):
            return drawn
        if isinstance(drawn, Exception):
            raise drawn
        self.finish_reason = drawn
        raise StopIteration

    def put(self, drawn: int | FinishReason | Exception) -> None:
        """An id, or the end."""
        self._drawn.put(drawn)

    def close(self) -> None:
        """End the work at the next token."""
        self.closed = True


@dataclass
class Start:
    """What an answer begins with; arguments as for `Engine.decode`."""

    prefill: Prefill
    prompt_ids: Sequence[int]
    options: GenerationOptions
    seed: int
    answer: Answer = field(default_factory=Answer)


@dataclass
class _Row:
    """An answer that shares its passes."""

    start: Start
    sampler: Sampler
    logits: Tensor
    """(V,), after what was drawn last."""
    left: int
    """How many more ids it may have."""
    drawn: list[int] = field(default_factory=list)


@dataclass
class _Solo:
    """An answer that has passes of its own: its decoder knows no batches, or it guesses ahead."""

    answer: Answer
    ids: Generator[int, None, FinishReason]


class Running:
    """Answers join and leave between steps."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._batch: Batch | None = engine.decoder.new_batch()
        self.threads = Threads()
        self._rows: list[_Row] = []
        self._solos: list[_Solo] = []

    def __len__(self) -> int:
        return len(self._rows) + len(self._solos)

    def add(self, start: Start) -> None:
        """Begin an answer; what goes wrong arrives where it is read."""
        try:
            self._add(start)
        except Exception as error:
            start.answer.put(as_told(error))

    def _add(self, start: Start) -> None:
        prefill, options = start.prefill, start.options
        if self._batch is None or options.prompt_lookup:
            ids = self.engine.decode(prefill, start.prompt_ids, options, start.seed)
            self._solos.append(_Solo(start.answer, ids))
            return
        logits = prefill.logits
        sampler = Sampler(options, start.seed, start.prompt_ids, len(logits), logits.device)
        self._batch.add(prefill.cache)
        self._rows.append(_Row(start, sampler, logits, self.engine.budget(prefill, options)))

    def step(self) -> None:
        """The next token of each answer; those that have ended, or are read by nobody, leave.

        What goes wrong arrives where the answers are read.
        """
        self._solos = [solo for solo in self._solos if _advanced(solo)]
        try:
            self._step_rows()
        except Exception as error:  # whoever shared the pass has to know
            for row in self._rows:
                row.start.answer.put(as_told(error))
            self._rows, self._batch = [], self.engine.decoder.new_batch()

    def _step_rows(self) -> None:
        for index in reversed(range(len(self._rows))):
            if self._rows[index].start.answer.closed:
                self._leave(index)
        if not self._rows:
            return
        drawn = draw_each(torch.stack([row.logits for row in self._rows]), [row.sampler for row in self._rows])
        for index, token in reversed(list(enumerate(drawn))):  # the last first: whoever leaves is replaced by the last
            self._take(index, token)
        if self._rows:
            assert self._batch is not None
            last = [row.drawn[-1] for row in self._rows]
            logits = self.threads.step(len(last), partial(self._batch.read, last))
            for row, following in zip(self._rows, logits, strict=True):
                row.logits = following

    def _take(self, index: int, token: int | Exception) -> None:
        """Give out what was drawn for an answer."""
        row = self._rows[index]
        end: FinishReason | Exception | None = None
        if isinstance(token, Exception):
            end = token
        elif token in self.engine.stop_ids:
            end = "stop"
        else:
            row.drawn.append(token)
            row.left -= 1
            row.start.answer.put(token)
            end = None if row.left else "length"
        if end is not None:
            self._leave(index)
            row.start.answer.put(end)

    def _leave(self, index: int) -> None:
        """Remove an answer; the last takes its place. What was read of it is remembered."""
        assert self._batch is not None
        cache = self._batch.take(index)  # a copy: without memory for it the answer is still there to be told so
        row, last = self._rows[index], self._rows.pop()
        if row is not last:
            self._rows[index] = last
        self.engine.remember(row.start.prefill, row.drawn, cache)


def _advanced(solo: _Solo) -> bool:
    """Whether the answer goes on after its next token."""
    if solo.answer.closed:
        solo.ids.close()
        return False
    try:
        solo.answer.put(next(solo.ids))
    except StopIteration as end:
        solo.answer.put(end.value)
        return False
    except Exception as error:
        solo.answer.put(as_told(error))
        return False
    return True


def as_told(error: Exception) -> Exception:
    """An error as whoever asked should hear of it: memory that ran out is no riddle."""
    if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(str(error)):
        told = FailureError(
            "the memory is full: ask for less at once, make the conversation shorter, or ask again later"
        )
        told.__cause__ = error
        return told
    return error
