"""Conversations that outlive the program: one SQLite file of the person's own, for the command line and the page.

Whatever a method has returned from is kept, whatever becomes of the process: each change is one transaction, written
ahead (WAL). Pictures and clips are kept once, by their content, as pixels and samples: what else stood in a file, such
as where a photograph was taken, is not kept.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from mmchat.errors import HistoryError
from mmchat.generation.reply import Reply
from mmchat.history.schema import prepare
from mmchat.history.values import decoded, encoded, part_to_json, reply_from_json, reply_to_json
from mmchat.inputs.messages import Message, Part, TextPart

_TITLE = 60  # characters
_SYSTEM = "system"  # the name of the system prompt among the settings
_PATIENCE_S = 10.0
"""How long one program waits for another to finish writing."""


@dataclass(frozen=True)
class Feedback:
    """What a person thought of an answer."""

    liked: bool | None = None
    correction: str = ""
    """What would have been right."""
    rejected: tuple[str, ...] = ()
    """Other answers to the same question that were not chosen."""
    choices: tuple[str, ...] = ()
    """All answers to the same question, as long as none of them is chosen."""


NONE = Feedback()
"""Nothing was thought of it, as far as is known."""


@dataclass(frozen=True)
class Conversation:
    """What a list shows of a conversation."""

    id: int
    title: str
    messages: int
    changed: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Turn:
    """A message as it was kept."""

    id: int
    """0 for a system prompt that stands in the settings."""
    message: Message
    reply: Reply | None
    """Of an answer that was whole."""
    feedback: Feedback


class History:
    """The conversations of one file. Safe for several threads, and for several programs at once."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            HistoryError: it cannot be opened or made, is no history, or is one of a later release.
        """
        self.path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise HistoryError(f"{path}: the history cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def begin(self, owner: str = "") -> int:
        """A new conversation; its id. It has the title of its first message.

        Args:
            owner: whose it is, where several people share a server.
        """
        now = time.time()
        with self._change() as change:
            row = change.execute(
                "INSERT INTO conversation (owner, title, created, changed) VALUES (?, '', ?, ?)", (owner, now, now)
            )
            return _id(row)

    def add(self, conversation: int, message: Message) -> int:
        """Keep a message behind the others; its id.

        Raises:
            HistoryError: there is no such conversation.
        """
        media = {part.digest: part for part in message.media}
        data = [(digest, encoded(part)) for digest, part in media.items() if not self._has(digest)]
        with self._change() as change:
            number = _insert(change, conversation, message.role, message.content, _title(message))
            change.executemany("INSERT OR IGNORE INTO media (digest, data) VALUES (?, ?)", data)
            change.executemany(
                "INSERT INTO message_media (message, digest) VALUES (?, ?)", [(number, digest) for digest in media]
            )
            return number

    def begin_answer(self, conversation: int) -> int:
        """An assistant's message without a word yet, for `write`; its id.

        Raises:
            HistoryError: there is no such conversation.
        """
        with self._change() as change:
            return _insert(change, conversation, "assistant", (), "")

    def write(self, message: int, text: str, reply: Reply | None = None) -> None:
        """Put another text into a message of text alone: an answer while it is given, with its reply in the end.

        A later text leaves the reply as it is.

        Raises:
            HistoryError: there is no such message.
        """
        told = None if reply is None else json.dumps(reply_to_json(reply))
        content = json.dumps([part_to_json(TextPart(text))])
        with self._change() as change:
            row = change.execute(
                "UPDATE message SET content = ?, text = ?, reply = COALESCE(?, reply) WHERE id = ?",
                (content, text, told, message),
            )
            if not row.rowcount:
                raise HistoryError(f"there is no message {message}")

    def turns(self, conversation: int, owner: str = "") -> list[Turn]:
        """All messages of a conversation, in order; those without a word yet are left out.

        The system prompt of its settings stands first.

        Raises:
            HistoryError: there is no such conversation, or it is somebody else's.
        """
        system = self.settings(conversation, owner).get(_SYSTEM, "").strip()
        rows = self._rows(
            "SELECT id, role, content, text, reply, feedback FROM message WHERE conversation = ? ORDER BY id",
            (conversation,),
        )
        turns = [Turn(0, Message.system(system), None, NONE)] if system else []
        for number, role, content, text, reply, feedback in rows:
            parts = json.loads(content)
            if any(part["type"] != "text" or part["text"].strip() for part in parts):
                message = Message(role, tuple(self._part(part) for part in parts))
                given = json.loads(feedback or "{}")
                given |= {name: tuple(given.get(name, ())) for name in ("rejected", "choices")}
                whole = None if reply is None else reply_from_json(json.loads(reply), text)
                turns.append(Turn(number, message, whole, Feedback(**given)))
        return turns

    def newest(self, conversation: int, owner: str = "") -> int | None:
        """The last message of a conversation that `turns` has, 0 where it has none.

        None where there is no such conversation, or it is somebody else's.
        """
        rows = self._rows(
            "SELECT m.id, m.role, m.text FROM conversation c LEFT JOIN message m ON m.conversation = c.id"
            " WHERE c.id = ? AND c.owner = ? ORDER BY m.id DESC",
            (conversation, owner),
        )
        said = (number for number, role, text in rows if role is not None and (role != "assistant" or text.strip()))
        return next(said, 0) if rows else None

    def messages(self, conversation: int, owner: str = "") -> list[Message]:
        """The messages alone, as an assistant reads them; errors as for `turns`."""
        return [turn.message for turn in self.turns(conversation, owner)]

    def conversations(self, owner: str = "", search: str = "") -> list[Conversation]:
        """Those that have a message, the one that changed last first.

        Args:
            owner: whose.
            search: only those with this text in their title or in a message, upper or lower case.
        """
        wanted = f"%{search.translate(_ESCAPED)}%"
        rows = self._rows(
            "SELECT c.id, c.title, count(m.id), c.changed FROM conversation c JOIN message m ON m.conversation = c.id"
            r" WHERE c.owner = ? GROUP BY c.id HAVING c.title LIKE ? ESCAPE '\' OR max(m.text LIKE ? ESCAPE '\')"
            " ORDER BY c.changed DESC, c.id DESC",
            (owner, wanted, wanted),
        )
        return [Conversation(*row) for row in rows]

    def owners(self) -> list[str]:
        """Whose conversations there are; "" is the person of the machine."""
        return [str(owner) for (owner,) in self._rows("SELECT DISTINCT owner FROM conversation ORDER BY owner", ())]

    def conversation(self, conversation: int, owner: str = "") -> Conversation:
        """One of them.

        Raises:
            HistoryError: as for `turns`.
        """
        for each in self.conversations(owner):
            if each.id == conversation:
                return each
        raise HistoryError(f"there is no conversation {conversation}")

    def latest(self, owner: str = "") -> int | None:
        """The conversation that changed last; None where there is none."""
        found = self.conversations(owner)
        return found[0].id if found else None

    def rename(self, conversation: int, title: str, owner: str = "") -> None:
        """Give a conversation another title.

        Raises:
            HistoryError: as for `turns`, or the title is empty.
        """
        if not title.strip():
            raise HistoryError("a title needs a character")
        self._check(conversation, owner)
        with self._change() as change:
            change.execute("UPDATE conversation SET title = ? WHERE id = ?", (title.strip(), conversation))

    def delete(self, conversation: int, owner: str = "") -> None:
        """Forget a conversation, and media that stand in no other.

        Raises:
            HistoryError: as for `turns`.
        """
        self._check(conversation, owner)
        with self._change() as change:
            change.execute("DELETE FROM conversation WHERE id = ?", (conversation,))

    def judge(self, conversation: int, message: int, feedback: Feedback, owner: str = "") -> None:
        """Keep what a person thinks of an answer, in the place of what they thought before.

        Raises:
            HistoryError: as for `turns`, or the message is none of its answers.
        """
        self._check(conversation, owner)
        with self._change() as change:
            row = change.execute(
                "UPDATE message SET feedback = ? WHERE conversation = ? AND id = ? AND role = 'assistant'",
                (json.dumps(asdict(feedback)), conversation, message),
            )
            if not row.rowcount:
                raise HistoryError(f"conversation {conversation} has no answer {message}")

    def settings(self, conversation: int, owner: str = "") -> dict[str, Any]:
        """What `set_settings` was given last; empty before.

        Raises:
            HistoryError: as for `turns`.
        """
        self._check(conversation, owner)
        ((text,),) = self._rows("SELECT settings FROM conversation WHERE id = ?", (conversation,))
        settings: dict[str, Any] = json.loads(text)
        return settings

    def set_settings(self, conversation: int, settings: Mapping[str, Any], owner: str = "") -> None:
        """Keep the settings of a conversation, of which only the system prompt means something here.

        Raises:
            HistoryError: as for `turns`.
        """
        self._check(conversation, owner)
        with self._change() as change:
            change.execute("UPDATE conversation SET settings = ? WHERE id = ?", (json.dumps(settings), conversation))

    def set_system(self, conversation: int, text: str, owner: str = "") -> None:
        """Keep a system prompt among the settings of a conversation.

        Raises:
            HistoryError: as for `turns`.
        """
        self.set_settings(conversation, {**self.settings(conversation, owner), _SYSTEM: text}, owner)

    def cut(self, conversation: int, message: int, owner: str = "") -> None:
        """Forget a message and all behind it, to ask again or otherwise.

        Raises:
            HistoryError: as for `turns`.
        """
        self._check(conversation, owner)
        with self._change() as change:
            change.execute("DELETE FROM message WHERE conversation = ? AND id >= ?", (conversation, message))

    def _prepare(self) -> None:
        """Journal and schema."""
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            self._database.execute(f"PRAGMA {pragma}").close()
        with self._change() as change:
            prepare(change, self.path)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Cursor]:
        """One transaction: all of the body, or nothing."""
        with self._lock, closing(self._database.cursor()) as cursor:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    yield cursor
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path}: the history cannot be written: {error}") from error

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock, closing(self._database.cursor()) as cursor:
            try:
                return cursor.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path}: the history cannot be read: {error}") from error

    def _check(self, conversation: int, owner: str) -> None:
        if not self._rows("SELECT 1 FROM conversation WHERE id = ? AND owner = ?", (conversation, owner)):
            raise HistoryError(f"there is no conversation {conversation}")

    def _has(self, digest: str) -> bool:
        return bool(self._rows("SELECT 1 FROM media WHERE digest = ?", (digest,)))

    def _part(self, value: dict[str, Any]) -> Part:
        if value["type"] == "text":
            return TextPart(value["text"])
        ((data,),) = self._rows("SELECT data FROM media WHERE digest = ?", (value["digest"],))
        return decoded(value, data)


_ESCAPED = str.maketrans({"%": r"\%", "_": r"\_", "\\": "\\\\"})


def default_path() -> Path:
    """Where the history of this person is."""
    return Path(platformdirs.user_data_dir("mmchat", appauthor=False)) / "history.db"


def _insert(change: sqlite3.Cursor, conversation: int, role: str, content: Sequence[Part], title: str) -> int:
    """A message behind the others, as whose title the conversation is known if it has none."""
    now = time.time()
    titled = change.execute(
        "UPDATE conversation SET changed = ?, title = CASE title WHEN '' THEN ? ELSE title END WHERE id = ?",
        (now, title, conversation),
    )
    if not titled.rowcount:
        raise HistoryError(f"there is no conversation {conversation}")
    text = "".join(part.text for part in content if isinstance(part, TextPart))
    row = change.execute(
        "INSERT INTO message (conversation, role, content, text, created) VALUES (?, ?, ?, ?, ?)",
        (conversation, role, json.dumps(list(map(part_to_json, content))), text, now),
    )
    return _id(row)


def _id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None, "a row was inserted"
    return cursor.lastrowid


def _title(message: Message) -> str:
    """The first words of a message, or the names of its media."""
    words = " ".join(message.text.split()) or ", ".join(part.name for part in message.media)
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1].rstrip()}…"
