"""The page, launched on a free port and reached as browsers and programs reach it, over a fake assistant."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import gradio as gr
import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.utils import Status
from PIL import Image

from mmchat.checkpoints.bundled import SAMPLES, sample
from mmchat.errors import CheckpointError, ContextError, FusionError, UserError
from mmchat.history.store import History
from mmchat.inputs.image import load_image
from mmchat.serving import answers, web
from mmchat.serving.asking import ANSWERS_AT_ONCE
from mmchat.serving.backing import Backing
from mmchat.serving.page import build_page
from mmchat.serving.visitors import Limits, Visitors
from mmchat.serving.web import Door
from tests.serving.fakes import KNOWS, FakeAssistant


class Place:
    """Where the page looks for its assistant: one page serves all tests, and each test has an assistant of its own."""

    assistant: FakeAssistant
    failure: Exception | None

    def __call__(self, name: str = "") -> Any:
        if self.failure is not None:
            raise self.failure
        return self.assistant


@pytest.fixture(scope="module")
def place() -> Place:
    return Place()


@pytest.fixture
def assistant(place: Place) -> FakeAssistant:
    place.assistant, place.failure = FakeAssistant(), None
    return place.assistant


@pytest.fixture(scope="module")
def address(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page over `place`, which must not reach for other hosts from its building to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        # After so many events Gradio counts them, with what pandas has deprecated.
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
        refused = watch_network(patch)
        page, address = asyncio.run(start(place))
        yield address
        page.close(verbose=False)
        assert refused == []


async def start(place: Place) -> tuple[gr.Blocks, str]:
    """Build and serve. Inside a running event loop Gradio makes none of its own, which it would leave unclosed."""
    page = build_page(Backing(place))
    return page, web.serve(page, Door(port=0))


def watch_network(patch: pytest.MonkeyPatch) -> list[str]:
    """Refuses, and lists, whatever would leave this machine."""
    refused: list[str] = []
    here = (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "203.0.113.1")
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def check(host: Any) -> None:
        if host not in here:
            refused.append(str(host))
            raise OSError(f"{host} is not this machine")

    def guarded_look_up(host: Any, *rest: Any, **more: Any) -> Any:
        check(host)
        return look_up(host, *rest, **more)

    def guarded_connect(self: socket.socket, target: Any) -> None:
        check(target[0] if isinstance(target, tuple) else None)
        connect(self, target)

    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    patch.setattr(socket.socket, "connect", guarded_connect)
    return refused


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    client = open_client(address)
    yield client
    client.close()


def open_client(address: str) -> Client:
    """A client that does not report itself to the hub, which it does whatever its own option says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        return Client(address, verbose=False)


@pytest.fixture
def tab(client: Client, assistant: FakeAssistant) -> Client:
    """A tab that was just opened, over an assistant that was asked nothing yet."""
    client.reset_session()
    return client


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), "orange").save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "question.wav", np.sin(np.arange(32_000) / 20), 16_000)
    return tmp_path / "question.wav"


def message(text: str, *files: Path) -> dict[str, Any]:
    return {"text": text, "files": [handle_file(str(file)) for file in files]}


def said(chat: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The chat as roles and what stands in their bubbles: texts, and names of files."""
    return [
        (bubble["role"], [part.get("text") or Path(part["file"]).name for part in bubble["content"]]) for bubble in chat
    ]


def test_text_pictures_and_voice_go_in_one_message(
    tab: Client, assistant: FakeAssistant, picture: Path, clip: Path, tmp_path: Path
) -> None:
    other = tmp_path / "dog.png"
    Image.new("RGB", (8, 8), "brown").save(other)
    chat, composer, *_ = tab.predict(message("which one?", picture, clip, other), api_name="/ask")
    assert said(chat) == [
        (
            "user",
            [
                "cat.png",
                "question.wav",
                "dog.png",
                "which one?",
                '<small><a href="#back-0" role="button">Take back</a></small>',
            ],
        ),
        (
            "assistant",
            [
                "message 1: which one?",
                "<small>cat.png → 9 tokens · question.wav 2.0 s → 9 tokens · dog.png → 9 tokens"
                ' · first token 0.2 s · 3 tokens, 20 a second · <a href="#look-1" role="button">Where it looked</a>'
                "</small>",
            ],
        ),
    ]
    assert composer == {"submit_btn": True, "stop_btn": False, "__type__": "update"}
    (question,) = assistant.asked[0]
    assert [part.name for part in question.media] == ["cat.png", "question.wav", "dog.png"]
    assert question.text == "which one?"


def test_the_answer_streams(tab: Client, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "REDRAW_SECONDS", 0.0)
    job = tab.submit(message("hello"), api_name="/ask")
    job.result()
    shown = [said(chat)[-1][1] for chat, *_ in job.outputs()]
    assert shown == [
        ["…"],
        ["message 1:"],
        ["message 1: hello"],
        ["message 1: hello", "<small>first token 0.2 s · 3 tokens, 20 a second</small>"],
    ]


def test_the_next_message_brings_the_conversation_and_its_media(
    tab: Client, assistant: FakeAssistant, picture: Path
) -> None:
    tab.predict(message("what is this?", picture), api_name="/ask")
    tab.predict(message("where does it live?"), api_name="/ask")
    assert [(turn.role, turn.text) for turn in assistant.asked[1]] == [
        ("user", "what is this?"),
        ("assistant", "message 1: what is this?"),
        ("user", "where does it live?"),
    ]
    assert [part.name for part in assistant.asked[1][0].media] == ["cat.png"]


def test_two_tabs_never_see_each_other(tab: Client, address: str, assistant: FakeAssistant) -> None:
    other = open_client(address)
    tab.predict(message("I am one"), api_name="/ask")
    other.predict(message("I am two"), api_name="/ask")
    chat, *_ = tab.predict(message("who am I?"), api_name="/ask")
    other.close()
    assert [turn.text for turn in assistant.asked[1]] == ["I am two"]
    assert [turn.text for turn in assistant.asked[2]] == ["I am one", "message 1: I am one", "who am I?"]
    assert "I am two" not in json.dumps(chat)


def test_clear_starts_anew(tab: Client, assistant: FakeAssistant) -> None:
    tab.predict(message("hello"), api_name="/ask")
    chat, *_ = tab.predict(api_name="/clear")
    assert chat == []
    tab.predict(message("again"), api_name="/ask")
    assert [turn.text for turn in assistant.asked[1]] == ["again"]


def test_html_of_the_user_shows_as_text(tab: Client) -> None:
    chat, *_ = tab.predict(message("<script>alert(1)</script>"), api_name="/ask")
    assert said(chat)[0] == ("user", ["&#60;script&#62;alert(1)&#60;/script&#62;"])


@pytest.mark.parametrize("problem", [ContextError("it needs 300 tokens"), FusionError("9 places, 8 features")])
def test_an_error_is_a_message_and_keeps_what_was_typed(
    problem: Exception, tab: Client, assistant: FakeAssistant, picture: Path
) -> None:
    tab.predict(message("hello"), api_name="/ask")
    assistant.problem = problem
    chat, composer, *_ = tab.predict(message("what is this?", picture), api_name="/ask")
    assert said(chat)[2:] == [
        ("user", ["<small>cat.png</small>", "what is this?"]),
        ("assistant", [f"⚠ {problem}"]),
    ]
    assert composer["submit_btn"] is True
    assert composer["value"]["text"] == "what is this?"
    assert [Path(file).name for file in composer["value"]["files"]] == ["cat.png"]
    assistant.problem = None
    tab.predict(message("never mind"), api_name="/ask")
    assert [turn.text for turn in assistant.asked[-1]] == ["hello", "message 1: hello", "never mind"]


def test_a_file_that_is_no_picture_is_refused_by_its_name_alone(tab: Client, tmp_path: Path) -> None:
    broken = tmp_path / "cat.png"
    broken.write_text("no picture")
    chat, composer, *_ = tab.predict(message("what is this?", broken), api_name="/ask")
    (sent, (role, (problem,))) = said(chat)
    assert sent == ("user", ["<small>cat.png</small>", "what is this?"])
    assert role == "assistant"
    assert problem.startswith("⚠ cat.png: not a picture")
    assert composer["value"]["text"] == "what is this?"


def test_an_empty_message_is_refused(tab: Client, assistant: FakeAssistant) -> None:
    chat, *_ = tab.predict(message(" "), api_name="/ask")
    assert said(chat) == [("assistant", ["⚠ the user message is empty: give it text, a picture or a clip"])]
    assert assistant.asked == []


def test_a_failure_that_nobody_foresaw_is_logged_and_not_shown(
    tab: Client, assistant: FakeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    assistant.problem = KeyError("/secret/path")
    chat, composer, *_ = tab.predict(message("hello"), api_name="/ask")
    assert said(chat)[1:] == [("assistant", ["⚠ something went wrong on our side; the server's log says what"])]
    assert composer["value"]["text"] == "hello"
    assert "/secret/path" in caplog.text


def test_stopping_ends_the_work(tab: Client, assistant: FakeAssistant) -> None:
    assistant.pause = threading.Event()
    job = tab.submit(message("hello"), api_name="/ask")
    wait_for(lambda: len(job.outputs()) > 1)
    assert assistant.closed == 0
    job.cancel()
    wait_for(lambda: assistant.closed == 1)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_who_comes_while_all_that_can_are_answered_is_told_their_place(tab: Client, assistant: FakeAssistant) -> None:
    assistant.pause = threading.Event()
    jobs = [tab.submit(message("hello"), api_name="/ask") for _ in range(ANSWERS_AT_ONCE + 2)]
    wait_for(lambda: len(assistant.asked) == ANSWERS_AT_ONCE)

    def places() -> list[int | None]:
        statuses = [job.status() for job in jobs]
        return sorted(each.rank for each in statuses if each.code == Status.IN_QUEUE)  # type: ignore[type-var]

    wait_for(lambda: places() == [0, 1])
    assert len(assistant.asked) == ANSWERS_AT_ONCE
    assistant.pause.set()
    for job in jobs:
        assert job.result(timeout=30)
    assert len(assistant.asked) == ANSWERS_AT_ONCE + 2


def test_the_page_says_what_the_model_is_and_knows(tab: Client) -> None:
    about, chat, *_ = tab.predict(api_name="/about")
    facts = "fake&#95;1 · 9.5 million parameters · context 256 tokens · a picture 9 · a second of voice 6.7"
    assert about == f"## mmchat\n<details><summary><small>{facts}</small></summary>{KNOWS}</details>"
    assert chat["placeholder"] == KNOWS


def test_a_model_that_does_not_load_is_said_on_the_page(tab: Client, place: Place) -> None:
    place.failure = CheckpointError("no model tiny: give a folder")
    about, *_ = tab.predict(api_name="/about")
    assert about == "## mmchat\n⚠ no model tiny: give a folder"
    chat, composer, *_ = tab.predict(message("hello"), api_name="/ask")
    assert said(chat)[1:] == [("assistant", ["⚠ no model tiny: give a folder"])]
    assert composer["value"]["text"] == "hello"


def test_a_request_cannot_name_a_file_of_the_host(address: str, assistant: FakeAssistant, tmp_path: Path) -> None:
    """Whoever posts to the page without a browser can write any path where an upload belongs."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{address}gradio_api/call/ask", json={"data": [{"text": "this?", "files": [file]}]})
    outcome = httpx.get(f"{address}gradio_api/call/ask/{call.json()['event_id']}")
    assert outcome.text.startswith("event: error")
    assert assistant.asked == []
    assert httpx.get(f"{address}gradio_api/file={secret}").status_code == 403


def test_an_upload_loses_what_a_camera_wrote_beside_its_pixels(address: str) -> None:
    """By the time that the browser knows its name; what follows it in the same upload stays what it was."""
    photograph, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "taken at the secret place"
    Image.new("RGB", (8, 8), "orange").save(photograph, "JPEG", exif=exif)
    files = [("files", ("photo.jpg", photograph.getvalue())), ("files", ("note.wav", b"taken at the secret place"))]
    sent = httpx.post(f"{address}gradio_api/upload", files=files)
    upload, other = (Path(path) for path in sent.json())
    assert b"secret" not in upload.read_bytes()
    assert load_image(upload).image.size == (8, 8)
    assert other.read_bytes() == b"taken at the secret place"


def test_an_upload_that_is_refused_says_so(address: str) -> None:
    assert httpx.post(f"{address}gradio_api/upload", content=b"no form").status_code == 400


def test_files_are_served_that_were_uploaded_and_no_others(address: str, picture: Path, tmp_path: Path) -> None:
    """Not by a way around through the folder of an upload, nor by a link in it, nor what stands where it was begun."""
    sent = httpx.post(f"{address}gradio_api/upload", files={"files": ("dot.png", picture.read_bytes())})
    upload = Path(sent.json()[0])
    served = f"{address}gradio_api/file="
    assert httpx.get(f"{served}{upload}").content == picture.read_bytes()
    secret, link = tmp_path / "secret.txt", upload.with_name("link.txt")
    secret.write_text("for nobody")
    link.symlink_to(secret)
    up = [".."] * (len(upload.parts) - 2)
    around = upload.parent.joinpath(*up, *secret.parts[1:])
    assert around.read_text() == "for nobody"
    for path in (secret, link, around, str(around).replace("..", "%2e%2e"), "pyproject.toml"):
        answer = httpx.get(f"{served}{path}")
        assert answer.status_code in (403, 404), path
        assert "for nobody" not in answer.text


def test_the_page_needs_nothing_from_other_hosts(address: str) -> None:
    html = httpx.get(address).text
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:)?//([^"/]+)', html)
    assert [host for _, host in loaded if not address.endswith(f"{host}/")] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])
def test_a_place_where_it_cannot_listen_is_the_users_mistake(host: str, address: str, place: Place) -> None:
    """A taken port, and hosts that are not this machine; the reason is the system's own."""
    port = httpx.URL(address).port
    assert port is not None

    async def again() -> None:
        web.serve(build_page(Backing(place)), Door(host, port))

    with pytest.raises(
        UserError, match=rf"^cannot listen on {host} port {port}: [^;()]+; give another --host or --port$"
    ):
        asyncio.run(again())


# A page for others


@dataclass
class Shared:
    """A page on which each browser has conversations of its own, of three messages a minute."""

    address: str
    history: History

    def owners(self) -> dict[str, str]:
        """What each asked first."""
        rows = self.history._rows("SELECT owner, title FROM conversation", ())
        return {title: owner for owner, title in rows}


@pytest.fixture
def shared(
    request: pytest.FixtureRequest, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shared]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
    monkeypatch.setattr(web, "default_path", lambda: tmp_path / "data" / "history.db")
    history = History(tmp_path / "data" / "history.db")
    door = Door(port=0, shared=True, accounts=getattr(request, "param", ()))

    async def begin() -> tuple[gr.Blocks, str]:
        page = build_page(Backing(place, ("",), history, Visitors(shared=True), Limits(a_minute=3, at_once=None)))
        return page, web.serve(page, door)

    page, address = asyncio.run(begin())
    yield Shared(address, history)
    page.close(verbose=False)
    history.close()


def test_the_samples_are_shown_wherever_the_page_was_started_and_no_other_file(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio gives out what lies in the folder that it was started in, and what it is told of."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
    monkeypatch.chdir(tmp_path)
    page, address = asyncio.run(start(place))
    assert page.allowed_paths == [str(sample(name)) for name in SAMPLES]
    picture = sample("cat.png")
    given = httpx.get(f"{address}gradio_api/file={picture}")
    assert (given.status_code, given.content) == (200, picture.read_bytes())
    assert httpx.get(f"{address}gradio_api/file={picture.with_name('carrot.png')}").status_code == 403
    page.close(verbose=False)


def posted(browser: httpx.Client, text: str) -> str:
    """What the page of a browser answers."""
    call = browser.post(
        "gradio_api/call/ask", json={"data": [{"text": text, "files": []}, "", 0, 1, 1, None, 96, 1, ""]}
    )
    assert call.status_code == 200, call.text
    return browser.get(f"gradio_api/call/ask/{call.json()['event_id']}").text


def test_each_browser_has_conversations_of_its_own(shared: Shared, assistant: FakeAssistant) -> None:
    """By a cookie that cannot be forged; for a program without one, nothing is kept."""
    one, two, program = (httpx.Client(base_url=shared.address, timeout=30) for _ in range(3))
    for browser in (one, two):
        assert browser.get("/").status_code == 200
    posted(one, "I am one")
    posted(two, "I am two")
    posted(program, "I am nobody")
    owners = shared.owners()
    assert set(owners) == {"I am one", "I am two"}
    assert owners["I am one"] != owners["I am two"]
    for browser in (one, two):
        assert len(browser.cookies) == 1
        browser.get("/")
    posted(one, "still one")
    assert shared.owners()["still one"] == owners["I am one"]
    forged = httpx.Client(
        base_url=shared.address, timeout=30, cookies={"mmchat_visitor": one.cookies["mmchat_visitor"][:-1]}
    )
    posted(forged, "I am one, too")
    assert "I am one, too" not in shared.owners()
    for browser in (one, two, program, forged):
        browser.close()
    assert len(assistant.asked) == 5


def test_a_visitor_who_asks_too_much_waits(shared: Shared, assistant: FakeAssistant) -> None:
    with httpx.Client(base_url=shared.address, timeout=30) as browser:
        browser.get("/")
        for _ in range(3):
            assert "message 1: hello" in posted(browser, "hello")
        assert "you have sent 3 messages within a minute: wait" in posted(browser, "hello")
    with httpx.Client(base_url=shared.address, timeout=30) as other:
        other.get("/")
        assert "message 1: hello" in posted(other, "hello")
    assert len(assistant.asked) == 4


@pytest.mark.parametrize("shared", [(f"ada:{bcrypt.hashpw(b'sesame', bcrypt.gensalt(4)).decode()}",)], indirect=True)
def test_a_page_with_accounts_lets_nobody_else_in(shared: Shared, assistant: FakeAssistant) -> None:
    with httpx.Client(base_url=shared.address, timeout=30) as browser:
        call = {"data": [{"text": "hello", "files": []}, "", 0, 1, 1, None, 96, 1, ""]}
        assert browser.post("gradio_api/call/ask", json=call).status_code == 401
        assert browser.post("login", data={"username": "ada", "password": "wrong"}).status_code == 400
        assert browser.post("gradio_api/call/ask", json=call).status_code == 401
        assert assistant.asked == []
        assert browser.post("login", data={"username": "ada", "password": "sesame"}).status_code == 200
        assert "message 1: hello" in posted(browser, "hello")
    assert shared.owners() == {"hello": "user:ada"}


def test_conversations_are_found_and_opened_again(shared: Shared, assistant: FakeAssistant) -> None:
    """By the address of the page, as after a reload; nobody opens what is somebody else's."""
    with httpx.Client(base_url=shared.address, timeout=30) as browser, httpx.Client(base_url=shared.address) as other:
        for each in (browser, other):
            each.get("/")
        posted(browser, "hello")
        (number,) = (each.id for each in shared.history.conversations(shared.owners()["hello"]))

        def opened(visitor: httpx.Client) -> str:
            call = visitor.post(f"gradio_api/call/about?chat={number}", json={"data": []})
            return visitor.get(f"gradio_api/call/about/{call.json()['event_id']}").text

        assert "message 1: hello" in opened(browser)
        assert "message 1: hello" not in opened(other)
    assert len(assistant.asked) == 1


def test_who_may_come_in_decides_whose_conversations_they_are() -> None:
    assert not Door().for_others
    assert not Door("localhost").for_others
    assert Door("0.0.0.0").for_others
    assert Door(shared=True).for_others
    assert Door(accounts=("ada:x",)).for_others


def test_launch_says_the_address_and_serves_until_interrupted(
    assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded, statuses = [], []

    def load(model: str | None, **placement: str | None) -> FakeAssistant:
        loaded.append((model, placement))
        return assistant

    def interrupt(_: float) -> None:
        said = re.fullmatch(r"mmchat: the page is at (http://127\.0\.0\.1:\d+/) .*\n", capsys.readouterr().err)
        assert said is not None
        statuses.append((said[1], httpx.get(said[1]).status_code))
        raise KeyboardInterrupt

    async def launch() -> None:
        web.launch(["tiny"], Door(port=0, keep=False), device="cpu", quantize="int8")

    monkeypatch.setattr(web.Assistant, "load", load)
    monkeypatch.setattr(web, "time", SimpleNamespace(sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(launch())
    assert loaded == [("tiny", {"device": "cpu", "dtype": "auto", "quantize": "int8", "transcriber": None})]
    ((url, status),) = statuses
    assert status == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_page_that_does_not_wait_for_its_model_is_there_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what is wrong where there is none."""
    loadable, statuses = threading.Event(), []

    def load(model: str | None, **_: str | None) -> FakeAssistant:
        assert loadable.wait(10)
        raise CheckpointError(f"{model} is damaged")

    def interrupt(_: float) -> None:
        said = re.search(r"http://127\.0\.0\.1:\d+/", capsys.readouterr().err)
        assert said is not None
        statuses.append(httpx.get(said[0]).status_code)
        loadable.set()
        call = httpx.post(f"{said[0]}gradio_api/call/about", json={"data": []})
        about = httpx.get(f"{said[0]}gradio_api/call/about/{call.json()['event_id']}").text
        assert "mmchat-tiny is damaged" in about
        raise KeyboardInterrupt

    async def launch() -> None:
        web.launch([], Door(port=0, keep=False, load_first=False))

    monkeypatch.setattr(web.Assistant, "load", load)
    monkeypatch.setattr(web, "time", SimpleNamespace(sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(launch())
    assert statuses == [200]
    wait_for(lambda: "mmchat: mmchat-tiny is damaged" in capsys.readouterr().err)
