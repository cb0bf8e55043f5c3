"""What opens below the chat: what would have been right, and where an answer looked."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import gradio as gr

from mmchat.errors import MmchatError
from mmchat.serving import answers
from mmchat.serving.backing import Backing
from mmchat.serving.browser import LINKED
from mmchat.serving.look import WHOLE, words_of
from mmchat.serving.transcript import LOOK, Chat, place_of
from mmchat.serving.words import WORDS

_WHOLE_CHARACTERS = 40


class Correcting:
    """What a thumb asks for: kept at once, and on a thumb down what would have been right."""

    def __init__(self) -> None:
        self.bubble = gr.State(0)
        with gr.Group(visible=False) as self.panel:
            self.words = gr.Textbox(label=WORDS("correct"), lines=2, elem_id="correction")
            with gr.Row():
                self.send = gr.Button(WORDS("send"), size="sm", variant="primary")
                self.close = gr.Button(WORDS("close"), size="sm")

    def wire(self, backing: Backing, chat: Any, bubbles: Any) -> None:
        def like(what: gr.LikeData, request: gr.Request, now: Chat) -> tuple[Any, ...]:
            if what.liked not in (True, False, None):
                return (gr.skip(),) * 4
            liked = what.liked
            if now.failed_at(what.index) is not None:  # of an error there is nothing to keep
                return (gr.skip(),) * 4
            shelf = backing.shelf(request)
            now = answers.judge(what.index, lambda thought: replace(thought, liked=liked), now, shelf)
            exchange = now.transcript[place_of(now.transcript, what.index)]
            return now, what.index, gr.Group(visible=liked is False), exchange.feedback.correction

        def correct(request: gr.Request, bubble: Any, words: str, now: Chat) -> tuple[Any, ...]:
            thought = words.strip()
            now = answers.judge(bubble, lambda old: replace(old, correction=thought), now, backing.shelf(request))
            return now, gr.Group(visible=False)

        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        bubbles.like(like, [chat], [chat, self.bubble, self.panel, self.words], **private)
        for trigger in (self.send.click, self.words.submit):
            trigger(correct, [self.bubble, self.words, chat], [chat, self.panel], **private)
        self.close.click(lambda: gr.Group(visible=False), None, self.panel, **private)


class Looking:
    """Where an answer looked, for all of it or for one of its words."""

    def __init__(self) -> None:
        self.link = gr.Button(visible="hidden", elem_id=LOOK)  # what the links below answers press
        self.asked = gr.State((0, 0.0))  # which bubble, and when: it may be asked of again, with another answer in it
        with gr.Group(visible=False) as self.panel:
            self.map = gr.Image(
                label=WORDS("looked"), interactive=False, height=320, buttons=["fullscreen"], elem_id="map"
            )
            self.word = gr.Radio(label=WORDS("word"), elem_id="words")
            self.told = gr.Markdown(container=True)
            self.close = gr.Button(WORDS("close"), size="sm")

    def wire(self, backing: Backing, chat: Any, linked: Any, system: Any, model: Any) -> None:
        """
        Args:
            backing: what the page stands on.
            chat: the state of the tab.
            linked: the number of the bubble whose link was pressed.
            system: the system prompt of the conversation.
            model: the name of the one that answers it.
        """

        def show(request: gr.Request, asked: tuple[Any, float], now: Chat, word: str, system: str, model: str) -> Any:
            """The map, or a problem on the page; it costs as much as many answers, and is limited as one."""
            try:
                place = place_of(now.transcript, asked[0])
                if (then := now.transcript[place].settings) is not None:  # they may have been changed since
                    system, model = then.system, then.model
                with backing.limits.answering(backing.visitors.caller(request)):
                    return backing.look(model, now.transcript[: place + 1], word, system)
            except MmchatError as error:
                gr.Warning(now.phrases.problem(error))
                return None

        def begin(bubble: int, now: Chat) -> tuple[Any, ...]:
            answer = now.transcript[place_of(now.transcript, bubble)].answer
            whole = answer if len(answer) <= _WHOLE_CHARACTERS else f"{answer[: _WHOLE_CHARACTERS - 1]}…"
            words = gr.Radio(choices=[(whole, WHOLE), *((word, word) for word in words_of(answer))], value=WHOLE)
            return (bubble, time.monotonic()), gr.Group(visible=True), None, words, now.phrases.where_it_looked

        private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": self.map}
        outputs = [self.asked, self.panel, self.map, self.word, self.told]
        self.link.click(begin, [linked, chat], outputs, js=LINKED, **private)
        for trigger in (self.asked.change, self.word.input):
            trigger(show, [self.asked, chat, self.word, system, model], self.map, **private)
        self.close.click(lambda: gr.Group(visible=False), None, self.panel, api_visibility="private")
