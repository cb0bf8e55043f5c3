"""What the page stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from mmchat.assistant import Assistant
from mmchat.history.store import History
from mmchat.serving.shelf import Shelf
from mmchat.serving.visitors import Limits, Visitors


@dataclass(frozen=True)
class Backing:
    """What a page stands on."""

    assistant: Callable[[], Assistant]
    """Gives the assistant; called when a tab opens and for every message, so it should keep the assistant that it
    loaded. An `MmchatError` that it raises is shown on the page."""
    history: History | None = None
    """Where conversations are kept, if they are."""
    visitors: Visitors = field(default_factory=Visitors)
    limits: Limits = field(default_factory=lambda: Limits(None, None))

    def shelf(self, request: gr.Request) -> Shelf:
        """The conversations of whoever sent a request."""
        return Shelf(self.history, self.visitors.owner(request), Path(get_upload_folder()), gr.Warning)
