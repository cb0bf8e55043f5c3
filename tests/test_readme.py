"""What the README shows is run here, so that it cannot drift."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from mmchat.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(heading: str, language: str) -> str:
    """The first fenced block of a language below a heading."""
    section = README.split(f"\n## {heading}\n")[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found.group(1)


def commands() -> list[str]:
    """The commands of "Use" that answer and end by themselves."""
    lines = [line.split("  #")[0].strip() for line in block("Use", "sh").splitlines()]
    return [line for line in lines if line not in ("mmchat web", "mmchat serve")]


@pytest.mark.parametrize("command", commands())
def test_every_command_runs(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    typed, _, call = command.rpartition(" | ")
    monkeypatch.setattr("sys.stdin", io.StringIO(shlex.split(typed)[1] + "\n" if typed else ""))
    program, *arguments = shlex.split(call)
    assert program == "mmchat"
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() or arguments == ["chat"]


def test_the_transcript_is_what_a_newcomer_sees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.search(r"```console\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    exchanges = re.findall(r"^\$ mmchat (.*)\n((?:[^$].*\n)+)", shown.group(1), re.MULTILINE)
    assert len(exchanges) >= 3
    for arguments, expected in exchanges:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert main(shlex.split(arguments)) == 0
        screen = capsys.readouterr()
        assert screen.out + screen.err == expected, arguments


def test_the_library_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block("Use", "python"), "README.md", "exec"), {})
    assert "cat" in capsys.readouterr().out


def test_the_training_commands_name_what_is_there() -> None:
    lines = block("Train it again", "sh").replace("\\\n", " ").splitlines()
    (train,) = (line for line in lines if line.startswith("mmchat train"))
    assert sorted((ROOT / shlex.split(train)[2]).glob("[0-9]-*.yaml"))
    for line in lines:
        if line.startswith("mmchat"):
            arguments = shlex.split(line, comments=True)[1:]
            names = [argument for argument in arguments if argument.startswith("--")]
            verbs = [argument for argument in arguments[:2] if argument.isalpha()]
            for name in names:
                assert name in _help(verbs), line


def _help(verbs: list[str]) -> str:

    screen = io.StringIO()
    with contextlib.redirect_stdout(screen):
        assert main([*verbs, "--help"]) == 0
    return screen.getvalue()
