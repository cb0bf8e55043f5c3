"""What a person asks for and does to the chat on the page: the composer, the examples, the buttons below bubbles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from mmchat.errors import BusyError, MmchatError
from mmchat.serving import answers
from mmchat.serving.answers import View
from mmchat.serving.backing import Backing
from mmchat.serving.browser import LINKED, READ_ALOUD
from mmchat.serving.examples import example
from mmchat.serving.lent import AnyAssistant
from mmchat.serving.settings import Settings
from mmchat.serving.sidebar import Sidebar
from mmchat.serving.transcript import BACK, Chat, Draft
from mmchat.serving.words import phrases_for

ANSWERS_AT_ONCE = 16
"""Answers that are written at the same time; other tabs wait in a queue and see their place in it."""


class Asking:
    """What Gradio calls when something is asked for; each takes the request, the chat, and what the event tells."""

    def __init__(self, backing: Backing) -> None:
        """
        Args:
            backing: what the page stands on.
        """
        self._backing = backing

    def wire(self, view: list[Any], sidebar: Sidebar, linked: Any) -> list[Any]:
        """Connect all that asks for an answer, and what stops it.

        Args:
            view: the components of a `View`.
            sidebar: its settings go with what is asked.
            linked: the number of the bubble whose link was pressed.

        Returns:
            The events that answer.
        """
        chat, bubbles, composer, *_ = view
        given = [chat, *sidebar.settings]
        private: dict[str, Any] = {"api_visibility": "private"}
        common: dict[str, Any] = {"show_progress_on": bubbles, "concurrency_limit": ANSWERS_AT_ONCE}
        retrying = bubbles.retry(self.retry, given, view, **common, **private)
        editing = bubbles.edit(self.edit, given, view, **common, **private)
        answering = [
            composer.submit(self.ask, [composer, *given], view, api_name="ask", **common),
            bubbles.example_select(self.ask_example, given, view, **common, **private),
            retrying,
            editing,
        ]
        stop: dict[str, Any] = {"fn": None, "cancels": answering}
        back = gr.Button(visible="hidden", elem_id=BACK)
        changing = [
            retrying,
            editing,
            bubbles.undo(self.take_back, [chat], view, **private),
            back.click(self.take_back_linked, [linked, chat], view, js=LINKED, cancels=answering, **private),
            bubbles.clear(**stop, **private).then(self.begin, None, view, api_name="clear"),
            sidebar.new.click(**stop, **private).then(self.begin, None, view, **private),
        ]
        for change in changing:
            change.then(answers.thumbs, chat, bubbles, **private)
        composer.stop(**stop, **private).then(self.settle, [chat], view, **private)
        bubbles.option_select(self.choose, [chat], view, **private)
        sidebar.aloud.click(None, js=READ_ALOUD, **private)
        return answering

    # Programs give its parameters by their names, or leave them out.
    def ask(
        self,
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
        """Answer what stands in the composer."""
        draft = Draft(message["text"], tuple(message["files"]))
        settings = Settings.of((system, temperature, top_p, repetition_penalty, seed, max_new_tokens, choices, model))
        yield from self._answered(request, draft, before, settings)

    def ask_example(self, what: gr.SelectData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        """Answer an example."""
        yield from self._answered(request, example(str(what.value["text"])), before, Settings.of(settings))

    def retry(self, what: gr.RetryData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        """Answer the same once more."""
        chosen = Settings.of(settings)
        views = answers.ask_again(self._assistant(chosen), what.index, before, chosen, self._backing.shelf(request))
        yield from self._limited(request, before, views)

    def edit(self, what: gr.EditData, request: gr.Request, before: Chat, *settings: Any) -> Iterator[View]:
        """Answer a message in other words, and go on from there."""
        chosen, shelf, words = Settings.of(settings), self._backing.shelf(request), str(what.value)
        views = answers.ask_again(self._assistant(chosen), what.index, before, chosen, shelf, words)
        try:
            draft = answers.draft_at(before, what.index, words)
        except MmchatError as error:
            yield answers.resting(before, before.phrases.problem(error))
            return
        yield from self._limited(request, before, views, draft)

    def choose(self, what: gr.SelectData, request: gr.Request, before: Chat) -> View:
        """Keep one of several answers."""
        return _changed(
            before, lambda: answers.choose(what.index, int(what.value), before, self._backing.shelf(request))
        )

    def take_back(self, what: gr.UndoData, request: gr.Request, before: Chat) -> View:
        """Take the last message back."""
        return _changed(before, lambda: answers.take_back(what.index, before, self._backing.shelf(request)))

    def take_back_linked(self, request: gr.Request, bubble: int, before: Chat) -> View:
        """Take the message back whose link was pressed."""
        return _changed(before, lambda: answers.take_back(bubble, before, self._backing.shelf(request)))

    def settle(self, request: gr.Request, before: Chat) -> View:
        """What stays after a stop."""
        return answers.settle(before, self._backing.shelf(request))

    def begin(self, request: gr.Request) -> View:
        """Begin a conversation."""
        fresh = Chat(phrases=phrases_for(request))
        return answers.resting(fresh, listing=answers.listed(self._backing.shelf(request), None))

    def _answered(self, request: gr.Request, draft: Draft, before: Chat, settings: Settings) -> Iterator[View]:
        views = answers.ask(self._assistant(settings), draft, before, settings, self._backing.shelf(request))
        yield from self._limited(request, before, views, draft)

    def _limited(
        self, request: gr.Request, before: Chat, views: Iterator[View], draft: Draft | None = None
    ) -> Iterator[View]:
        """The views, unless the visitor has had as many answers as they may; the draft is not lost then."""
        try:
            with self._backing.limits.answering(self._backing.visitors.caller(request)):
                yield from views
        except BusyError as error:
            yield answers.resting(before, before.phrases.problem(error), draft)

    def _assistant(self, settings: Settings) -> Callable[[], AnyAssistant]:
        return lambda: self._backing.assistant(settings.model)


def _changed(before: Chat, change: Callable[[], View]) -> View:
    """The view of a change, or a problem where what was to be changed is gone."""
    try:
        return change()
    except MmchatError as error:
        return answers.resting(before, before.phrases.problem(error))
