"""`mmchat serve` in a process of its own, and the commands that find it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 120


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """With a runtime folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield {**os.environ, "XDG_RUNTIME_DIR": folder}


def test_commands_are_answered_by_a_warm_server(tiny_checkpoint: Path, cat: Path, environment: dict[str, str]) -> None:
    """The same words, with and without it; and once it has ended, the command loads the model again."""

    model = ("--model", str(tiny_checkpoint))

    def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, "-m", "mmchat", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE,
        )

    def ask(*options: str) -> tuple[int, str, str]:
        done = run("ask", *model, "--image", str(cat), *options, "what is this?")
        return done.returncode, done.stdout, done.stderr

    def heavy(*options: str) -> bool:
        """Whether a command imports torch."""
        imports = run("ask", *model, *options, "x", python=("-X", "importtime")).stderr.splitlines()
        return any(line.split("|")[-1].strip() == "torch" for line in imports)

    alone = ask()
    assert alone[0] == 0
    serve = [sys.executable, "-m", "mmchat", "serve", *model]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            assert told == "mmchat: tiny answers mmchat ask and mmchat chat from here (Ctrl-C ends it)\n"
            assert ask() == alone
            assert ask("--no-server") == alone
            assert not heavy()
            assert heavy("--no-server")
            assert heavy("--dtype", "bfloat16"), "another type of number is another model"
            second = run("serve", *model)
            assert second.returncode == 2
            assert second.stderr.startswith("mmchat: a server listens at ")
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 128 + signal.SIGTERM
        finally:
            server.kill()
    assert list((Path(environment["XDG_RUNTIME_DIR"]) / "mmchat").iterdir()) == []
    assert ask() == alone
