"""The conversations that were kept, and the settings of the open one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from mmchat.errors import MmchatError
from mmchat.serving import answers
from mmchat.serving.answers import View
from mmchat.serving.backing import Backing
from mmchat.serving.settings import MOST_CHOICES
from mmchat.serving.transcript import Chat
from mmchat.serving.words import WORDS


class Sidebar:
    """Conversations and settings."""

    def __init__(self, models: Sequence[str], *, kept: bool) -> None:
        with gr.Sidebar(open=False, width=320):
            self.new = gr.Button(WORDS("new"), variant="primary", size="sm")
            self.search = gr.Textbox(placeholder=WORDS("search"), label=WORDS("search"), show_label=False, visible=kept)
            self.listing = gr.Radio(label=WORDS("conversations"), visible=kept, elem_id="conversations")
            self.title = gr.Textbox(placeholder=WORDS("title"), label=WORDS("title"), show_label=False, visible=kept)
            with gr.Row(visible=kept):
                self.rename = gr.Button(WORDS("rename"), size="sm", min_width=80)
                self.delete = gr.Button(WORDS("delete"), size="sm", variant="stop", min_width=80)
            self.aloud = gr.Button(WORDS("read_aloud"), size="sm")
            with gr.Accordion(WORDS("settings"), open=False):
                self.settings: list[Any] = [
                    gr.Textbox("", label=WORDS("system"), lines=2, max_lines=6),
                    gr.Slider(0, 2, 0, step=0.05, label=WORDS("temperature")),
                    gr.Slider(0.05, 1, 1, step=0.05, label=WORDS("top_p")),
                    gr.Slider(1, 2, 1, step=0.05, label=WORDS("repetition_penalty")),
                    gr.Number(label=WORDS("seed"), precision=0, minimum=0, maximum=2**31 - 1, value=None),
                    gr.Slider(1, 1024, 96, step=1, label=WORDS("max_new_tokens")),
                    gr.Slider(1, MOST_CHOICES, 1, step=1, label=WORDS("choices")),
                    # A program may give any name, or "" for the first.
                    gr.Dropdown(
                        list(models),
                        value=models[0],
                        label=WORDS("model"),
                        allow_custom_value=True,
                        visible=len(models) > 1,
                    ),
                ]
                self.system, *_, self.model = self.settings

    def wire(self, backing: Backing, view: list[Any], answering: list[Any]) -> None:
        """Connect the list, and what can be done with the open conversation.

        Leaving a conversation stops its answer, which would be drawn over the next one.

        Args:
            backing: what the page stands on.
            view: the components of a `View`.
            answering: the events that answer.
        """
        chat, bubbles, *_ = view

        def find(request: gr.Request, search: str, now: Chat) -> Any:
            return answers.listed(backing.shelf(request), now.number, search)

        def open_one(request: gr.Request, number: int) -> tuple[Any, ...]:
            shelf = backing.shelf(request)
            try:
                opened, settings = shelf.open(number)
            except MmchatError as error:
                gr.Warning(shelf.phrases.problem(error))
                return (gr.skip(),) * (len(view) + len(self.settings))
            # The list anew: Gradio forgets what an answer that was stopped had added to it.
            now = answers.resting(opened, listing=answers.listed(shelf, number))
            return (*now, *backing.settings(settings).values())

        def rename(request: gr.Request, title: str, now: Chat) -> tuple[Any, Any]:
            shelf = backing.shelf(request)
            _told(lambda number: shelf.rename(number, title), now)
            return "", answers.listed(shelf, now.number)

        def delete(request: gr.Request, now: Chat) -> View:
            shelf = backing.shelf(request)
            _told(shelf.delete, now)
            return answers.resting(Chat(phrases=now.phrases), listing=answers.listed(shelf, None))

        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        listing = self.listing
        self.search.change(find, [self.search, chat], listing, **private)
        opening = listing.input(open_one, listing, [*view, *self.settings], cancels=answering, **private)
        opening.then(answers.thumbs, chat, bubbles, **private)
        for trigger in (self.rename.click, self.title.submit):
            trigger(rename, [self.title, chat], [self.title, listing], **private)
        deleting = self.delete.click(delete, [chat], view, cancels=answering, **private)
        deleting.then(answers.thumbs, chat, bubbles, **private)


def _told(act: Callable[[int], None], now: Chat) -> None:
    """Do something to the conversation that is open, if it is kept; what is wrong is said on the page."""
    try:
        if now.number is not None:
            act(now.number)
    except MmchatError as error:
        gr.Warning(now.phrases.problem(error))
