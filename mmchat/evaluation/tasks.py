"""Score an assistant on the dialogues of a dataset folder.

A row is `{"messages": […], "kind": "…", "accept": ["…", …]}`: its last message is the assistant's, the answer to all
before it is generated greedily, and it is right when any accepted word or phrase stands in it. Earlier assistant turns
are given as they are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from mmchat.assistant import Assistant
from mmchat.errors import DatasetError
from mmchat.evaluation.metrics import is_accepted
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

Media = ImagePart | AudioPart


@dataclass(frozen=True)
class Score:
    """Right answers of one kind of question."""

    kind: str
    asked: int
    right: int
    asked_blind: int
    """Questions that hold a picture or clip and were asked again with that of another row."""
    right_blind: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked

    @property
    def blind(self) -> float | None:
        """Share of right answers when the media is exchanged; None for questions in text alone."""
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
        progress: told how many rows are done, of how many.

    Raises:
        DatasetError: the file is missing or malformed, or has no such rows.
        UserError: a picture or clip cannot be read.
    """
    rows = _rows(dataset / file, kinds, limit)
    pool = [part for row in rows for part in _media(row, dataset)]
    counts: dict[str, list[int]] = {}
    wrong: list[dict[str, Any]] = []
    for done, row in enumerate(rows):
        progress(done, len(rows))
        messages = [Message.from_dict(message, dataset) for message in row["messages"][:-1]]
        answer = assistant.reply(messages).text
        right = is_accepted(answer, row["accept"])
        if not right and len(wrong) < show_wrong:
            wrong.append({"row": row["row"], "kind": row["kind"], "answer": answer, "accept": row["accept"]})
        count = counts.setdefault(row["kind"], [0, 0, 0, 0])
        count[0] += 1
        count[1] += right
        if any(message.media for message in messages):
            count[2] += 1
            count[3] += is_accepted(assistant.reply(_exchanged(messages, pool, Random(done))).text, row["accept"])
    scores = tuple(Score(kind, *count) for kind, count in sorted(counts.items()))
    return Evaluation(assistant.name, str(dataset / file), scores, tuple(wrong))


def _rows(path: Path, kinds: Sequence[str], limit: int | None) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    kept: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = {"row": number, **json.loads(line)}
            known = kept.setdefault(row["kind"], [])
            if (not kinds or row["kind"] in kinds) and (limit is None or len(known) < limit) and row["accept"]:
                known.append(row)
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f'{path} line {number} is no row with "messages", "kind" and "accept"') from error
    rows = [row for known in kept.values() for row in known]
    if not rows:
        raise DatasetError(f"{path} has no rows" + (f" of kind {', '.join(kinds)}" if kinds else ""))
    return rows


def _media(row: dict[str, Any], dataset: Path) -> list[Media]:
    return [part for message in row["messages"] for part in Message.from_dict(message, dataset).media]


def _exchanged(messages: list[Message], pool: list[Media], rng: Random) -> list[Message]:
    """The conversation with each picture and clip exchanged for another of the pool."""

    def exchange(part: Part) -> Part:
        others = [other for other in rng.sample(pool, min(len(pool), 32)) if _differs(other, part)]
        return others[0] if others else part

    return [Message(message.role, tuple(exchange(part) for part in message.content)) for message in messages]


def _differs(other: Media, part: Part) -> bool:
    return not isinstance(part, TextPart) and type(other) is type(part) and other.digest != part.digest
