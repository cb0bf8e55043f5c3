"""Messages answered on the page: what it shows meanwhile, and what is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import gradio as gr

from mmchat.assistant import Reply, ReplyStream
from mmchat.errors import MmchatError
from mmchat.history.store import Feedback
from mmchat.serving.lent import AnyAssistant
from mmchat.serving.settings import Settings
from mmchat.serving.shelf import Shelf
from mmchat.serving.transcript import (
    Chat,
    Draft,
    Exchange,
    edited,
    feedback_of,
    place_of,
    receipt,
    to_bubbles,
    to_messages,
)

REDRAW_SECONDS = 0.05
"""The chat is redrawn at most this often: redrawing costs more than a small model's token."""

logger = logging.getLogger(__name__)

View = tuple[Chat, Any, Any, Any, int | None]
"""The chat, its bubbles, the composer, the list of conversations, and which of them is open."""


def ask(
    assistant: Callable[[], AnyAssistant], draft: Draft, chat: Chat, settings: Settings, shelf: Shelf
) -> Iterator[View]:
    """Views of the page while one message is answered; closing this stops the work.

    After an error the chat is what it was before, and the draft stands in the composer again.

    Args:
        assistant: gives the assistant.
        draft: the message.
        chat: all before it.
        settings: how it is answered.
        shelf: where all of it is kept.
    """
    before = chat
    try:
        shelf.check(chat)
        asked = Exchange(draft, draft.to_message(), settings=settings)
        chat = replace(chat, transcript=(*chat.transcript, asked), failed=None)
        chat = shelf.asked(chat, settings)  # before the composer is emptied: what was sent is not lost
        listing = listed(shelf, chat.number)
        yield working(chat, gr.MultimodalTextbox(value=None, submit_btn=False, stop_btn=True), listing)
        with closing(_answered(assistant(), chat, settings, shelf)) as answered:
            for chat in answered:
                whole = chat.transcript[-1].receipt
                yield resting(chat, listing=listing) if whole else working(chat, listing=listing)
    except Exception as error:
        if chat is not before:
            shelf.cut(chat, chat.transcript[-1])
        yield resting(replace(before, number=chat.number), _problem(error, chat), draft)


def ask_again(
    assistant: Callable[[], AnyAssistant],
    bubble: int | Sequence[int],
    chat: Chat,
    settings: Settings,
    shelf: Shelf,
    shown: str | None = None,
) -> Iterator[View]:
    """Views of the page while a message is answered again, or with other words.

    The old answer and all behind it go with the first word of the new one: an error before it costs nothing. What
    stands in the composer stays there.

    Args:
        assistant: gives the assistant.
        bubble: as for `place_of`; or the one that an error left without an answer.
        chat: all of it.
        settings: how it is answered; the same words once more are answered by `Settings.again`.
        shelf: where all of it is kept.
        shown: as for `edited`; None leaves the words.
    """
    try:
        draft = draft_at(chat, bubble, shown)
        if chat.failed_at(bubble) is not None:
            yield from ask(assistant, draft, chat, settings, shelf)
            return
        shelf.check(chat)
        place = place_of(chat.transcript, bubble)
        old = chat.transcript[place]
        question = draft.to_message(old.question.media)
    except MmchatError as error:
        yield resting(chat, chat.phrases.problem(error))
        return
    before, kept = chat, False

    def keep(chat: Chat) -> Chat:
        nonlocal kept
        kept = True
        shelf.cut(chat, old)
        return shelf.asked(chat, settings)

    # With the place of the old one in the history, from which a stop before the first word takes it back.
    asked = Exchange(draft, question, question_id=old.question_id, settings=settings)
    chat = replace(chat, transcript=(*chat.transcript[:place], asked), failed=None)
    try:
        yield working(chat, gr.MultimodalTextbox(submit_btn=False, stop_btn=True))
        drawn = settings.again() if shown is None else settings
        with closing(_answered(assistant(), chat, drawn, shelf, keep)) as answered:
            for chat in answered:
                whole = chat.transcript[-1].receipt
                yield resting(chat, listing=listed(shelf, chat.number)) if whole else working(chat)
    except Exception as error:
        problem = _problem(error, chat)
        if kept:
            shelf.cut(chat, chat.transcript[-1])
            yield resting(replace(chat, transcript=before.transcript[:place]), problem, draft)
        else:
            yield resting(before, problem, None if shown is None else draft)


def draft_at(chat: Chat, bubble: int | Sequence[int], shown: str | None = None) -> Draft:
    """The message of a bubble, or of one that an error left without an answer, as it would be sent again.

    Args:
        chat: all of it.
        bubble: as for `place_of`.
        shown: as for `edited`; None leaves the words.

    Raises:
        UserError: there is no such bubble any more.
    """
    failed = chat.failed_at(bubble)
    draft = failed if failed is not None else chat.transcript[place_of(chat.transcript, bubble)].draft
    return draft if shown is None else edited(draft, shown)


def take_back(bubble: int | Sequence[int], chat: Chat, shelf: Shelf) -> View:
    """A message, its answer and all behind them are gone; it stands in the composer again.

    Raises:
        UserError: there is no such message any more.
        HistoryError: as for `Shelf.check`.
    """
    if (failed := chat.failed_at(bubble)) is not None:
        return resting(replace(chat, failed=None), draft=failed)
    shelf.check(chat)
    return _taken_back(place_of(chat.transcript, bubble), chat, shelf)


def choose(bubble: int | Sequence[int], number: int, chat: Chat, shelf: Shelf) -> View:
    """One of several answers is the answer from now on; the others are remembered as those that it was better than."""
    place = place_of(chat.transcript, bubble)
    exchange = chat.transcript[place]
    if number >= len(exchange.choices):  # it was chosen already
        return resting(chat)
    rejected = tuple(text for index, text in enumerate(exchange.choices) if index != number)
    thought = replace(exchange.feedback, rejected=rejected, choices=())
    chosen = replace(exchange, answer=exchange.choices[number], choices=(), feedback=thought)
    chat = chat.put(place, chosen)
    shelf.said(chosen)
    shelf.judged(chat, chosen)
    return resting(chat)


def judge(bubble: int | Sequence[int], feedback: Callable[[Feedback], Feedback], chat: Chat, shelf: Shelf) -> Chat:
    """The chat with something thought of an answer."""
    place = place_of(chat.transcript, bubble)
    exchange = chat.transcript[place]
    chat = chat.put(place, replace(exchange, feedback=feedback(exchange.feedback)))
    shelf.judged(chat, chat.transcript[place])
    return chat


def settle(chat: Chat, shelf: Shelf) -> View:
    """After a stop: what was written stays; a message that got no word yet goes back into the composer.

    The list comes anew: Gradio forgets what an answer that was stopped had added to it.
    """
    if not chat.transcript or chat.transcript[-1].receipt:
        return resting(chat, listing=listed(shelf, chat.number))
    last = chat.transcript[-1]
    if not last.answer:
        return _taken_back(len(chat.transcript) - 1, chat, shelf)
    return resting(chat.put(-1, replace(last, receipt=chat.phrases.stopped)), listing=listed(shelf, chat.number))


def working(chat: Chat, composer: Any = None, listing: Any = None) -> View:
    """An answer is being written; the composer may hold the next message already.

    The list stands in all of its views: of those in quick succession a browser skips some.
    """
    return chat, to_bubbles(chat), composer or gr.skip(), listing or gr.skip(), chat.number


def resting(chat: Chat, problem: str | None = None, draft: Draft | None = None, listing: Any = None) -> View:
    """Nothing is being written: the composer takes the next message, or the draft that could not be answered."""
    buttons = {"submit_btn": True, "stop_btn": False}
    there = draft is not None and (draft.text.strip() or draft.files)
    chat = replace(chat, failed=draft if problem is not None and there else None)
    if draft is None:
        composer = gr.MultimodalTextbox(**buttons)  # without a value, what was typed meanwhile stays
    else:
        composer = gr.MultimodalTextbox(value={"text": draft.text, "files": list(draft.files)}, **buttons)
    return chat, to_bubbles(chat, problem), composer, listing or gr.skip(), chat.number


def thumbs(chat: Chat) -> Any:
    """The thumbs of the answers that are shown."""
    return gr.Chatbot(feedback_value=feedback_of(chat.transcript))


def listed(shelf: Shelf, number: int | None, search: str = "") -> Any:
    """The list of conversations, with one of them as the open one."""
    try:
        found = [(each.title, each.id) for each in shelf.list(search)]
    except MmchatError as error:
        gr.Warning(shelf.phrases.problem(error))
        return gr.skip()
    return gr.Radio(choices=found, value=number if number in [each for _, each in found] else None)


def _taken_back(place: int, chat: Chat, shelf: Shelf) -> View:
    last = chat.transcript[place]
    shelf.cut(chat, last)
    chat = replace(chat, transcript=chat.transcript[:place])
    return resting(chat, draft=last.draft, listing=listed(shelf, chat.number))


def _answered(
    assistant: AnyAssistant, chat: Chat, settings: Settings, shelf: Shelf, keep: Callable[[Chat], Chat] | None = None
) -> Generator[Chat, None, None]:
    """The chat each time there is more of its last answer, and at last with the whole of it and its receipt.

    Args:
        assistant: answers.
        chat: ends with what is asked.
        settings: how it is answered.
        shelf: where the answer is kept as far as it has come.
        keep: puts the question there with the first word, if it is not there yet.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(each)) for each in _streams(assistant, chat, settings)]
        for texts in _paced(_together(streams)):
            if keep:
                chat, keep = keep(chat), None
            chat = _written(chat, texts)
            shelf.said(chat.transcript[-1])
            yield chat
    if keep:
        chat = keep(chat)
    replies = [stream.reply for stream in streams if stream.reply is not None]
    chat = _whole(chat, replies)
    shelf.said(chat.transcript[-1], replies[0])
    if chat.transcript[-1].choices:
        shelf.judged(chat, chat.transcript[-1])
    yield chat


def _problem(error: Exception, chat: Chat) -> str:
    """The page must stay usable whatever went wrong; what it was is for the log, not for the visitor."""
    if isinstance(error, MmchatError):
        return chat.phrases.problem(error)
    logger.error("an answer failed", exc_info=error)
    return chat.phrases.failed


def _streams(assistant: AnyAssistant, chat: Chat, settings: Settings) -> list[ReplyStream]:
    """The answers, which are all being written already; with a seed, those of the seeds behind it."""
    conversation, options = to_messages(chat.transcript), settings.options()
    seeds = [None if settings.seed is None else settings.seed + index for index in range(settings.choices)]
    return [assistant.stream(conversation, **{**options, "seed": seed}) for seed in seeds]


def _together(streams: Sequence[ReplyStream]) -> Iterator[list[str]]:
    """The texts so far, each time there is a piece more of one."""
    texts = [""] * len(streams)
    for pieces in zip_longest(*streams, fillvalue=""):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        yield texts


def _paced(texts: Iterator[list[str]]) -> Iterator[list[str]]:
    """The texts at most every `REDRAW_SECONDS`, from the first word on; what came since is in the next ones."""
    drawn = float("-inf")
    for each in texts:
        if any(text.strip() for text in each) and time.monotonic() - drawn >= REDRAW_SECONDS:
            yield each
            drawn = time.monotonic()


def _written(chat: Chat, texts: Sequence[str]) -> Chat:
    """The first answer is the answer until another is chosen."""
    choices = tuple(texts) if len(texts) > 1 else ()
    return chat.put(-1, replace(chat.transcript[-1], answer=texts[0], choices=choices))


def _whole(chat: Chat, replies: Sequence[Reply]) -> Chat:
    """With the receipt, by which an answer is known to be whole."""
    chat = _written(chat, [reply.text for reply in replies])
    last = chat.transcript[-1]
    thought = replace(last.feedback, choices=last.choices)
    return chat.put(-1, replace(last, feedback=thought, receipt=receipt(replies[0], chat.phrases)))
