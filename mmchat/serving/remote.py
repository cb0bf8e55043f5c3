"""The assistant of a warm server: the part of `Assistant` that a conversation needs, with nothing to load."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from mmchat.errors import FailureError, UserError
from mmchat.generation.reply import Reply, ReplyStream
from mmchat.inputs.messages import Message
from mmchat.serving import wire

_PATIENCE = 1.0
"""Seconds that a server may take to say what it serves; one that was stopped never does."""


class RemoteAssistant:
    """Answers through the warm server; each question is a connection of its own, and closing it ends the work."""

    def __init__(self, path: Path, place: dict[str, Any], name: str) -> None:
        self.name = name
        self._path = path
        self._place = place

    @classmethod
    def find(cls, place: dict[str, Any]) -> RemoteAssistant | None:
        """The server that answers as `wire.place_of` says; None where none runs, or it serves something else."""
        if not wire.has_sockets():
            return None
        try:
            path = wire.socket_path()
            with Client(str(path), "AF_UNIX") as connection:
                wire.send(connection, {"place": place})
                name = wire.receive(connection)["name"] if connection.poll(_PATIENCE) else None
        except (OSError, EOFError, UserError):
            return None
        return None if name is None else cls(path, place, name)

    def stream(self, conversation: Sequence[Message], *, system: str | None = None, **options: Any) -> ReplyStream:
        """The answer in pieces. Reading the conversation is done, and its errors raised, before this returns.

        Raises:
            UserError: as for `Assistant.reply`.
            FailureError: the server has gone.
        """
        connection = self._ask(conversation, None, system, options)
        try:
            first = _heard(connection)
        except BaseException:  # Ctrl-C too: the server has to know
            connection.close()
            raise
        return ReplyStream(_told(connection, first), connection.close)

    def replies(
        self, conversation: Sequence[Message], n: int, *, system: str | None = None, **options: Any
    ) -> list[Reply]:
        """n answers to one conversation, as of `Assistant.replies`.

        Raises:
            UserError: as for `Assistant.reply`.
            FailureError: the server has gone.
        """
        with self._ask(conversation, n, system, options) as connection:
            return [wire.reply_from_wire(value) for value in _heard(connection)["replies"]]

    def _ask(
        self, conversation: Sequence[Message], n: int | None, system: str | None, options: dict[str, Any]
    ) -> Connection:
        question: dict[str, Any] = {"place": self._place, "n": n, "system": system, "options": options}
        question["messages"] = wire.messages_to_wire(conversation)
        try:
            connection = Client(str(self._path), "AF_UNIX")
            wire.send(connection, question, list(wire.media_of(conversation)))
        except OSError as error:
            raise _gone() from error
        return connection


def _heard(connection: Connection) -> dict[str, Any]:
    """What the server says next.

    Raises:
        MmchatError: it is an error, or the server has gone.
    """
    try:
        value = wire.receive(connection)
    except (EOFError, OSError) as error:
        raise _gone() from error
    if "error" in value:
        raise wire.error_from_wire(value)
    return value


def _told(connection: Connection, value: dict[str, Any]) -> Generator[str, None, Reply]:
    """The pieces of an answer, from what was heard first."""
    with connection:
        while "piece" in value:
            if value["piece"]:
                yield value["piece"]
            value = _heard(connection)
    (reply,) = value["replies"]
    return wire.reply_from_wire(reply)


def _gone() -> FailureError:
    return FailureError("the local server has ended: start mmchat serve again, or add --no-server")
