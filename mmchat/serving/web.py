"""The page as a server: on this machine alone, or for visitors."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread

import gradio as gr
from starlette.middleware import Middleware

from mmchat.assistant import Assistant
from mmchat.checkpoints.bundled import BUNDLED
from mmchat.errors import HistoryError, MmchatError, UserError
from mmchat.history.store import History, default_path
from mmchat.inputs import audio, image
from mmchat.serving.backing import Backing, Models
from mmchat.serving.browser import CSS
from mmchat.serving.examples import samples
from mmchat.serving.lent import AnyAssistant, LentAssistant, gpus_are_lent
from mmchat.serving.page import build_page
from mmchat.serving.uploads import BareUploads
from mmchat.serving.visitors import Limits, Visitors, secret_of, signed_in
from mmchat.serving.words import WORDS

_HERE = ("127.0.0.1", "::1", "localhost")
A_MINUTE = 20
"""Messages of one visitor, where several share a page."""
AT_ONCE = 2
"""Answers to one visitor at the same time, likewise."""


@dataclass(frozen=True)
class Door:
    """Who may come in, and what is kept of what they say."""

    host: str = "127.0.0.1"
    """Address of this machine to listen on; 0.0.0.0 is all of them."""
    port: int = 7860
    """0 takes a free one."""
    accounts: tuple[str, ...] = ()
    """Who may sign in, as for `visitors.signed_in`; without any, the page is open."""
    keep: bool = True
    """Whether conversations are kept."""
    a_minute: int | None = None
    """How many messages a visitor may send in a minute; unset, `A_MINUTE` on a page for others."""

    shared: bool = False
    """Whether others may come though the host is this machine's own, as through a proxy."""

    framed: bool = False
    """As for `Visitors`."""

    load_first: bool = True
    """Whether the page waits for the first model. Without, it is there at once, as a Space's health check wants it, and
    says what is wrong if the model cannot be loaded."""

    @property
    def for_others(self) -> bool:
        """Whether each browser has conversations of its own; otherwise there is one person, as on the command line."""
        return self.shared or self.host not in _HERE or bool(self.accounts)

    @property
    def visitors(self) -> Visitors:
        """How they are told apart."""
        return Visitors(self.for_others, self.framed)


def launch(
    models: Sequence[str],
    door: Door,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    transcriber: str | None = None,
) -> None:
    """Load a model and serve its page until interrupted; the address is said on stderr.

    Args:
        models: to choose from, each as for `Assistant.load`; without any it is the bundled one. The first is loaded
            now, the others when they are chosen.
        door: where it is, and for whom.
        device: as for `Assistant.load`, like the rest.
        dtype: `float32`, …
        quantize: `int8`, …
        transcriber: `base`, …

    Raises:
        CheckpointError: the first model is unknown or damaged; nothing is served then.
        UserError: the port is taken or the host is not this machine's.
        KeyboardInterrupt: Ctrl-C; the server is closed.
    """

    lent = gpus_are_lent()

    def load(name: str) -> AnyAssistant:
        make = LentAssistant if lent else Assistant.load
        return make(name, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)

    assistants = Models(load, models or [BUNDLED])
    if door.load_first or lent:
        assistants("")
    history, note = _history(door)
    if note:
        sys.stderr.write(f"mmchat: {note}\n")
    page = build_page(Backing(assistants, assistants.names, history, door.visitors, _limits(door)))
    address = serve(page, door)
    if not door.load_first:
        Thread(target=_load, args=(assistants,), daemon=True).start()
    sys.stderr.write(f"mmchat: the page is at {address} (Ctrl-C ends it)\n")
    try:
        while page.is_running:
            time.sleep(0.2)
    finally:
        page.close(verbose=False)


def serve(page: gr.Blocks, door: Door) -> str:
    """Start serving a page in the background: no share link, no telemetry, no record of what was asked.

    Args:
        page: what `build_page` made.
        door: where it is, and for whom.

    Returns:
        The address.

    Raises:
        UserError: the port is taken or the host is not this machine's, or an account is none.
    """
    secret = secret_of(default_path().with_name("cookies.key")) if door.for_others else ""
    _, address, _ = page.launch(
        server_name=door.host,
        server_port=_free_port(door.host, door.port),
        auth=signed_in(door.accounts),
        app_kwargs={"middleware": [*door.visitors.middleware(secret), Middleware(BareUploads)]},
        i18n=WORDS,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        css=CSS,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        allowed_paths=samples(),  # outside of the folder that it is started in
        max_file_size=max(image.MAX_FILE_BYTES, audio.MAX_FILE_BYTES),
    )
    return str(address)


def _load(assistants: Models) -> None:
    """Before a visitor asks for it, who is told what is wrong as well."""
    try:
        assistants("")
    except MmchatError as error:
        sys.stderr.write(f"mmchat: {error}\n")


def _history(door: Door) -> tuple[History | None, str]:
    """Where conversations are kept; without it, why not."""
    if not door.keep:
        return None, ""
    try:
        return History(default_path()), ""
    except HistoryError as error:
        return None, f"nothing is kept: {error}"


def _limits(door: Door) -> Limits:
    return Limits(door.a_minute or (A_MINUTE if door.for_others else None), AT_ONCE if door.for_others else None)


def _free_port(host: str, port: int) -> int:
    """The port itself if a server can listen there, any free one for 0. Gradio would not say why it cannot."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            if os.name == "posix":  # elsewhere this would take a port that another server uses
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host} port {port}: {why}; give another --host or --port") from error
