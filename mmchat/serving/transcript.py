"""What one browser tab has asked and been answered, as values; knows nothing of the page that shows them.

A tab's transcript is a tuple of `Exchange`. It is turned into a conversation for the assistant (`to_messages`) and into
bubbles for the page (`to_bubbles`), so that what is shown and what the assistant reads never drift apart.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmchat.assistant import Reply
from mmchat.errors import MessageError, UserError
from mmchat.history.store import NONE, Feedback, Turn
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, load_media
from mmchat.serving.settings import Settings
from mmchat.serving.words import ENGLISH, Phrases

WAITING = "…"
"""Shown until the first word."""
MOST_FILES = 16
"""Of a message."""
LIKE, DISLIKE = "Like", "Dislike"
LOOK, BACK = "look", "back"
"""What a link in a bubble asks for, as in `#look-3` in the third bubble after the first."""


@dataclass(frozen=True)
class Draft:
    """What stands in the composer: text and uploaded files, in order."""

    text: str
    files: tuple[str, ...] = ()

    def to_message(self, media: Sequence[ImagePart | AudioPart] | None = None) -> Message:
        """The user turn: first the files, as they were added, then the text.

        Args:
            media: what the files hold, where it was decoded before: they may be gone since.

        Raises:
            MessageError: there is neither text nor a file, or there are more than `MOST_FILES`.
            ImageError, AudioError: a file cannot be used; the error names the file but not its place on the host.
        """
        if media is None and len(self.files) > MOST_FILES:  # before any of them takes the memory of its pixels
            raise MessageError(
                f"a message takes {MOST_FILES} pictures and clips, not {len(self.files)}: send some later"
            )
        media = [_load(Path(file)) for file in self.files] if media is None else media
        return Message.user(*media, self.text) if self.text.strip() or not media else Message.user(*media)


@dataclass(frozen=True)
class Exchange:
    """One message of the person and the answer to it, as far as it has come.

    Attributes:
        draft: what was sent, as it stood in the composer.
        question: the same with its media decoded.
        answer: the text so far.
        receipt: the line under the answer; empty while the answer is still being written.
        choices: the answers to choose from, where there are several; `answer` is the first of them.
        feedback: what the person thought of the answer.
        question_id: of the question in the history; None where it is not kept.
        answer_id: of the answer, likewise.
        settings: under which it was answered; None for one of a conversation that was kept, which are those of its end.
    """

    draft: Draft
    question: Message
    answer: str = ""
    receipt: str = ""
    choices: tuple[str, ...] = ()
    feedback: Feedback = NONE
    question_id: int | None = None
    answer_id: int | None = None
    settings: Settings | None = None


Transcript = tuple[Exchange, ...]


@dataclass(frozen=True)
class Chat:
    """What a tab holds: a transcript, the number of its conversation in the history if it is kept, and a language."""

    transcript: Transcript = ()
    number: int | None = None
    phrases: Phrases = ENGLISH
    failed: Draft | None = None
    """A message that was answered by an error, behind all others."""

    def failed_at(self, bubble: int | Sequence[int]) -> Draft | None:
        """The message that was answered by an error, if that bubble, counted as for `place_of`, shows it."""
        return self.failed if _place(bubble) == len(self.transcript) else None

    def ends_with(self, newest: int | None) -> bool:
        """Whether the newest message in the history, as of `History.newest`, is the last one here.

        Of an answer that could not be written only the question is there.
        """
        kept = [each for each in self.transcript if each.question_id is not None]
        if not kept or newest is None:
            return newest == 0
        return newest in (kept[-1].question_id, kept[-1].answer_id)

    def put(self, place: int, exchange: Exchange) -> Chat:
        """With another exchange in a place."""
        exchanges = list(self.transcript)
        exchanges[place] = exchange
        return replace(self, transcript=tuple(exchanges))


def restored(turns: Sequence[Turn], show: Callable[[ImagePart | AudioPart], str], phrases: Phrases) -> Transcript:
    """The transcript of a conversation that was kept; system prompts are left to the settings.

    Args:
        turns: all of it.
        show: a file of a picture or clip, for the browser.
        phrases: the language of the receipts.
    """
    exchanges: list[Exchange] = []
    for turn in turns:
        message = turn.message
        if message.role == "user":
            draft = Draft(message.text, tuple(show(part) for part in message.media))
            exchanges.append(Exchange(draft, message, receipt=phrases.stopped, question_id=turn.id))
        elif message.role == "assistant" and exchanges:
            line = phrases.stopped if turn.reply is None else receipt(turn.reply, phrases)
            exchanges[-1] = replace(
                exchanges[-1],
                answer=message.text,
                choices=turn.feedback.choices,
                receipt=line,
                feedback=turn.feedback,
                answer_id=turn.id,
            )
    return tuple(exchanges)


def to_messages(transcript: Transcript) -> list[Message]:
    """The conversation, media included. A message that got no words in answer is left out, except the last."""
    messages: list[Message] = []
    for exchange in transcript[:-1]:
        if exchange.answer.strip():
            messages += [exchange.question, Message.assistant(exchange.answer)]
    return messages + [exchange.question for exchange in transcript[-1:]]


def to_bubbles(chat: Chat, problem: str | None = None) -> list[dict[str, Any]]:
    """The chat as `gradio.Chatbot` takes it, with an error as the last bubble if there is one.

    The message that it is about stands before it, as Gradio's buttons below an answer want it: they ask for the last
    message of the person again.
    """
    bubbles: list[dict[str, Any]] = []
    looks = False
    for exchange in chat.transcript:
        looks = looks or bool(exchange.question.media and exchange.answer.strip())  # else `to_messages` leaves it out
        bubbles.append(_question_bubble(exchange, len(bubbles), chat.phrases))
        bubbles.append(_answer_bubble(exchange, len(bubbles), chat.phrases, looks))
    if problem is not None:
        if chat.failed is not None:
            said = [_text(as_typed(chat.failed.text))] if chat.failed.text.strip() else []
            names = [_text(f"<small>{as_typed(Path(file).name)}</small>") for file in chat.failed.files]
            bubbles.append({"role": "user", "content": [*names, *said]})
        bubbles.append({"role": "assistant", "content": [_text(as_problem(problem))]})
    return bubbles


def _question_bubble(exchange: Exchange, bubble: int, phrases: Phrases) -> dict[str, Any]:
    """What was sent; with files it can be taken back, since Gradio drops the edit of such a message."""
    shown: list[dict[str, Any]] = [{"path": file} for file in exchange.draft.files]
    if exchange.draft.text.strip():
        shown.append(_text(as_typed(exchange.draft.text)))
    if exchange.draft.files and exchange.receipt:
        shown.append(_text(f"<small>{_link(BACK, bubble, phrases.take_back)}</small>"))
    return {"role": "user", "content": shown}


def _answer_bubble(exchange: Exchange, bubble: int, phrases: Phrases, looks: bool) -> dict[str, Any]:
    """The answer, or the choices, with the line under it and what can be done with it; `looks` when it had media."""
    if exchange.choices:
        numbered = enumerate(exchange.choices, start=1)
        said = [_text(f'<small class="choice">{number}</small>\n\n{choice or WAITING}') for number, choice in numbered]
    else:
        said = [_text(exchange.answer or WAITING)] if exchange.answer or not exchange.receipt else []
    if exchange.receipt:
        line = as_typed(exchange.receipt)
        if looks and exchange.answer.strip() and not exchange.choices:
            line += f" · {_link(LOOK, bubble, phrases.looked)}"
        said.append(_text(f"<small>{line}</small>"))
    shown: dict[str, Any] = {"role": "assistant", "content": said}
    if exchange.choices and exchange.receipt:
        shown["options"] = [
            {"value": str(number), "label": phrases.keep.format(number=number + 1)}
            for number in range(len(exchange.choices))
        ]
    return shown


def feedback_of(transcript: Transcript) -> list[str | None]:
    """The thumb of each answer, as `gradio.Chatbot` takes them."""
    thumbs = {True: LIKE, False: DISLIKE, None: None}
    return [thumbs[exchange.feedback.liked] for exchange in transcript]


def place_of(transcript: Transcript, bubble: int | Sequence[int]) -> int:
    """Which exchange a bubble of `to_bubbles` belongs to.

    Args:
        transcript: all of it.
        bubble: as `gradio.Chatbot` counts them: its number, or that and the number of a part.

    Raises:
        UserError: there is no such bubble any more.
    """
    place = _place(bubble)
    if not 0 <= place < len(transcript):
        raise UserError("this message is no longer there: reload the page")
    return place


def edited(draft: Draft, shown: str) -> Draft:
    """A message with other words, typed over those that `as_typed` shows; its files stay."""
    return replace(draft, text=html.unescape(shown).replace("\xa0", " "))


def receipt(reply: Reply, phrases: Phrases) -> str:
    """The line under an answer: `cat.png → 9 tokens · first token 0.2 s · 30 tokens, 250 a second`."""
    seconds = reply.timing.first_token_s
    rounded = f"{round(seconds, 1 if seconds >= 1 else 2):g}"
    parts = [*map(str, reply.media), phrases.first_token.format(seconds=rounded)]
    tokens, took = reply.usage.completion_tokens, reply.timing.total_s - seconds
    if tokens > 1 and took > 0:
        rate = (tokens - 1) / took
        parts.append(phrases.tokens.format(tokens=tokens, rate=f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"))
    if reply.finish_reason == "length":
        parts.append(phrases.cut.format(tokens=tokens))
    return " · ".join(parts)


def as_problem(error: str) -> str:
    """An error as Markdown."""
    return f"⚠ {as_typed(error)}"


def as_typed(text: str) -> str:
    """Markdown that shows a text as it was typed: tags, marks, lists and formulas in it have no effect."""
    safe = re.sub(r"[&<>\\`*_~$|\[\]]", lambda mark: f"&#{ord(mark[0])};", text)
    safe = re.sub(r"^([ \t]*\d*)([#+=.)-])", lambda start: f"{start[1]}&#{ord(start[2])};", safe, flags=re.MULTILINE)
    return re.sub(r"^[ \t]+", lambda indent: "&nbsp;" * len(indent[0].expandtabs(4)), safe, flags=re.MULTILINE)


def _place(bubble: int | Sequence[int]) -> int:
    return (bubble if isinstance(bubble, int) else bubble[0]) // 2


def _link(act: str, bubble: int, label: str) -> str:
    """What the page's script takes for a button: Gradio has buttons of ours below the last bubble alone."""
    return f'<a href="#{act}-{bubble}" role="button">{label}</a>'


def _text(markdown: str) -> dict[str, str]:
    return {"type": "text", "text": markdown}


def _load(path: Path) -> ImagePart | AudioPart:
    try:
        return load_media(path)
    except UserError as error:
        raise type(error)(str(error).replace(str(path), path.name)) from error
