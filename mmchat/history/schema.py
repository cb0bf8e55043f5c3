"""The tables of a history file, and how a file of an earlier release gets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mmchat.errors import HistoryError

_VERSION = 2
_SCHEMA = """
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    created REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE INDEX conversation_changed ON conversation (owner, changed);
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    text TEXT NOT NULL,
    reply TEXT,
    created REAL NOT NULL
);
CREATE INDEX message_conversation ON message (conversation, id);
CREATE TABLE media (
    digest TEXT PRIMARY KEY,
    data BLOB NOT NULL
);
CREATE TABLE message_media (
    message INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    digest TEXT NOT NULL REFERENCES media,
    PRIMARY KEY (message, digest)
);
CREATE TRIGGER forget_media AFTER DELETE ON message_media
WHEN NOT EXISTS (SELECT 1 FROM message_media WHERE digest = OLD.digest)
BEGIN
    DELETE FROM media WHERE digest = OLD.digest;
END;
"""
_UPGRADES = {
    1: """
ALTER TABLE conversation ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE message ADD COLUMN feedback TEXT;
""",
}
"""What makes a file of a release that of the next one."""


def prepare(cursor: sqlite3.Cursor, path: Path) -> None:
    """Bring a file, new or of any release so far, to this one, within the transaction of a cursor.

    Raises:
        HistoryError: it is of a later release.
    """
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise HistoryError(f"{path} is the history of a later release: upgrade mmchat, or move it away")
    scripts = [_SCHEMA] if version == 0 else []
    scripts += [_UPGRADES[each] for each in range(max(version, 1), _VERSION)]
    for statement in (each for script in scripts for each in _statements(script)):
        cursor.execute(statement)
    cursor.execute(f"PRAGMA user_version = {_VERSION}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
