"""Answers from a process that a GPU is lent to: the same as without, and errors that say what to do.

Each test asks in a process of its own, for a fork of this one would take its threads' locks along.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from mmchat import Assistant
from mmchat.inputs.messages import Message, load_media
from mmchat.serving.lent import gpus_are_lent

ZERO = Path(__file__).with_name("zero")
CAT = Path(__file__).parents[2] / "assets" / "cat.png"

ASK = """
import json, os, sys, threading
from pathlib import Path
from mmchat.errors import MmchatError
from mmchat.inputs.messages import Message, load_media
from mmchat.serving.lent import LentAssistant

model, cat = sys.argv[1], load_media(Path(sys.argv[2]))
lent, told = LentAssistant(model), {}

def ask(*parts, **options):
    stream = lent.stream([Message.user(*parts)], **{"temperature": 0, "max_new_tokens": 12, **options})
    pieces = list(stream)
    assert "".join(pieces) == stream.reply.text
    return stream.reply.text

def problem(*parts, **options):
    try:
        return ask(*parts, **options)
    except MmchatError as error:
        return [type(error).__name__, str(error)]
"""


@pytest.fixture
def tell(tiny_checkpoint: Path) -> Callable[..., Any]:
    """What a program tells of itself on a Space."""

    def told(code: str, **environment: str) -> Any:
        code = f"{ASK}{code}\nprint(json.dumps(told))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tiny_checkpoint), str(CAT)],
            capture_output=True, text=True, env=on_space(**environment), timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return told


def on_space(**environment: str) -> dict[str, str]:
    path = os.pathsep.join([str(ZERO), *filter(None, sys.path)])
    return {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": path, **environment}


@pytest.mark.parametrize(("value", "lent"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_space_tells_whether_gpus_are_lent(monkeypatch: pytest.MonkeyPatch, value: str, lent: bool) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", value)
    assert gpus_are_lent() is lent
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not gpus_are_lent()


def test_answers_are_those_of_a_model_of_one_s_own(tell: Callable[..., Any], tiny_checkpoint: Path) -> None:
    told = tell("""
from mmchat.serving.transcript import Draft, Exchange
told["answers"] = [ask("what is this?", cat), ask("where does a cow live?"), ask("hello", temperature=1, seed=3)]
info = lent.describe()
told["info"] = [info.name, info.tokens_per_image]
draft = Draft("what is this?", (sys.argv[2],))
told["map"] = lent.look((Exchange(draft, draft.to_message(), "A cat."),), "").size
told["threads"] = [thread.name for thread in threading.enumerate()]
""")
    own = Assistant.load(tiny_checkpoint)
    asked: list[tuple[Message, dict[str, Any]]] = [
        (Message.user("what is this?", load_media(CAT)), {}),
        (Message.user("where does a cow live?"), {}),
        (Message.user("hello"), {"temperature": 1, "seed": 3}),
    ]
    options = {"temperature": 0, "max_new_tokens": 12}
    assert told["answers"] == [own.reply([each], **{**options, **given}).text for each, given in asked]
    assert told["info"] == [own.describe().name, own.describe().tokens_per_image]
    assert min(told["map"]) > 100
    assert told["threads"] == ["MainThread"], "nothing was loaded where there is no GPU"


def test_errors_arrive_as_what_they_are(tell: Callable[..., Any]) -> None:
    told = tell("""
told["long"] = problem("where? " * 3_000)
told["option"] = problem("hello", top_p=7)
told["after"] = ask("hello")
""")
    assert told["long"][0] == "ContextError"
    assert told["long"][1].startswith("the conversation needs 9003 tokens")
    assert told["option"][0] == "OptionError"
    assert isinstance(told["after"], str)


def test_without_a_gpu_it_is_said_why(tell: Callable[..., Any]) -> None:
    told = tell('told["problem"] = problem("hello")', QUOTA="0")
    assert told["problem"] == ["FailureError", "ZeroGPU quota exceeded: You have exceeded your quota"]


def test_an_unknown_model_is_said(tell: Callable[..., Any]) -> None:
    told = tell("""
lent = LentAssistant("/nowhere")
told["problem"] = problem("hello")
""")
    assert told["problem"][0] == "CheckpointError"


def test_a_stream_that_is_closed_ends_the_work(tell: Callable[..., Any]) -> None:
    told = tell("""
stream = lent.stream([Message.user("hello")], temperature=0, max_new_tokens=100)
told["first"] = [next(stream), next(stream)]
stream.close()
told["reply"] = stream.reply
told["after"] = ask("hello", max_new_tokens=100)
""")
    assert told["reply"] is None
    assert told["after"].startswith("".join(told["first"]))


def test_the_page_answers(tiny_checkpoint: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from mmchat.serving import web; web.launch([{str(tiny_checkpoint)!r}], web.Door(port={port}, keep=False))"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=on_space()) as server:
        try:
            assert server.stderr is not None
            assert "the page is at" in server.stderr.readline()
            client = Client(f"http://127.0.0.1:{port}", verbose=False)
            message = {"text": "what is this?", "files": [handle_file(str(CAT))]}
            bubbles, *_ = client.predict(message=message, max_new_tokens=12, api_name="/ask")
            client.close()
        finally:
            server.terminate()
    own = Assistant.load(tiny_checkpoint).reply([CAT, "what is this?"], temperature=0, max_new_tokens=12)
    assert next(part["text"] for part in bubbles[-1]["content"]).strip() == own.text.strip()
