"""`mmchat web`: the assistant as a page in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from mmchat.cli import console, options


def web(
    model: options.Model = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen; 0.0.0.0 is everywhere.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 7860,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
) -> None:
    """Serve the assistant as a page for the browser; Ctrl-C ends it."""
    with console.working("starting"):
        from mmchat.serving.web import launch
    launch(model, host, port, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)
