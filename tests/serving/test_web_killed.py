"""The page's process is killed while it answers: what a browser was shown is in the history."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from mmchat.history.store import History

KILLS = 3
TEMPERATURE = 2.0  # what is drawn so freely seldom ends soon


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_a_kill_in_the_middle_of_an_answer_loses_nothing_that_was_shown(tmp_path: Path) -> None:
    rng, words = random.Random(0), 0
    for kill in range(KILLS):
        question = f"tell me about a whale {kill}"
        shown = asked_and_killed(question, tmp_path, rng.uniform(0, 0.2), seed=kill)
        history = History(tmp_path / "mmchat" / "history.db")
        (latest, *others) = history.conversations()
        turns = history.turns(latest.id)
        history.close()
        assert len(others) == kill
        assert turns[0].message.text == question
        words += len(shown.split())
        assert "".join(turn.message.text for turn in turns[1:]).strip().startswith(shown.strip())
    assert words >= KILLS, "killed before anything was shown"


def asked_and_killed(question: str, data: Path, after: float, seed: int) -> str:
    """Ask a page of its own, and kill it so many seconds after the first word was shown; what was shown in all."""
    command = [sys.executable, "-m", "mmchat", "web", "--port", "0"]
    environment = {**os.environ, "XDG_DATA_HOME": str(data)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        address = re.search(r"http://\S+", server.stderr.readline())
        assert address is not None
        given = [{"text": question, "files": []}, "", TEMPERATURE, 1.0, 1.0, seed, 96, 1, ""]
        shown = ""
        with httpx.Client(base_url=address[0], timeout=60) as client:
            event = client.post("gradio_api/call/ask", json={"data": given}).json()["event_id"]
            try:
                with client.stream("GET", f"gradio_api/call/ask/{event}") as stream:
                    for line in stream.iter_lines():
                        if answer_in(line) and not shown:
                            threading.Timer(after, server.send_signal, (signal.SIGKILL,)).start()
                        shown = answer_in(line) or shown
            except httpx.HTTPError:
                pass  # it was killed
    return shown


def answer_in(line: str) -> str:
    """The words of the answer that a line of the stream shows; empty for other lines."""
    if not line.startswith("data: ["):
        return ""
    _, bubbles, *_ = json.loads(line.removeprefix("data: "))
    return str(bubbles[1]["content"][0]["text"]).replace("…", "")
