"""What mmchat uses of the package `spaces`, as that works on a Space whose GPUs are lent.

A decorated generator runs in a forked process. Arguments and what it yields are pickled; an error arrives as no more
than the name of its class, unless it is one of Gradio's; a process goes on with later calls while it is idle.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator
from typing import Any

import gradio as gr

_context = multiprocessing.get_context("fork")
_idle: list[Any] = []


def GPU(task: Callable[..., Generator[Any, None, None]]) -> Callable[..., Generator[Any, None, None]]:  # noqa: N802
    """The decorator."""

    def lent(*given: Any) -> Generator[Any, None, None]:
        if os.environ.get("QUOTA") == "0":
            raise gr.Error("You have exceeded your quota", title="ZeroGPU quota exceeded", print_exception=False)
        worker = _idle.pop() if _idle else _Worker(task)
        worker.pipe.send(given)
        try:
            while (kind_value := worker.pipe.recv())[0] == "value":
                yield kind_value[1]
                worker.pipe.send("next")
        except GeneratorExit:
            worker.pipe.send("stop")
            assert worker.pipe.recv() == ("end", None)
            kind_value = ("end", None)
            raise
        finally:
            _idle.append(worker)
        if kind_value[0] == "failed":
            raise gr.Error(kind_value[1], title="ZeroGPU worker error", print_exception=False)

    return lent


class _Worker:
    def __init__(self, task: Callable[..., Generator[Any, None, None]]) -> None:
        self.pipe, other = _context.Pipe()
        _context.Process(target=_work, args=(task, other, self.pipe), daemon=True).start()
        other.close()


def _work(task: Callable[..., Generator[Any, None, None]], pipe: Any, asking: Any) -> None:
    asking.close()  # the end of whoever asks, so that this process hears when they are gone
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        values = task(*given)
        try:
            for value in values:
                pipe.send(("value", value))
                if pipe.recv() == "stop":
                    values.close()
                    break
        except Exception as error:
            pipe.send(("failed", type(error).__name__))
        else:
            pipe.send(("end", None))
