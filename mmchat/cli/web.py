"""`mmchat web`: the assistant as a page in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from mmchat.cli import console, options

Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="As for ask; may be repeated, to choose from on the page."),
]


def web(
    model: Models = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen; 0.0.0.0 is everywhere.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 7860,
    auth: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:HASH", help="Who may sign in, as htpasswd -nB NAME prints it; may be repeated."),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Each browser is somebody else, as behind a proxy; so with another host.")
    ] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep nothing of what is said.")] = False,
    a_minute: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Messages of a visitor; 20 where others can reach the page.")
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
) -> None:
    """Serve the assistant as a page for the browser; Ctrl-C ends it.

    On this machine alone, the page and the command line share one history. Where others can reach it, each browser has
    conversations of its own.
    """
    with console.working("starting"):
        from mmchat.serving.web import Door, launch
    door = Door(host, port, tuple(auth or ()), not no_history, a_minute, shared)
    launch(model or [], door, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)
