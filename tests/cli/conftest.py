"""Fixtures for whole transcripts of the command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
import soundfile
from fake_assistant import FakeAssistant, Run, Screen, Typing
from PIL import Image

from mmchat.cli import console, main


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeAssistant:
    """The assistant that every command gets."""
    assistant = FakeAssistant()

    def load(*given: str | None) -> FakeAssistant:
        assistant.loaded.append(given)
        return assistant

    monkeypatch.setattr(console, "load_assistant", load)
    return assistant


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command line in an empty folder.

    `piped` comes through a pipe, `typed` are lines typed at a terminal; without either, standard input is empty.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMCHAT_DEBUG", raising=False)
    monkeypatch.setattr("mmchat.history.store.default_path", lambda: tmp_path / "kept" / "history.db")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))  # a server of the person who tests is not asked

    def run_(*arguments: str, piped: str | TextIO = "", typed: Sequence[str | BaseException] | None = None) -> Screen:
        pipe = io.StringIO(piped) if isinstance(piped, str) else piped
        monkeypatch.setattr(sys, "stdin", pipe if typed is None else Typing(typed))
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Screen(code, out, err)

    return run_


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture."""
    path = tmp_path / "cat.png"
    Image.new("RGB", (32, 24), "orange").save(path)
    return path


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A clip of 2.1 seconds."""
    path = tmp_path / "question.wav"
    time = np.arange(int(2.1 * 16_000)) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * time), 16_000)
    return path
