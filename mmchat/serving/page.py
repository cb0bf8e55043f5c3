"""The page: type, drop pictures and record voice in one message; the answer streams, and what was said is kept.

A tab's chat lives in `gradio.State`, which never leaves the server. The bubbles are drawn from it and never read back,
so a browser can neither forge a turn nor name a file of the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from mmchat.assistant import AssistantInfo
from mmchat.errors import MmchatError
from mmchat.serving import answers
from mmchat.serving.asking import Asking
from mmchat.serving.backing import Backing
from mmchat.serving.browser import BEGIN, MARK_ADDRESS, PLAYERS
from mmchat.serving.examples import examples_for
from mmchat.serving.panels import Correcting, Looking
from mmchat.serving.settings import Settings
from mmchat.serving.sidebar import Sidebar
from mmchat.serving.transcript import DISLIKE, LIKE, Chat, as_problem, as_typed, feedback_of, to_bubbles
from mmchat.serving.words import WORDS, Phrases, phrases_for

TITLE = "mmchat"
FILE_TYPES = ["image", "audio", ".opus", ".flac", ".aiff", ".webp"]  # some systems do not know what the last ones are
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
        sidebar.wire(backing, view, Asking(backing).wire(view, sidebar, linked))
        if backing.history is not None:  # without it no thumb is shown: it would be kept nowhere
            correcting.wire(backing, chat, bubbles)
        looking.wire(backing, chat, linked, sidebar.system, sidebar.model)
        page.load(_opening(backing), None, [about, *view, *sidebar.settings], api_name="about")
        sidebar.model.input(_describing(backing), sidebar.model, about, api_visibility="private")
        page.load(None, None, notice, js=BEGIN, api_visibility="private")
    page.queue(max_size=MOST_WAITING)
    return page


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
    """The head of the page; what the model knows, and what not, unfolds below the line."""
    size = sum(info.parameters.values()) / 1e6
    facts = [as_typed(info.name), phrases.parameters.format(millions=f"{size:.1f}")]
    facts.append(phrases.context.format(tokens=info.context))
    if info.tokens_per_image is not None:
        facts.append(phrases.picture.format(tokens=info.tokens_per_image))
    if info.tokens_per_second is not None:
        facts.append(phrases.voice.format(tokens=f"{info.tokens_per_second:.3g}"))
    line = f"<small>{' · '.join(facts)}</small>"
    if not info.knows:
        return f"## {TITLE}\n{line}"
    return f"## {TITLE}\n<details><summary>{line}</summary>{as_typed(info.knows)}</details>"
