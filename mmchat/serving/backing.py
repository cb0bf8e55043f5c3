"""What the page stands on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from mmchat.errors import OptionError
from mmchat.history.store import History
from mmchat.serving.lent import AnyAssistant, LentAssistant
from mmchat.serving.look import look
from mmchat.serving.settings import Settings
from mmchat.serving.shelf import Shelf
from mmchat.serving.transcript import Transcript
from mmchat.serving.visitors import Limits, Visitors
from mmchat.serving.words import phrases_for


class Models:
    """Assistants by name, each loaded when it is first asked for, and kept."""

    def __init__(self, load: Callable[[str], AnyAssistant], names: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._load = load
        self._loaded: dict[str, AnyAssistant] = {}
        self._locks = {name: Lock() for name in self.names}  # one is loaded while another answers

    def __call__(self, name: str) -> AnyAssistant:
        """The assistant of a name, "" being the first.

        Raises:
            OptionError: there is none of that name.
            MmchatError: it cannot be loaded.
        """
        name = name or self.names[0]
        if name not in self.names:
            raise OptionError(f"this page has no model {name}: choose one of its own")
        with self._locks[name]:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]


@dataclass(frozen=True)
class Backing:
    """What a page stands on."""

    assistant: Callable[[str], AnyAssistant]
    """Gives the assistant of a name, "" being the first; called when a tab opens and for every message, so it should
    keep what it loaded. An `MmchatError` that it raises is shown on the page."""
    models: tuple[str, ...] = ("",)
    """The names to choose from."""
    history: History | None = None
    """Where conversations are kept, if they are."""
    visitors: Visitors = field(default_factory=Visitors)
    limits: Limits = field(default_factory=lambda: Limits(None, None))

    def look(self, model: str, transcript: Transcript, word: str, system: str) -> Image.Image:
        """As of `look.look`, by the assistant of a name.

        Raises:
            MmchatError: likewise, or there is no such assistant.
        """
        assistant = self.assistant(model)
        if isinstance(assistant, LentAssistant):
            return assistant.look(transcript, word, system)
        return look(assistant, transcript, word, system)

    def settings(self, settings: Settings) -> Settings:
        """Those of a conversation, with the first model where the page no longer has its own."""
        return settings if settings.model in self.models else settings.model_copy(update={"model": self.models[0]})

    def shelf(self, request: gr.Request) -> Shelf:
        """The conversations of whoever sent a request."""
        owner = self.visitors.owner(request)
        return Shelf(self.history, owner, Path(get_upload_folder()), gr.Warning, phrases_for(request))
