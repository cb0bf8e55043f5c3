"""What one browser tab has asked and been answered, as values; knows nothing of the page that shows them.

A tab's transcript is a tuple of `Exchange`. It is turned into a conversation for the assistant (`to_messages`) and into
bubbles for the page (`to_bubbles`), so that what is shown and what the assistant reads never drift apart.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmchat.assistant import Reply
from mmchat.errors import UserError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, load_media

STOPPED = "stopped"
"""The receipt of an answer that the person stopped."""
WAITING = "…"
"""Shown until the first word."""


@dataclass(frozen=True)
class Draft:
    """What stands in the composer: text and uploaded files, in order."""

    text: str
    files: tuple[str, ...] = ()

    def to_message(self) -> Message:
        """The user turn: first the files, as they were added, then the text.

        Raises:
            MessageError: there is neither text nor a file.
            ImageError, AudioError: a file cannot be used; the error names the file but not its place on the host.
        """
        media = [_load(Path(file)) for file in self.files]
        return Message.user(*media, self.text) if self.text.strip() or not media else Message.user(*media)


@dataclass(frozen=True)
class Exchange:
    """One message of the person and the answer to it, as far as it has come.

    Attributes:
        draft: what was sent, as it stood in the composer.
        question: the same with its media decoded.
        answer: the text so far.
        receipt: the line under the answer; empty while the answer is still being written.
    """

    draft: Draft
    question: Message
    answer: str = ""
    receipt: str = ""


Transcript = tuple[Exchange, ...]


def to_messages(transcript: Transcript) -> list[Message]:
    """The conversation, media included. A message that got no words in answer is left out, except the last."""
    messages: list[Message] = []
    for exchange in transcript[:-1]:
        if exchange.answer.strip():
            messages += [exchange.question, Message.assistant(exchange.answer)]
    return messages + [exchange.question for exchange in transcript[-1:]]


def to_bubbles(transcript: Transcript, problem: str | None = None) -> list[dict[str, Any]]:
    """The chat as `gradio.Chatbot` takes it, with an error as the last bubble if there is one."""
    bubbles: list[dict[str, Any]] = []
    for exchange in transcript:
        shown: list[dict[str, Any]] = [{"path": file} for file in exchange.draft.files]
        if exchange.draft.text.strip():
            shown.append(_text(as_typed(exchange.draft.text)))
        bubbles.append({"role": "user", "content": shown})
        said = [_text(exchange.answer or WAITING)] if exchange.answer or not exchange.receipt else []
        if exchange.receipt:
            said.append(_text(f"<small>{as_typed(exchange.receipt)}</small>"))
        bubbles.append({"role": "assistant", "content": said})
    if problem is not None:
        bubbles.append({"role": "assistant", "content": [_text(as_problem(problem))]})
    return bubbles


def upto(transcript: Transcript, bubble: int | tuple[int, int]) -> tuple[Transcript, Draft]:
    """What was said before a bubble of `to_bubbles`, or before the question that it answers; and that question.

    Args:
        transcript: all of it.
        bubble: as `gradio.Chatbot` counts them: its number, or that and the number of a part.

    Raises:
        UserError: there is no such bubble any more.
    """
    number = (bubble if isinstance(bubble, int) else bubble[0]) // 2
    if not 0 <= number < len(transcript):
        raise UserError("this message is no longer there: reload the page")
    return transcript[:number], transcript[number].draft


def edited(draft: Draft, shown: str) -> Draft:
    """A message with other words, typed over those that `as_typed` shows; its files stay."""
    return replace(draft, text=html.unescape(shown))


def receipt(reply: Reply) -> str:
    """The line under an answer: `cat.png → 9 tokens · first token 0.2 s · 30 tokens, 250 a second`."""
    seconds = reply.timing.first_token_s
    parts = [*map(str, reply.media), f"first token {round(seconds, 1 if seconds >= 1 else 2):g} s"]
    tokens, took = reply.usage.completion_tokens, reply.timing.total_s - seconds
    if tokens > 1 and took > 0:
        rate = (tokens - 1) / took
        parts.append(
            f"{tokens} tokens, {rate:,.0f} a second" if rate >= 10 else f"{tokens} tokens, {rate:.1f} a second"
        )
    if reply.finish_reason == "length":
        parts.append(f"cut at {reply.usage.completion_tokens} tokens, the longest answer")
    return " · ".join(parts)


def as_problem(error: str) -> str:
    """An error as Markdown."""
    return f"⚠ {as_typed(error)}"


def as_typed(text: str) -> str:
    """Markdown that shows a text as it was typed: tags, marks, lists and formulas in it have no effect."""
    safe = re.sub(r"[&<>\\`*_~$|\[\]]", lambda mark: f"&#{ord(mark[0])};", text)
    safe = re.sub(r"^([ \t]*\d*)([#+=.)-])", lambda start: f"{start[1]}&#{ord(start[2])};", safe, flags=re.MULTILINE)
    return re.sub(r"^[ \t]+", lambda indent: "&nbsp;" * len(indent[0].expandtabs(4)), safe, flags=re.MULTILINE)


def _text(markdown: str) -> dict[str, str]:
    return {"type": "text", "text": markdown}


def _load(path: Path) -> ImagePart | AudioPart:
    try:
        return load_media(path)
    except UserError as error:
        raise type(error)(str(error).replace(str(path), path.name)) from error
