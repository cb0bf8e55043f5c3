"""How long the page takes to come, and what it adds to each answer and each token."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import httpx

from mmchat.assistant import Assistant, Reply
from mmchat.errors import FailureError
from mmchat.evaluation.table import Table
from mmchat.evaluation.timing import Progress, seconds

_QUESTION = "tell me a fact about a whale"
_BABBLE: dict[str, Any] = {"temperature": 2.0, "repetition_penalty": 1.2, "max_new_tokens": 96}
"""Options of a long answer: what a small model draws freely seldom ends."""
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class WebSpeed:
    """Medians."""

    page_s: float
    """From the start of `mmchat web` until the page is there."""
    answer_s: float
    """From the same start until it has answered."""
    overhead_ms: float
    """What an answer of one token takes longer through the page than from the library."""
    token_overhead_ms: float
    """What each token more takes longer there."""
    tokens: float
    """Of the long answers."""

    def to_text(self) -> str:
        """For a terminal."""
        rows = (
            ("mmchat web, until the page is there", f"{self.page_s:.1f} s"),
            ("until it has answered", f"{self.answer_s:.1f} s"),
            ("what the page adds to an answer", f"{self.overhead_ms:.0f} ms"),
            (f"to each of {self.tokens:.0f} tokens", f"{self.token_overhead_ms:.2f} ms"),
        )
        return Table(("what", "figure"), rows).to_text()

    def to_json(self) -> str:
        """One line for programs."""
        return json.dumps({f"web_{name}": value for name, value in asdict(self).items()})


def web_speed(assistant: Assistant, model: Sequence[str], repeats: int, progress: Progress) -> WebSpeed:
    """Time the page of a model beside the library, in turns.

    Args:
        assistant: the same model, loaded here.
        model: options of the command that name it.
        repeats: of each measurement.
        progress: told what is done.

    Raises:
        FailureError: the page does not start.
    """
    pages, answers = [], []
    for repeat in range(repeats):
        began = time.perf_counter()
        with _page(model) as client:
            client.get("/").raise_for_status()
            pages.append(time.perf_counter() - began)
            _ask(client, {"max_new_tokens": 8})
            answers.append(time.perf_counter() - began)
        progress("starts", repeat + 1, repeats)
    short, long = [], []
    with _page(model) as client:
        for repeat in range(repeats + 1):
            short.append(_added(client, assistant, {"max_new_tokens": 1}))
            long.append(_added(client, assistant, {**_BABBLE, "seed": repeat}))
            progress("answers", repeat, repeats)
    short, long = short[1:], long[1:]  # the first of each warms up
    each = [(b - a) / (count - 1) for (a, _), (b, count) in zip(short, long, strict=True) if count > 1]
    return WebSpeed(
        page_s=median(pages),
        answer_s=median(answers),
        overhead_ms=1000 * median(added for added, _ in short),
        token_overhead_ms=1000 * median(each),
        tokens=median(count for _, count in long),
    )


def _added(client: httpx.Client, assistant: Assistant, options: dict[str, Any]) -> tuple[float, int]:
    """Seconds that an answer takes longer through the page, and its tokens."""
    replies: list[Reply] = []
    alone = seconds(lambda: replies.append(assistant.reply(_QUESTION, **options)))
    return seconds(lambda: _ask(client, options)) - alone, replies[0].usage.completion_tokens


@contextmanager
def _page(model: Sequence[str]) -> Iterator[httpx.Client]:
    """While the body runs, there is a page."""
    command = [sys.executable, "-m", "mmchat", "web", *model, "--port", "0", "--no-history"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            address = re.search(r"http://\S+", told)
            if address is None:
                raise FailureError(f"mmchat web did not start: {told.strip()}")
            with httpx.Client(base_url=address[0], timeout=_PATIENCE_S) as client:
                yield client
        finally:
            server.terminate()


def _ask(client: httpx.Client, options: dict[str, Any]) -> None:
    """Ask, and read what the page shows until it is whole."""
    given = {"temperature": 0.0, "repetition_penalty": 1.0, "seed": None, **options}
    values = [given[name] for name in ("temperature", "repetition_penalty", "seed", "max_new_tokens")]
    temperature, penalty, seed, longest = values
    message = {"text": _QUESTION, "files": []}
    data = [message, "", temperature, 1.0, penalty, seed, longest, 1, ""]
    event = client.post("gradio_api/call/ask", json={"data": data}).raise_for_status().json()["event_id"]
    with client.stream("GET", f"gradio_api/call/ask/{event}") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("event: ")]
    if lines[-1:] != ["event: complete"]:
        raise FailureError("the page did not answer")
