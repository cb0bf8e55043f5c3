"""Score an assistant on the dialogues of a dataset folder.

A row is `{"messages": […], "kind": "…", "accept": ["…", …]}`: its last message is the assistant's, the answer to all
before it is generated greedily, and it is right when any accepted word or phrase stands in it. Earlier assistant turns
are given as they are written. Spoken questions are counted apart from typed ones of the same kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from mmchat.assistant import Assistant
from mmchat.errors import DatasetError, MessageError
from mmchat.evaluation.metrics import is_accepted
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart
from mmchat.inputs.rows import numbered_rows

Media = ImagePart | AudioPart


@dataclass(frozen=True)
class Score:
    """Right answers of one kind of question."""

    kind: str
    asked: int
    right: int
    asked_blind: int
    """Questions that hold a picture or clip and were asked again with another one of the dataset in its place."""
    right_blind: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked

    @property
    def blind(self) -> float | None:
        """Share of right answers when the media is exchanged; None where there is nothing to exchange."""
        return self.right_blind / self.asked_blind if self.asked_blind else None


@dataclass(frozen=True)
class Evaluation:
    """The outcome of a run."""

    model: str
    dataset: str
    scores: tuple[Score, ...]
    wrong: tuple[dict[str, Any], ...]
    """The first wrong answers: row number, kind, answer, accepted."""

    def to_json(self) -> str:
        """One line for programs."""
        scores = {
            score.kind: {**asdict(score), "accuracy": score.accuracy, "blind": score.blind} for score in self.scores
        }
        return json.dumps({"model": self.model, "dataset": self.dataset, "scores": scores}, ensure_ascii=False)


@dataclass(frozen=True)
class _Question:
    row: int
    kind: str
    messages: tuple[Message, ...]
    accept: tuple[str, ...]


def evaluate(
    assistant: Assistant,
    dataset: Path,
    *,
    file: str = "dialogues.jsonl",
    kinds: Sequence[str] = (),
    limit: int | None = None,
    show_wrong: int = 10,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Ask every question of a file and count the right answers by kind.

    Args:
        assistant: whom to ask.
        dataset: one split of a dataset folder.
        file: its JSONL file.
        kinds: only these kinds of question; empty for all.
        limit: at most so many rows of each kind, the first of the file.
        show_wrong: how many wrong answers are kept.
        progress: told after every row how many are done, of how many.

    Raises:
        DatasetError: the file is missing or malformed, or has no such rows.
        UserError: a picture or clip cannot be read.
    """
    questions = _questions(dataset / file, dataset, kinds, limit)
    pool = _media(questions)
    counts: dict[str, list[int]] = {}
    wrong: list[dict[str, Any]] = []
    for done, question in enumerate(questions, 1):
        answer = assistant.reply(question.messages).text
        right = is_accepted(answer, question.accept)
        if not right and len(wrong) < show_wrong:
            wrong.append({"row": question.row, "kind": question.kind, "answer": answer, "accept": [*question.accept]})
        count = counts.setdefault(question.kind, [0, 0, 0, 0])
        count[0] += 1
        count[1] += right
        exchanged = _exchanged(question.messages, pool, Random(done))
        if exchanged is not None:
            count[2] += 1
            count[3] += is_accepted(assistant.reply(exchanged).text, question.accept)
        progress(done, len(questions))
    scores = tuple(Score(kind, *count) for kind, count in sorted(counts.items()))
    return Evaluation(assistant.name, str(dataset / file), scores, tuple(wrong))


def _questions(path: Path, dataset: Path, kinds: Sequence[str], limit: int | None) -> list[_Question]:
    kept: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in numbered_rows(path):
        _check(path, number, row)
        alike = kept.setdefault(_label(row), [])
        if (not kinds or row["kind"] in kinds) and (limit is None or len(alike) < limit) and row["accept"]:
            alike.append((number, row))
    questions = [_question(path, dataset, *numbered) for alike in kept.values() for numbered in alike]
    if not questions:
        raise DatasetError(f"{path} has no questions" + (f" of kind {', '.join(kinds)}" if kinds else ""))
    return questions


def _check(path: Path, number: int, row: dict[str, Any]) -> None:
    try:
        well_formed = (
            isinstance(row["kind"], str)
            and isinstance(row["accept"], list)
            and all(isinstance(phrase, str) for phrase in row["accept"])
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


def _question(path: Path, dataset: Path, number: int, row: dict[str, Any]) -> _Question:
    try:
        messages = tuple(Message.from_dict(message, dataset) for message in row["messages"][:-1])
    except MessageError as error:
        raise DatasetError(f"{path} line {number}: {error}") from error
    if not messages:
        raise DatasetError(f"{path} line {number} has an answer and no question")
    return _Question(number, _label(row), messages, tuple(row["accept"]))


def _label(row: dict[str, Any]) -> str:
    """The kind of a question; one that is spoken is counted apart from the same one typed."""
    asked = next((message["content"] for message in reversed(row["messages"]) if message["role"] == "user"), "")
    spoken = isinstance(asked, list) and any(isinstance(part, dict) and part.get("type") == "audio" for part in asked)
    return f"{row['kind']}, spoken" if spoken else str(row["kind"])


def _media(questions: Sequence[_Question]) -> dict[type[Media], list[Media]]:
    """Every picture and every clip once."""
    found: dict[type[Media], dict[str, Media]] = {ImagePart: {}, AudioPart: {}}
    for question in questions:
        for part in (part for message in question.messages for part in message.media):
            found[type(part)][part.digest] = part
    return {kind: list(parts.values()) for kind, parts in found.items()}


def _exchanged(
    messages: Sequence[Message], pool: dict[type[Media], list[Media]], rng: Random
) -> tuple[Message, ...] | None:
    """The conversation with each picture and clip exchanged for another of its kind.

    None when it holds no media, or some that there is no other to exchange for.
    """
    media = [part for message in messages for part in message.media]
    if not media or any(len(pool[type(part)]) < 2 for part in media):
        return None

    def exchange(part: Part) -> Part:
        if isinstance(part, TextPart):
            return part
        return rng.choice([other for other in pool[type(part)] if other.digest != part.digest])

    return tuple(Message(message.role, tuple(exchange(part) for part in message.content)) for message in messages)
