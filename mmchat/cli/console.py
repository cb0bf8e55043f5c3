"""What every command shows beside its answer: one-line errors, dim notes, progress.

Answers go to standard output and all of this to standard error, so that a pipe holds the answer alone.
"""

from __future__ import annotations

import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmchat.errors import MmchatError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from mmchat.assistant import Assistant
    from mmchat.config import GenerationOptions
    from mmchat.generation.reply import MediaReceipt, Reply
    from mmchat.serving.remote import RemoteAssistant


def console(*, stderr: bool) -> Console:
    """A console on standard error or standard output as they are now, showing text as it is."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def one_line(text: str) -> str:
    """The text with line breaks and control characters escaped: a file name can hold them too."""
    return _escaped(text, keep="")


def say(text: str) -> None:
    """Print a piece of an answer; no model gets to send a terminal commands."""
    sys.stdout.write(_escaped(text, keep="\n\t") if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _escaped(text: str, keep: str) -> str:
    return "".join(
        ascii(character)[1:-1]
        if unicodedata.category(character) in ("Cc", "Zl", "Zp") and character not in keep
        else character
        for character in text
    )


def complain(text: str) -> None:
    """Show what was wrong, in one line on standard error."""
    console(stderr=True).print(f"mmchat: {one_line(text)}", soft_wrap=True)


def report(error: Exception) -> int:
    """Show an exception in one line, with the traceback where MMCHAT_DEBUG asks for it; returns the exit code."""
    debug = os.environ.get("MMCHAT_DEBUG", "") not in ("", "0")
    if debug:
        traceback.print_exception(error)
    if isinstance(error, MmchatError):
        complain(str(error))
        return error.exit_code
    hint = "" if debug else " (set MMCHAT_DEBUG=1 to see where)"
    complain(f"internal error: {type(error).__name__}: {error}{hint}")
    return 1


def note(text: str) -> None:
    """Show something worth knowing, dim, in one line on standard error."""
    console(stderr=True).print(one_line(text), style="dim", soft_wrap=True)


def line(text: str) -> None:
    """Show one line on standard output."""
    console(stderr=False).print(one_line(text), soft_wrap=True)


def fact(name: str, value: str) -> None:
    """Show one line of a table on standard output."""
    console(stderr=False).print(f"{name:<18} {value}", soft_wrap=True)


def verdict(passed: bool, name: str, found: str) -> None:
    """Show the outcome of a check on standard output."""
    from rich.text import Text

    word = ("ok     ", "green") if passed else ("failed ", "bold red")
    console(stderr=False).print(Text.assemble(word, f"{name:<18} {one_line(found)}"), soft_wrap=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A moving bar while the body runs, where standard error is a terminal; it leaves nothing behind."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    columns = (TextColumn("{task.description}", style="dim"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal.

    Yields a function to tell it what is being done, how many are done and how many there will be.
    """
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


def load_assistant(
    model: str | None, device: str, dtype: str, quantize: str | None, transcriber: str | None
) -> Assistant:
    """The assistant that a command talks to; tests put a fake one here.

    Raises:
        CheckpointError: there is no such model, or it is not what it says it is.
        OptionError: there is no such device or type of number, or too little memory.
    """
    with working("loading the model"):
        from mmchat.assistant import Assistant

        return Assistant.load(model, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)


def reach_assistant(
    model: str | None, device: str, dtype: str, quantize: str | None, transcriber: str | None, *, no_server: bool
) -> Assistant | RemoteAssistant:
    """The assistant of a warm server, where one serves just this; else as `load_assistant`."""
    from mmchat.serving.remote import RemoteAssistant
    from mmchat.serving.wire import place_of

    warm = None if no_server else RemoteAssistant.find(place_of(model, device, dtype, quantize, transcriber))
    return load_assistant(model, device, dtype, quantize, transcriber) if warm is None else warm


def show_receipt(reply: Reply, options: GenerationOptions, media: Sequence[MediaReceipt]) -> None:
    """Say what the answer was made from, how to get it again, and whether it was cut.

    Args:
        reply: the answer.
        options: how it was drawn.
        media: those receipts of the reply that are news to the person.
    """
    for receipt in media:
        note(str(receipt))
    if options.temperature > 0 and options.seed is None:
        note(f"seed {reply.seed}")
    if reply.finish_reason == "length":
        tokens = reply.usage.completion_tokens
        full = tokens < options.max_new_tokens
        note(f"cut after {tokens} tokens: {'the context is full' if full else '--max-new-tokens allows more'}")
