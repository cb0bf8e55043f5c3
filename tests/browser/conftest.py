"""The real page over the bundled model, in Debian's Chromium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from mmchat.history.store import History
from mmchat.serving import web
from mmchat.serving.backing import Backing
from mmchat.serving.page import build_page
from mmchat.serving.visitors import Visitors
from mmchat.serving.web import Door
from tests.browser.tabs import ASSETS, Pausing, Tab, Visit

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    f"--use-file-for-fake-audio-capture={ASSETS / 'question.wav'}%noloop",
)
_PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def assistant() -> Pausing:
    return Pausing()


@pytest.fixture(scope="module")
def address(assistant: Pausing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page as `mmchat web --shared` serves it, started in a folder that holds nothing of mmchat."""
    folder = tmp_path_factory.mktemp("page")
    history = History(folder / "history.db")
    backing = Backing(lambda _: assistant, ("",), history, Visitors(shared=True))  # type: ignore[arg-type, return-value]

    async def start() -> tuple[gr.Blocks, str]:
        page = build_page(backing)
        return page, web.serve(page, Door(port=0, shared=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
        patch.setattr(web, "default_path", lambda: folder / "history.db")
        page, address = asyncio.run(start())
        yield address
        page.close(verbose=False)
        history.close()


@pytest.fixture(scope="module")
def chromium(address: str) -> Iterator[Browser]:
    """Begun after the page and ended before it: its event loop allows no other in this thread."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here: on Debian, `apt-get install chromium`; .ci/run does")
    with sync_playwright() as playwright:
        expect.set_options(timeout=_PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, address: str, assistant: Pausing) -> Iterator[Visit]:
    """Opens the page, each time as another visitor; what its scripts complain about fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visit(**options: Any) -> Tab:
        context = chromium.new_context(**{"permissions": ["microphone"], **options})
        context.set_default_timeout(_PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return Tab(page, address).open()

    yield visit
    assistant.seconds, assistant.said = 0.0, ""
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def tab(visit: Visit) -> Tab:
    return visit()
