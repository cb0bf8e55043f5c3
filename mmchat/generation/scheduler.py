"""Many chats at once: one thread that reads and draws for all of them.

Answers advance together, a token of each in one pass of the decoder, and join and leave between passes. A prompt is
read in chunks between passes, so that a long one does not stall those that are being answered. What an answer says does
not depend on who else is answered.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from mmchat.config import GenerationOptions
from mmchat.errors import BusyError
from mmchat.generation.engine import Engine, Prefill
from mmchat.generation.running import Answer, Running, Start, as_told
from mmchat.model.sequence import MixedSequence

CHUNK = 256
"""Positions of a prompt that are read between two tokens of those who are being answered."""

Result = TypeVar("Result")


class Scheduler:
    """The one door to an engine for several threads."""

    def __init__(self, load: Callable[[], Engine], rows: int = 16, waiting: int = 64) -> None:
        """
        Args:
            load: gives the engine. It is called in the thread that will use it: OpenMP keeps a team of threads for each
                that ever multiplied, and with a second team each step of each waits for the other to let go.
            rows: how many answers advance together; the others wait.
            waiting: how many prompts may wait to be read.

        Raises:
            Exception: whatever `load` raises.
        """
        self._loop = _Loop(rows, waiting)
        weakref.finalize(self, self._loop.stop)  # at the end of the program too
        self.engine = self.run(load)
        self._loop.running = Running(self.engine)

    def run(self, work: Callable[[], Result]) -> Result:
        """Do something else that needs the model, between two tokens; waits for its result."""
        return self._loop.done(_Work(work))

    def prefill(self, embed: Callable[[], Tensor], sequence: MixedSequence | None = None) -> Prefill:
        """Read a prompt; waits until that is done.

        Args:
            embed: gives the embeddings (1, T, D).
            sequence: as for `Engine.prefill`.

        Raises:
            BusyError: too many prompts wait already.
            ContextError: as for `Engine.prefill`.
        """
        return self._loop.read(_Prompt(embed, sequence))

    def answer(self, prefill: Prefill, prompt_ids: Sequence[int], options: GenerationOptions, seed: int) -> Answer:
        """Begin an answer; arguments as for `Engine.decode`. It goes on, read or not, until it ends or is closed."""
        return self._loop.begin(Start(prefill, prompt_ids, options, seed))


@dataclass
class _Work(Generic[Result]):
    """What is done in one piece."""

    do: Callable[[], Result]
    result: Future[Result] = field(default_factory=Future)


@dataclass
class _Prompt:
    """What is read in chunks."""

    embed: Callable[[], Tensor]
    sequence: MixedSequence | None
    result: Future[Prefill] = field(default_factory=Future)
    reading: Generator[Prefill | None, None, None] | None = None
    """Once it has begun."""


class _Loop:
    """The thread, and what waits for it; it ends with its scheduler, to which it has no reference."""

    def __init__(self, rows: int, waiting: int) -> None:
        self.running: Running | None = None
        """Once there is an engine."""
        self._most_rows = rows
        self._most_waiting = waiting
        self._work: deque[_Work[Any]] = deque()
        self._prompts: deque[_Prompt] = deque()
        self._starts: deque[Start] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def done(self, work: _Work[Result]) -> Result:
        with self._changed:
            self._work.append(work)
            self._wake()
        return work.result.result()

    def read(self, prompt: _Prompt) -> Prefill:
        with self._changed:
            if len(self._prompts) >= self._most_waiting:
                answered = len(self.running or ())
                raise BusyError(
                    f"{answered} questions are being answered and {len(self._prompts)} wait: ask again later"
                )
            self._prompts.append(prompt)
            self._wake()
        try:
            return prompt.result.result()
        except BaseException:  # Ctrl-C: nobody waits for it any more
            prompt.result.cancel()
            raise

    def begin(self, start: Start) -> Answer:
        with self._changed:
            self._starts.append(start)
            self._wake()
        return start.answer

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mmchat-engine", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        """Other work and the answers in turn, while there is any."""
        while self._has_to_do():
            if self._work:
                self._do(self._work.popleft())
            if self.running is not None:
                self._advance(self.running)

    @torch.inference_mode()
    def _advance(self, running: Running) -> None:
        """A chunk of a prompt, and a token of each answer."""
        while self._starts and len(running) < self._most_rows:
            running.add(self._starts.popleft())
        if self._prompts and not self._starts and len(running) < self._most_rows:
            self._read_on(self._prompts[0], running)
        running.step()

    def _has_to_do(self) -> bool:
        """Wait for something to do; false in the end."""
        with self._changed:
            while not (self._stopped or self._work or self._prompts or self._starts or self.running):
                self._changed.wait()
            return not self._stopped

    def _do(self, work: _Work[Any]) -> None:
        try:
            work.result.set_result(work.do())
        except Exception as error:
            work.result.set_exception(error)

    def _read_on(self, prompt: _Prompt, running: Running) -> None:
        """The next chunk of a prompt, all of it where nobody else is kept waiting."""
        try:
            if prompt.reading is None:
                if not prompt.result.set_running_or_notify_cancel():
                    self._prompts.popleft()
                    return
                embeddings = prompt.embed()
                size = CHUNK if running else embeddings.shape[1]
                prompt.reading = running.engine.prefill_in_chunks(embeddings, prompt.sequence, size)
            prefill = running.threads.once(partial(next, prompt.reading))
        except Exception as error:
            self._prompts.popleft()
            prompt.result.set_exception(as_told(error))
        else:
            if prefill is not None:
                self._prompts.popleft()
                prompt.result.set_result(prefill)
