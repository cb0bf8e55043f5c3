"""A server that keeps a model warm for the commands of one person on one machine."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from mmchat.assistant import Assistant
from mmchat.errors import MmchatError, UserError
from mmchat.serving import wire

logger = logging.getLogger(__name__)


class WarmServer:
    """Answers the commands that would load the same model; each of their questions in a thread of its own."""

    def __init__(self, assistant: Assistant, place: dict[str, Any], listener: Listener) -> None:
        """
        Args:
            assistant: what answers.
            place: `wire.place_of` what it was loaded from.
            listener: of `listening`.
        """
        self._assistant = assistant
        self._place = place
        self._listener = listener

    def run(self) -> None:
        """Answer until the process is told to end, or the listener is closed."""
        while True:
            try:
                connection = self._listener.accept()
            except OSError as error:
                if error.errno is None:  # of no system call: it was closed
                    return
                logger.info("a connection failed: %s", error)  # whoever came has left before they were let in
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """One connection; what it breaks is its own."""
        with connection, contextlib.suppress(EOFError, OSError):  # they may leave at any time
            try:
                self._answer(connection, wire.receive(connection))
            except (EOFError, OSError):
                raise
            except Exception as error:
                if not isinstance(error, MmchatError):
                    logger.exception("a question failed")
                wire.send(connection, wire.error_to_wire(error))

    def _answer(self, connection: Connection, asked: dict[str, Any]) -> None:
        serves = asked["place"] == self._place
        if "messages" not in asked:
            wire.send(connection, {"name": self._assistant.name if serves else None})
            return
        messages = wire.messages_from_wire(asked["messages"], connection)
        if not serves:
            raise UserError("the local server serves another model now: add --no-server")
        how = {"system": asked["system"], **asked["options"]}
        if asked["n"] is not None:
            replies = self._assistant.replies(messages, asked["n"], **how)
            wire.send(connection, {"replies": [wire.reply_to_wire(reply) for reply in replies]})
            return
        with closing(self._assistant.stream(messages, **how)) as stream:
            wire.send(connection, {"piece": ""})  # it was read
            for piece in stream:
                wire.send(connection, {"piece": piece})
            assert stream.reply is not None, "a stream that ended has its reply"
            wire.send(connection, {"replies": [wire.reply_to_wire(stream.reply)]})


@contextmanager
def listening(path: Path) -> Iterator[Listener]:
    """A socket that this person alone can open; removed in the end.

    Raises:
        UserError: a server listens there already, or the socket cannot be made.
    """
    with contextlib.suppress(OSError), Client(str(path), "AF_UNIX"):
        raise UserError(f"a server listens at {path} already: end that one first")
    before = os.umask(0o077)
    try:
        path.unlink(missing_ok=True)  # left by a server that was killed
        listener = Listener(str(path), "AF_UNIX", backlog=16)
    except OSError as error:
        raise UserError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    with listener:
        yield listener
