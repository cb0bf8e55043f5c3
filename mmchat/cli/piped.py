"""Text from standard input, without ever waiting for someone who will not come."""

from __future__ import annotations

import io
import select
import sys

from mmchat.cli import console
from mmchat.errors import MessageError

PATIENCE = 1.0  # seconds


def piped_text(*, patient: bool) -> str:
    """What was piped into the command, without white space around it; "" where nothing was.

    Args:
        patient: the text is needed, so wait for it to the end. Otherwise a pipe on which nothing has come after
            `PATIENCE` seconds is taken for one that the shell or a service manager merely left open.

    Raises:
        MessageError: it is not UTF-8 text.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    if not patient and not _something_comes():
        console.note(f"nothing came on standard input within {PATIENCE:g} s: answering without it")
        return ""
    try:
        text = sys.stdin.read().strip()
        text.encode()  # in the C locale, bytes that are no UTF-8 come through the reading as lone surrogates
    except UnicodeError as error:
        raise MessageError("standard input is not text; give a picture with --image, a clip with --audio") from error
    return text


def _something_comes() -> bool:
    """Whether standard input has data, or its end, within `PATIENCE` seconds."""
    try:
        ready, _, _ = select.select([sys.stdin], [], [], PATIENCE)
    except (io.UnsupportedOperation, OSError, ValueError):
        # Not a descriptor, or one that select cannot watch (a file or a pipe on Windows): those end by themselves.
        return True
    return bool(ready)
