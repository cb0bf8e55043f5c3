"""What holds for every command: light help, exit codes, version, a reader that leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fake_assistant import FakeAssistant, Run, Screen

import mmchat

HEAVY = ("torch", "transformers", "gradio", "open_clip", "whisper", "numpy", "PIL", "soundfile", "pydantic_core")


def test_help_imports_nothing_heavy() -> None:
    report = "print('\\n'.join(sys.modules))"
    script = f"import sys; from mmchat.cli import main; code = main(['--help']); {report}; sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    help_text, modules = done.stdout.split("Commands:")
    assert help_text.startswith("Usage: mmchat [OPTIONS] COMMAND [ARGS]...")
    assert "mmchat.cli" in modules.splitlines()
    assert [name for name in HEAVY if name in modules.splitlines()] == []


COMMANDS = (
    "ask", "chat", "web", "info", "doctor", "models", "pull", "rm", "push", "import", "export", "compose", "world",
    "train", "eval",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    screen = run(command, "--help")
    assert (screen.code, screen.err) == (0, "")
    assert screen.out.startswith(f"Usage: mmchat {command} [OPTIONS]")


def test_nothing_given_shows_the_help(run: Run) -> None:
    assert run() == run("--help")


def test_version(run: Run) -> None:
    assert run("--version") == Screen(0, f"mmchat {mmchat.__version__}\n", "")


def test_reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mmchat", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_control_c_has_its_exit_code(fake: FakeAssistant, run: Run) -> None:
    fake.says(KeyboardInterrupt())
    assert run("ask", "hi") == Screen(130, "", "")
