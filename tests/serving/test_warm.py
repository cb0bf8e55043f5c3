"""The warm server over a fake assistant: what a command asks arrives whole, and so does what is answered."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_assistant import FakeAssistant
from PIL import Image

from mmchat.errors import ContextError, FailureError, UserError
from mmchat.generation.reply import Reply, ReplyStream
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.serving import remote as remote_module
from mmchat.serving import wire
from mmchat.serving.remote import RemoteAssistant
from mmchat.serving.warm import WarmServer, listening

PLACE = {"model": "toy"}
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
def fake() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def server(fake: FakeAssistant) -> Iterator[Listener]:
    with listening(wire.socket_path()) as listener:
        threading.Thread(target=WarmServer(fake, PLACE, listener).run, daemon=True).start()  # type: ignore[arg-type]
        yield listener


@pytest.fixture
def remote(server: Listener) -> RemoteAssistant:
    found = RemoteAssistant.find(PLACE)
    assert found is not None
    return found


def conversation() -> list[Message]:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 47, 3), dtype=np.uint8)
    picture = ImagePart(Image.fromarray(pixels), "cät.png", "first frame of 3")
    clip = AudioPart(np.random.default_rng(1).normal(0, 0.1, 3000).astype(np.float32), "voice.wav")
    return [
        Message.system("be brief"),
        Message.user("what is this?", picture, clip, "\u2028 and this?", picture),
        Message.assistant("a cat"),
        Message.user(clip),
    ]


def test_questions_arrive_as_they_were_asked(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    """Every pixel and sample, names and notes, order and options."""
    fake.says("it is a cat")
    stream = remote.stream(conversation(), system="short", temperature=0.5, stop=("x", "y"))
    assert list(stream) == ["it", " is", " a", " cat"]
    (asked,) = fake.asked
    assert asked.conversation == conversation()
    assert (asked.system, asked.options) == ("short", {"temperature": 0.5, "stop": ["x", "y"]})


def test_answers_arrive_as_they_were_given(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    fake.says("it is a cat", "it is a cat")
    (expected,) = FakeAssistant(answers=type(fake.answers)(["it is a cat"])).replies(conversation(), 1)
    stream = remote.stream(conversation())
    assert "".join(stream) == "it is a cat"
    assert stream.reply == expected
    assert remote.replies(conversation(), 1) == [expected]
    assert remote.name == "fake"


def test_several_answers(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    fake.says("one", "two", "three")
    replies = remote.replies([Message.user("count")], 3, seed=5)
    assert [(reply.text, reply.seed) for reply in replies] == [("one", 5), ("two", 5), ("three", 5)]


def test_a_mistake_is_the_mistake_it_is_without_a_server(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    fake.says(ContextError("too long by 3"), ContextError("too long by 4"))
    with pytest.raises(ContextError, match=r"^too long by 3$"):
        remote.stream([Message.user("x")])
    with pytest.raises(ContextError, match=r"^too long by 4$"):
        remote.replies([Message.user("x")], 2)


def test_what_goes_wrong_in_the_middle_comes_in_the_middle(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    fake.says(["it", FailureError("broken")])
    stream = remote.stream([Message.user("x")])
    assert next(stream) == "it"
    with pytest.raises(FailureError, match=r"^broken$"):
        next(stream)


def test_what_nobody_foresaw_is_for_the_log(
    fake: FakeAssistant, remote: RemoteAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    fake.says(KeyError("secret"), "still here")
    with pytest.raises(FailureError, match=r"^something went wrong in the server: it says what$"):
        remote.stream([Message.user("x")])
    assert "secret" in caplog.text
    assert "".join(remote.stream([Message.user("x")])) == "still here"


def test_it_answers_only_as_the_command_would(server: Listener, fake: FakeAssistant, remote: RemoteAssistant) -> None:
    assert RemoteAssistant.find({"model": "other"}) is None
    stranger = RemoteAssistant(wire.socket_path(), {"model": "other"}, "fake")
    with pytest.raises(UserError, match="serves another model now: add --no-server"):
        stranger.stream(conversation())
    assert fake.asked == []


def test_closing_ends_the_work(fake: FakeAssistant, remote: RemoteAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def endless() -> Generator[str, None, Reply]:
        try:
            while True:
                yield "word "
                time.sleep(0.001)
        finally:
            closed.set()

    monkeypatch.setattr(fake, "stream", lambda *_, **__: ReplyStream(endless()))
    stream = remote.stream([Message.user("x")])
    assert next(stream) == "word "
    stream.close()
    assert closed.wait(PATIENCE)


def test_closing_before_the_first_word_ends_the_work(
    fake: FakeAssistant, remote: RemoteAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()

    def endless() -> Generator[str, None, Reply]:
        while True:
            yield "word "

    monkeypatch.setattr(fake, "stream", lambda *_, **__: ReplyStream(endless(), stopped.set))
    remote.stream([Message.user("x")]).close()
    assert stopped.wait(PATIENCE)


def test_a_server_that_has_ended_says_what_to_do(server: Listener, remote: RemoteAssistant) -> None:
    server.close()
    with pytest.raises(FailureError, match=r"^the local server has ended: start mmchat serve again"):
        remote.stream([Message.user("x")])
    assert RemoteAssistant.find(PLACE) is None


def test_without_a_server_there_is_none() -> None:
    assert RemoteAssistant.find(PLACE) is None


def test_a_server_that_does_not_move_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "_PATIENCE", 0.05)
    with listening(wire.socket_path()):
        assert RemoteAssistant.find(PLACE) is None


def test_whoever_leaves_at_once_breaks_nothing(fake: FakeAssistant, remote: RemoteAssistant) -> None:
    from multiprocessing.connection import Client

    Client(str(wire.socket_path()), "AF_UNIX").close()
    with Client(str(wire.socket_path()), "AF_UNIX") as connection:
        connection.send_bytes(b"{")
    fake.says("hello")
    assert "".join(remote.stream([Message.user("x")])) == "hello"


# The socket


def test_the_socket_is_ones_own(server: Listener) -> None:
    path = wire.socket_path()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_open_is_refused(runtime: Path) -> None:
    (runtime / "mmchat").mkdir()
    (runtime / "mmchat").chmod(0o755)
    with pytest.raises(UserError, match=r"must be a folder that is yours alone: chmod 700"):
        wire.socket_path()
    assert RemoteAssistant.find(PLACE) is None


def test_a_link_to_a_folder_is_refused(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir(mode=0o700)
    (runtime / "mmchat").symlink_to(runtime / "elsewhere")
    with pytest.raises(UserError, match="must be a folder that is yours alone"):
        wire.socket_path()


def test_without_a_runtime_folder_there_is_one_for_each_person(monkeypatch: pytest.MonkeyPatch, runtime: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    assert wire.socket_path() == runtime / f"mmchat-{os.getuid()}" / "server.sock"


def test_a_path_too_long_for_a_socket_is_said(monkeypatch: pytest.MonkeyPatch, runtime: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("x" * 100)))
    with pytest.raises(UserError, match="is too long for a socket"):
        wire.socket_path()


def test_a_second_server_is_refused(server: Listener) -> None:
    with pytest.raises(UserError, match=r"listens at .* already: end that one first"), listening(wire.socket_path()):
        pass
    assert RemoteAssistant.find(PLACE) is not None


def test_a_socket_that_was_left_behind_is_replaced(fake: FakeAssistant) -> None:
    wire.socket_path().touch()
    with listening(wire.socket_path()) as listener:
        threading.Thread(target=WarmServer(fake, PLACE, listener).run, daemon=True).start()  # type: ignore[arg-type]
        assert RemoteAssistant.find(PLACE) is not None
    assert not wire.socket_path().exists()


# Where a model is


def place(model: Any = None, **given: Any) -> dict[str, Any]:
    return wire.place_of(model, **{"device": "cpu", "dtype": "auto", "quantize": None, "transcriber": None, **given})


def test_a_model_has_one_place_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    assert place("model") == place(tmp_path / "model") == place("./model/")
    assert place("model") != place("other")
    assert place() == place("mmchat-tiny")
    assert place() != place(quantize="int8")


def test_a_model_that_was_trained_on_is_another(tmp_path: Path) -> None:
    file = tmp_path / "decoder.safetensors"
    file.touch()
    os.utime(file, ns=(1, 10**18))
    before = place(tmp_path)
    os.utime(file, ns=(1, 10**18 + 10**9))
    assert place(tmp_path) != before
