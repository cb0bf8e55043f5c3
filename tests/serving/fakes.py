"""An assistant that answers at once, with the door of `Assistant` that the page uses."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmchat.assistant import AssistantInfo, MediaReceipt, Reply, ReplyStream, Timing, Usage
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.messages import Message

KNOWS = "I know cats."


@dataclass
class FakeAssistant:
    """Answers with the number of messages and the last one; has the door of `Assistant` that the page uses."""

    asked: list[list[Message]] = field(default_factory=list)
    problem: Exception | None = None
    """Raised in the middle of the answer."""
    pause: threading.Event | None = None
    """Held before the last word, until set."""
    closed: int = 0
    options: list[dict[str, Any]] = field(default_factory=list)

    def stream(self, conversation: list[Message], **options: Any) -> ReplyStream:
        self.asked.append(conversation)
        self.options.append(options)
        return ReplyStream(self._answer(conversation))

    def _answer(self, conversation: list[Message]) -> Generator[str, None, Reply]:
        last = conversation[-1]
        try:
            yield f"message {len(conversation)}:"
            if self.problem is not None:
                raise self.problem
            while self.pause is not None and not self.pause.wait(0.01):
                yield "."
            yield f" {last.text}"
        finally:
            self.closed += 1
        media = tuple(_receipt(part) for part in last.media)
        text = f"message {len(conversation)}: {last.text}"
        return Reply(text, media, Usage(10, 3), Timing(0.0, 0.2, 0.3), "stop", 1, "fake")

    def describe(self) -> AssistantInfo:
        return AssistantInfo(
            "fake_1", Path(), KNOWS, {"decoder": 9_000_000, "image": 500_000}, 256, "cpu", "float32", None, 9, 6.7, None
        )


def _receipt(part: Any) -> MediaReceipt:
    sound = isinstance(part, AudioPart)
    return MediaReceipt("audio" if sound else "image", part.name, 9, part.seconds if sound else None)
