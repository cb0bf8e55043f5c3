"""Lines from the person: a prompt, editing, history and completion where the terminal has them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import typer

PROMPT = "> "


class LineReader:
    """Reads lines from standard input; a prompt is shown only to a person."""

    def __init__(self, commands: Iterable[str]) -> None:
        """
        Args:
            commands: what the Tab key completes at the beginning of a line; behind one of them it completes files.
        """
        self.interactive = sys.stdin is not None and sys.stdin.isatty()
        self._commands = sorted(commands)
        self._matches: list[str] = []
        readline = _readline() if self.interactive else None
        if readline is not None:
            self._complete_with(readline)

    def read(self) -> str:
        """The next line, without its end.

        Raises:
            EOFError: there are no more: Ctrl-D, or the end of the pipe.
            KeyboardInterrupt: Ctrl-C.
        """
        if sys.stdin is None:
            raise EOFError
        try:
            return input(PROMPT if self.interactive else "")
        except EOFError:
            if self.interactive:
                typer.echo()  # Ctrl-D leaves the cursor behind the prompt
            raise

    def completions(self, line: str) -> list[str]:
        """Every whole line that the Tab key can make of this one."""
        command, space, typed = line.partition(" ")
        if not space:
            return [f"{name} " for name in self._commands if line.startswith("/") and name.startswith(line)]
        return [f"{command} {path}" for path in _paths(typed)] if command in self._commands else []

    def _complete_with(self, readline: ModuleType) -> None:
        readline.set_completer_delims("")  # the whole line is one word, so that names with spaces complete too
        readline.set_completer(self._complete)
        editline = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")

    def _complete(self, line: str, state: int) -> str | None:
        """The protocol of readline: the match of this number, `None` behind the last."""
        if state == 0:
            self._matches = self.completions(line)
        return self._matches[state] if state < len(self._matches) else None


def named_files(typed: str) -> list[Path]:
    """The files meant by what was typed behind a command.

    One name, spaces and all, as it is or in quotes; or several, quoted as a shell would, when all of them are there.
    """
    whole = _path(typed)
    paths = [_path(word) for word in _shell_words(typed)]
    if whole.exists() or not paths:
        return [whole]
    return paths if len(paths) == 1 or all(path.exists() for path in paths) else [whole]


def named_file(typed: str) -> Path:
    """The one file meant by what was typed behind a command, there or not."""
    words = _shell_words(typed)
    return _path(words[0] if len(words) == 1 else typed)


def _shell_words(typed: str) -> list[str]:
    try:
        return shlex.split(typed)
    except ValueError:  # a quote that is not closed: an apostrophe in a name
        return []


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # the tilde of no known user is a part of the name
        return Path(name)


def _readline() -> ModuleType | None:
    """The line editor, where this Python was built with one; importing it is what gives `input` its editing."""
    try:
        import readline
    except ImportError:
        return None
    return readline


def _paths(typed: str) -> list[str]:
    """The files and folders that a half-typed path may become; hidden ones only behind a typed dot."""
    head, slash, prefix = typed.rpartition("/")
    try:
        entries = sorted(_path(head + slash).iterdir())
    except OSError:
        return []
    return [
        f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(prefix) and (prefix or not entry.name.startswith("."))
    ]
