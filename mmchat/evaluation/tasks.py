"""The questions of a dataset folder.

A row is

    {"messages": […], "kind": "…", "accept": ["…", …], "style": "…", "transcripts": ["…", …]}

Its last message is the assistant's, the reference; all before it is the question. An answer is right when any accepted
word or phrase stands in it; the first is the exact one. `style`, of its pictures, and `transcripts`, of its clips in
their order, may be missing. Spoken questions are a kind of their own beside typed ones of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from mmchat.errors import DatasetError, MessageError
from mmchat.evaluation.metrics import majority_phrase
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.messages import Message
from mmchat.inputs.rows import numbered_rows

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """One row, read."""

    row: int
    """The number of its line."""
    kind: str
    label: str
    """The kind, with the spoken ones told apart."""
    messages: tuple[Message, ...]
    reference: str
    accept: tuple[str, ...]
    commonest: str
    """The accepted phrase that most questions of this label share, in all of the file."""
    style: str | None = None
    transcripts: tuple[str, ...] = ()


def read_questions(dataset: Path, file: str, kinds: Sequence[str] = (), limit: int | None = None) -> list[Question]:
    """The questions of a file, kind by kind; rows without accepted phrases are none.

    Args:
        dataset: one split of a dataset folder.
        file: its JSONL file.
        kinds: only these; empty for all.
        limit: at most so many of each kind, spread over the file; only their media is read.

    Raises:
        DatasetError: the file is missing or malformed, or has no such rows.
        UserError: a picture or clip cannot be read.
    """
    path = dataset / file
    alike: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in numbered_rows(path):
        _check(path, number, row)
        if row["accept"] and (not kinds or row["kind"] in kinds):
            alike.setdefault(_label(row), []).append((number, row))
    if not alike:
        raise DatasetError(f"{path} has no questions" + (f" of kind {', '.join(kinds)}" if kinds else ""))
    questions = []
    for label, rows in alike.items():
        commonest = majority_phrase(row["accept"] for _, row in rows)
        questions += [
            _question(path, dataset, label, commonest, *numbered) for numbered in spread(rows, limit, seed=label)
        ]
    return questions


def spread(rows: Sequence[T], limit: int | None, seed: str) -> list[T]:
    """At most `limit` of the rows, in their order and the same every time.

    The rows are cut into as many even stretches, and one is drawn from each: rows at even distances could all be of one
    sort, where a file alternates between two.
    """
    if limit is None or len(rows) <= limit:
        return list(rows)
    rng = Random(seed)
    bounds = [index * len(rows) // limit for index in range(limit + 1)]
    return [rows[rng.randrange(*stretch)] for stretch in pairwise(bounds)]


def _check(path: Path, number: int, row: dict[str, Any]) -> None:
    try:
        well_formed = (
            isinstance(row["kind"], str)
            and _are_texts(row["accept"])
            and all(phrase.strip() for phrase in row["accept"])
            and all({"role", "content"} <= message.keys() for message in row["messages"])
            and row["messages"][-1]["role"] == "assistant"
        )
    except (LookupError, TypeError, AttributeError):
        well_formed = False
    if not well_formed:
        raise DatasetError(
            f'{path} line {number} is no row with a "kind", "messages" that end with the assistant\'s, '
            'and a list "accept"'
        )
    if not isinstance(row.get("style", ""), str) or not _are_texts(row.get("transcripts", [])):
        raise DatasetError(f'{path} line {number}: "style" must be a text, "transcripts" a list of texts')


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _question(path: Path, dataset: Path, label: str, commonest: str, number: int, row: dict[str, Any]) -> Question:
    try:
        *messages, reference = [Message.from_dict(message, dataset) for message in row["messages"]]
    except MessageError as error:
        raise DatasetError(f"{path} line {number}: {error}") from error
    if not messages:
        raise DatasetError(f"{path} line {number} has an answer and no question")
    if not reference.text.strip():
        raise DatasetError(f"{path} line {number} has an answer without words")
    transcripts = tuple(row.get("transcripts", ()))
    clips = sum(isinstance(part, AudioPart) for message in messages for part in message.media)
    if transcripts and len(transcripts) != clips:
        raise DatasetError(f"{path} line {number} has {len(transcripts)} transcripts of {clips} clips")
    return Question(
        row=number,
        kind=row["kind"],
        label=label,
        messages=tuple(messages),
        reference=reference.text,
        accept=tuple(row["accept"]),
        commonest=commonest,
        style=row.get("style"),
        transcripts=transcripts,
    )


def _label(row: dict[str, Any]) -> str:
    asked = next((message["content"] for message in reversed(row["messages"]) if message["role"] == "user"), "")
    spoken = isinstance(asked, list) and any(isinstance(part, dict) and part.get("type") == "audio" for part in asked)
    return f"{row['kind']}, spoken" if spoken else str(row["kind"])
