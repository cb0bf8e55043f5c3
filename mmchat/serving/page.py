"""The page: type, drop pictures and record voice in one message; the answer streams, and what was said is kept.

A tab's chat lives in `gradio.State`, which never leaves the server. The bubbles are drawn from it and never read back,
so a browser can neither forge a turn nor name a file of the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from mmchat.assistant import AssistantInfo
from mmchat.errors import BusyError, MmchatError
from mmchat.serving import answers
from mmchat.serving.answers import View
from mmchat.serving.backing import Backing
from mmchat.serving.browser import BEGIN, LINKED, MARK_ADDRESS, PLAYERS, READ_ALOUD
from mmchat.serving.examples import example, examples_for
from mmchat.serving.lent import AnyAssistant
from mmchat.serving.panels import Correcting, Looking
from mmchat.serving.settings import Settings
from mmchat.serving.sidebar import Sidebar
from mmchat.serving.transcript import (
    BACK,
    DISLIKE,
    LIKE,
    Chat,
    Draft,
    as_problem,
    as_typed,
    feedback_of,
    to_bubbles,
)
from mmchat.serving.words import WORDS, Phrases, phrases_for

TITLE = "mmchat"
FILE_TYPES = ["image", "audio", ".opus", ".flac", ".aiff", ".webp"]  # some systems do not know what the last ones are
ANSWERS_AT_ONCE = 16
"""Answers that are written at the same time; other tabs wait in a queue and see their place in it."""
MOST_WAITING = 256
"""Others are told that the queue is full."""
FORMULAS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
"""How models mark what is LaTeX."""
_LONGEST_NUMBER = 19  # digits of what SQLite counts to
FORGET_SECONDS = 24 * 3600
"""Age at which uploads are deleted; what is still in use is younger."""


def build_page(backing: Backing) -> gr.Blocks:
    """The page over an assistant."""
    with gr.Blocks(
        title=TITLE,
        fill_height=True,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(3600, FORGET_SECONDS),
    ) as page:
        chat = gr.State(Chat())
        sidebar = Sidebar(backing.models, kept=backing.history is not None)
        about = gr.Markdown(f"## {TITLE}", elem_id="about")
        bubbles = gr.Chatbot(
            show_label=False,
            buttons=["copy"],
            editable="user",
            scale=1,
            min_height=200,
            elem_id="chat",
            feedback_options=(LIKE, DISLIKE),
            latex_delimiters=FORMULAS,
        )
        correcting = Correcting()
        looking = Looking()
        notice = gr.Markdown(elem_id="notice", container=False)
        players = gr.HTML(elem_id="players", container=False, padding=False)
        composer = gr.MultimodalTextbox(
            placeholder=WORDS("ask"),
            label=WORDS("message"),
            show_label=False,
            sources=["upload", "microphone"],
            file_count="multiple",
            file_types=FILE_TYPES,
            max_plain_text_length=1_000_000,  # a long text that is pasted stays text instead of becoming a file
            autofocus=True,
            elem_id="composer",
        )
        composer.change(None, composer, players, js=PLAYERS, api_visibility="private")
        number = gr.Number(visible="hidden")
        number.change(None, number, None, js=MARK_ADDRESS, api_visibility="private")
        view = [chat, bubbles, composer, sidebar.listing, number]
        linked = gr.Number(visible="hidden", precision=0)  # the bubble whose link was pressed
        sidebar.wire(backing, view, _wire_answers(backing, view, sidebar, linked))
        if backing.history is not None:  # without it no thumb is shown: it would be kept nowhere
            correcting.wire(backing, chat, bubbles)
        looking.wire(backing, chat, linked, sidebar.system, sidebar.model)
        page.load(_opening(backing), None, [about, *view, *sidebar.settings], api_name="about")
        sidebar.model.input(_describing(backing), sidebar.model, about, api_visibility="private")
        page.load(None, None, notice, js=BEGIN, api_visibility="private")
    page.queue(max_size=MOST_WAITING)
    return page


def _wire_answers(backing: Backing, view: list[Any], sidebar: Sidebar, linked: Any) -> list[Any]:
    """Connect all that asks for an answer, and what stops it; the events that answer."""
    chat, bubbles, composer, *_ = view

    def limited(request: gr.Request, before: Chat, views: Iterator[View], draft: Draft | None = None) -> Iterator[View]:
        try:
            with backing.limits.answering(backing.visitors.caller(request)):
                yield from views
        except BusyError as error:
            yield answers.resting(before, before.phrases.problem(error), draft)

    def of(settings: Settings) -> Callable[[], AnyAssistant]:
        return lambda: backing.assistant(settings.model)

    def answered(request: gr.Request, draft: Draft, before: Chat, settings: Settings) -> Iterator[View]:
        views = answers.ask(of(settings), draft, before, settings, backing.shelf(request))
        yield from limited(request, before, views, draft)

    # Programs give its parameters by their names, or leave them out.
    def ask(
        request: gr.Request,
        message: dict[str, Any],
        before: Chat,
        system: str = "",
        temperature: float = 0.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: float | None = None,
        max_new_tokens: float = 96,
        choices: float = 1,
        model: str = "",
    ) -> Iterator[View]:
        draft = Draft(message["text"], tuple(message["files"]))
        settings = Settings.of((system, temperature, top_p, repetition_penalty, seed, max_new_tokens, choices, model))
        yield from answered(request, draft, before, settings)

    def ask_example(what: gr.SelectData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        yield from answered(request, example(str(what.value["text"])), before, Settings.of(settings))

    def retry(what: gr.RetryData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        chosen = Settings.of(settings)
        views = answers.ask_again(of(chosen), what.index, before, chosen, backing.shelf(request))
        yield from limited(request, before, views)

    def edit(what: gr.EditData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        shelf, chosen = backing.shelf(request), Settings.of(settings)
        words = str(what.value)
        views = answers.ask_again(of(chosen), what.index, before, chosen, shelf, words)
        try:
            draft = answers.draft_at(before, what.index, words)
        except MmchatError as error:
            yield answers.resting(before, before.phrases.problem(error))
            return
        yield from limited(request, before, views, draft)

    def changed(before: Chat, change: Callable[[], View]) -> View:
        """The view of a change, or a problem where what was to be changed is gone."""
        try:
            return change()
        except MmchatError as error:
            return answers.resting(before, before.phrases.problem(error))

    def choose(what: gr.SelectData, request: gr.Request, before: Chat) -> View:
        return changed(before, lambda: answers.choose(what.index, int(what.value), before, backing.shelf(request)))

    def take_back(what: gr.UndoData, request: gr.Request, before: Chat) -> View:
        return changed(before, lambda: answers.take_back(what.index, before, backing.shelf(request)))

    def take_back_linked(request: gr.Request, bubble: int, before: Chat) -> View:
        return changed(before, lambda: answers.take_back(bubble, before, backing.shelf(request)))

    def settle(request: gr.Request, before: Chat) -> View:
        return answers.settle(before, backing.shelf(request))

    def begin(request: gr.Request) -> View:
        fresh = Chat(phrases=phrases_for(request))
        return answers.resting(fresh, listing=answers.listed(backing.shelf(request), None))

    given = [chat, *sidebar.settings]
    common: dict[str, Any] = {"show_progress_on": bubbles, "concurrency_limit": ANSWERS_AT_ONCE}
    private: dict[str, Any] = {"api_visibility": "private"}
    retrying = bubbles.retry(retry, given, view, **common, **private)
    editing = bubbles.edit(edit, given, view, **common, **private)
    answering = [
        composer.submit(ask, [composer, *given], view, api_name="ask", **common),
        bubbles.example_select(ask_example, given, view, **common, **private),
        retrying,
        editing,
    ]
    for changing in (retrying, editing):
        changing.then(answers.thumbs, chat, bubbles, **private)
    bubbles.option_select(choose, [chat], view, **private)
    back = gr.Button(visible="hidden", elem_id=BACK)
    for taking in (
        bubbles.undo(take_back, [chat], view, **private),
        back.click(take_back_linked, [linked, chat], view, js=LINKED, cancels=answering, **private),
    ):
        taking.then(answers.thumbs, chat, bubbles, **private)
    composer.stop(None, cancels=answering, **private).then(settle, [chat], view, **private)
    bubbles.clear(None, cancels=answering, **private).then(begin, None, view, api_name="clear").then(
        answers.thumbs, chat, bubbles, **private
    )
    sidebar.new.click(None, cancels=answering, **private).then(begin, None, view, **private).then(
        answers.thumbs, chat, bubbles, **private
    )
    sidebar.aloud.click(None, js=READ_ALOUD, **private)
    return answering


def _opening(backing: Backing) -> Callable[..., tuple[Any, ...]]:
    """What a tab shows first: the conversation that its address names, so that a reload loses nothing."""

    def introduce(request: gr.Request) -> tuple[Any, ...]:
        shelf = backing.shelf(request)
        asked = str(dict(request.query_params).get("chat", ""))
        phrases = phrases_for(request)
        chat, settings = Chat(phrases=phrases), Settings()
        if asked.isdecimal() and len(asked) < _LONGEST_NUMBER:
            try:
                chat, settings = shelf.open(int(asked))
            except MmchatError as error:
                gr.Warning(phrases.problem(error))
        try:
            info = backing.assistant(backing.settings(settings).model).describe()
        except MmchatError as error:
            about, first = _unable(error, phrases), {}
        else:
            about = _about(info, phrases)
            first = {"placeholder": info.knows, "examples": examples_for(info, phrases)}
        bubbles = gr.Chatbot(value=to_bubbles(chat), feedback_value=feedback_of(chat.transcript), **first)
        return (
            about,
            chat,
            bubbles,
            gr.skip(),
            answers.listed(shelf, chat.number),
            chat.number,
            *backing.settings(settings).values(),
        )

    return introduce


def _describing(backing: Backing) -> Callable[[gr.Request, str], str]:
    """Loads a model that was chosen, so that the first question to it does not wait."""

    def describe(request: gr.Request, model: str) -> str:
        phrases = phrases_for(request)
        try:
            return _about(backing.assistant(model).describe(), phrases)
        except MmchatError as error:
            return _unable(error, phrases)

    return describe


def _unable(error: MmchatError, phrases: Phrases) -> str:
    return f"## {TITLE}\n{as_problem(phrases.problem(error))}"


def _about(info: AssistantInfo, phrases: Phrases) -> str:
    """The head of the page."""
    size = sum(info.parameters.values()) / 1e6
    facts = [as_typed(info.name), phrases.parameters.format(millions=f"{size:.1f}")]
    facts.append(phrases.context.format(tokens=info.context))
    if info.tokens_per_image is not None:
        facts.append(phrases.picture.format(tokens=info.tokens_per_image))
    if info.tokens_per_second is not None:
        facts.append(phrases.voice.format(tokens=f"{info.tokens_per_second:.0f}"))
    return f"## {TITLE}\n<small>{' · '.join(facts)}</small>"
