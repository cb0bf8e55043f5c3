"""An answer: its text in pieces or whole, and what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from mmchat.config import FinishReason, Modality


@dataclass(frozen=True)
class MediaReceipt:
    """Says that a picture or clip was used, and what it cost."""

    kind: Modality
    name: str
    tokens: int
    seconds: float | None = None
    note: str | None = None

    def __str__(self) -> str:
        length = "" if self.seconds is None else f" {self.seconds:.1f} s"
        note = "" if self.note is None else f" ({self.note})"
        tokens = "1 token" if self.tokens == 1 else f"{self.tokens} tokens"
        return f"{self.name}{length} → {tokens}{note}"


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Timing:
    """Seconds, by the wall clock."""

    load_s: float
    """What loading the model and its encoders took, over the life of the assistant."""
    first_token_s: float
    """From the question to the first token of the answer."""
    total_s: float
    """From the question to the end of the answer."""


@dataclass(frozen=True)
class Reply:
    """One whole answer."""

    text: str
    media: tuple[MediaReceipt, ...]
    usage: Usage
    timing: Timing
    finish_reason: FinishReason
    seed: int
    model: str


class ReplyStream(Iterator[str]):
    """Pieces of an answer as they are found; whole characters only. Closing it stops the work."""

    def __init__(self, answer: Generator[str, None, Reply], stop: Callable[[], None] | None = None) -> None:
        """
        Args:
            answer: its pieces, and the whole in the end.
            stop: ends work that goes on whether the pieces are asked for or not.
        """
        self._answer = answer
        self._stop = stop
        self.reply: Reply | None = None
        """The whole answer, once the pieces have ended."""

    def __next__(self) -> str:
        try:
            return next(self._answer)
        except StopIteration as end:
            if self.reply is None:
                self.reply = end.value
            raise StopIteration from None

    def close(self) -> None:
        """Stop generating; what was streamed stands, `reply` stays None."""
        self._answer.close()
        if self._stop is not None:
            self._stop()
