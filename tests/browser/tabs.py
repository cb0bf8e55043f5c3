"""The assistant of the page, and what a person does in a tab."""

from __future__ import annotations

import mimetypes
import re
import time
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from mmchat import Assistant
from mmchat.assistant import Reply, ReplyStream

ASSETS = Path(__file__).parents[2] / "assets"
_BRING = """([event, files]) => {
    const data = new DataTransfer();
    for (const [name, type, content] of files) {
        const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
        data.items.add(new File([bytes], name, { type }));
    }
    const about = { bubbles: true, cancelable: true };
    const told = event === 'paste'
        ? new ClipboardEvent(event, { ...about, clipboardData: data })
        : new DragEvent(event, { ...about, dataTransfer: data });
    document.querySelector('#composer textarea').dispatchEvent(told);
}"""


@dataclass
class Pausing:
    """The bundled assistant, which takes its time when it is told to, so that a person can stop it."""

    assistant: Assistant = field(default_factory=Assistant.load)
    seconds: float = 0.0
    said: str = ""
    """In the place of what the model says, which knows neither formulas nor code."""

    def stream(self, *given: Any, **options: Any) -> ReplyStream:
        stream = self.assistant.stream(*given, **options)
        if self.said:
            return ReplyStream(self._said(stream), stream.close)
        return ReplyStream(self._slowly(stream), stream.close) if self.seconds else stream

    def _slowly(self, stream: ReplyStream) -> Generator[str, None, Reply]:
        for piece in stream:
            yield piece
            time.sleep(self.seconds)
        assert stream.reply is not None
        return stream.reply

    def _said(self, stream: ReplyStream) -> Generator[str, None, Reply]:
        for _ in stream:
            pass
        assert stream.reply is not None
        yield self.said
        return replace(stream.reply, text=self.said)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.assistant, name)


@dataclass
class Tab:
    """A tab on the page, and what a person does there."""

    page: Page
    address: str

    def open(self) -> Tab:
        self.page.goto(self.address)
        expect(self.page.locator("#about small")).to_contain_text("mmchat-tiny")
        return self

    def attach(self, *files: Path) -> None:
        for number, file in enumerate(files, start=1):
            self.page.locator("#composer input[type=file]").first.set_input_files(str(file))
            expect(self.page.locator("#composer .thumbnail-item")).to_have_count(number)

    def bring(self, event: str, *files: Path) -> None:
        """Paste files into the composer, or drop them on it, as a browser tells a page of it."""
        contents = [(file.name, mimetypes.guess_type(file)[0], b64encode(file.read_bytes()).decode()) for file in files]
        self.page.evaluate(_BRING, [event, contents])
        expect(self.page.locator("#composer .thumbnail-item")).to_have_count(len(files))

    def type(self, text: str) -> None:
        box = self.page.locator("#composer textarea")
        box.fill(text)
        box.press("Enter")

    def ask(self, text: str, *files: Path) -> str:
        """Send a message, wait for its answer to be whole, and return it."""
        before = self.answers.count()
        self.attach(*files)
        self.type(text)
        return self.whole(before)

    def whole(self, number: int) -> str:
        """An answer, counted from 0, as soon as its receipt is there."""
        answer = self.answers.nth(number)
        expect(answer.locator("small").last).to_contain_text(re.compile("first token|首个 token"))
        return answer.inner_text()

    @property
    def answers(self) -> Locator:
        return self.page.locator("#chat .bot.message")

    @property
    def messages(self) -> Locator:
        return self.page.locator("#chat .user.message")

    def set(self, **values: str) -> None:
        """Open the settings and type values, by the first word of their labels."""
        self.sidebar()
        self.page.get_by_role("button", name="Settings").click()
        self.page.wait_for_timeout(1_000)  # what was just shown still takes the values that the page opened with
        for label, value in values.items():
            field = self.setting(label)
            field.fill(value)
            field.press("Tab")
            expect(field).to_have_value(value)
        self.page.wait_for_timeout(500)  # until the page has taken them

    def setting(self, label: str) -> Locator:
        return self.page.get_by_label(re.compile(f"^(number input for )?{label}", re.IGNORECASE)).first

    def sidebar(self) -> None:
        """Open it."""
        self.page.locator("button.toggle-button").click()
        expect(self.page.get_by_role("button", name="New conversation")).to_be_visible()


Visit = Callable[..., Tab]
"""Opens the page as another visitor."""
