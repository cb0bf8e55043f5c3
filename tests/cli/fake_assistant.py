"""A fake assistant at the seam, and a terminal to type into: no weights, no network, whole transcripts."""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmchat.assistant import (
    AssistantInfo,
    MediaCheck,
    MediaReceipt,
    Reply,
    ReplyStream,
    Timing,
    Usage,
)
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart

Answer = str | BaseException | Sequence[str | BaseException]


@dataclass(frozen=True)
class Asked:
    """One call of the assistant, written down."""

    conversation: list[Message]
    system: str | None
    options: dict[str, Any]

    @property
    def last(self) -> list[str]:
        """The last message: names of its media, then its text."""
        return [part.text if isinstance(part, TextPart) else part.name for part in self.conversation[-1].content]


@dataclass
class FakeAssistant:
    """Has the door of `Assistant`; says what was put into its queue, word by word, and writes down what it was asked.

    An exception in an answer is raised when its place comes; an exception instead of an answer, when it is asked for.
    """

    name: str = "fake"
    answers: deque[Answer] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    loaded: list[tuple[str | None, str]] = field(default_factory=list)
    finish_reason: str = "stop"
    moved: float = 1.0
    damage: Exception | None = None
    blind: Exception | None = None

    def says(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    def stream(self, conversation: list[Message], *, system: str | None = None, **options: Any) -> ReplyStream:
        self.asked.append(Asked(list(conversation), system, options))
        answer = self.answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return ReplyStream(self._answer(answer, conversation, options.get("seed", 7)))

    def replies(self, conversation: list[Message], n: int, *, system: str | None = None, **options: Any) -> list[Reply]:
        streams = [self.stream(conversation, system=system, **options) for _ in range(n)]
        for stream in streams:
            list(stream)
        return [stream.reply for stream in streams if stream.reply is not None]

    def _answer(self, answer: Answer, conversation: list[Message], seed: int) -> Generator[str, None, Reply]:
        pieces = answer.split(" ") if isinstance(answer, str) else list(answer)
        for index, piece in enumerate(pieces):
            if isinstance(piece, BaseException):
                raise piece
            yield piece if index == 0 else f" {piece}"
        return Reply(
            text=" ".join(str(piece) for piece in pieces),
            media=tuple(_receipt(part) for message in conversation for part in message.media),
            usage=Usage(prompt_tokens=20, completion_tokens=len(pieces)),
            timing=Timing(load_s=0.5, first_token_s=0.25, total_s=1.0),
            finish_reason=self.finish_reason,
            seed=seed,
            model=self.name,
        )

    def describe(self) -> AssistantInfo:
        if self.blind is not None:
            raise self.blind
        return AssistantInfo(
            name=self.name,
            path=Path("assets/fake"),
            knows="cats and cups",
            parameters={"decoder": 1_200_000, "image_encoder": 34_000},
            context=512,
            device="cpu",
            dtype="float32",
            quantization=None,
            tokens_per_image=9,
            tokens_per_second=6.25,
            transcriber=None,
        )

    def media_check(self, part: ImagePart | AudioPart) -> MediaCheck:
        return MediaCheck("image" if isinstance(part, ImagePart) else "audio", self.moved)

    def verify(self) -> int:
        if self.damage is not None:
            raise self.damage
        return 8


def _receipt(part: ImagePart | AudioPart) -> MediaReceipt:
    if isinstance(part, ImagePart):
        return MediaReceipt("image", part.name, 9, None, part.note)
    return MediaReceipt("audio", part.name, round(6.25 * part.seconds), part.seconds, part.note)


class Typing(io.StringIO):
    """Standard input at a terminal: what is typed shows on the screen, Ctrl-C can be among it, Ctrl-D ends it."""

    def __init__(self, lines: Sequence[str | BaseException]) -> None:
        super().__init__()
        self._lines = deque(lines)

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        if not self._lines:
            return ""
        line = self._lines.popleft()
        if isinstance(line, BaseException):
            raise line
        sys.stdout.write(f"{line}\n")
        return f"{line}\n"


@dataclass(frozen=True)
class Screen:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Screen]
