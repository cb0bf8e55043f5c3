"""`mmchat serve`: a model kept warm for the other commands."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

from mmchat.cli import console, options
from mmchat.errors import UserError


def serve(
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
) -> None:
    """Keep a model loaded for mmchat ask and chat with the same model and options; Ctrl-C ends it.

    It listens on a socket that only you can open, and on no network.
    """
    from mmchat.serving import wire

    if not wire.has_sockets():
        raise UserError("mmchat serve needs sockets that are files, which this system has not")
    path, place = wire.socket_path(), wire.place_of(model, device, dtype, quantize, transcriber)
    signal.signal(signal.SIGTERM, _end)  # so that the socket is removed
    from mmchat.serving.warm import WarmServer, listening

    assistant = console.load_assistant(model, device, dtype, quantize, transcriber)
    assistant.describe()  # loads the encoders too
    with listening(path) as listener:
        console.complain(f"{assistant.name} answers mmchat ask and mmchat chat from here (Ctrl-C ends it)")
        WarmServer(assistant, place, listener).run()


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
