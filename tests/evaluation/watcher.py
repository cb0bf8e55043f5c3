"""A small dataset, and an assistant that says what it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mmchat.evaluation.scores import Outcome
from mmchat.evaluation.tasks import Question
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
PITCHES = {"low": 200, "high": 2000}


@dataclass
class Watcher:
    """Says the colour of each picture and "high" or "low" for each clip, of text alone its last word; or `always`.

    Every reference costs one nat a word, and an answer that is begun goes on with `guesses`.
    """

    name: str = "watcher"
    always: str = ""
    guesses: Sequence[str] = ()
    asked: list[tuple[Message, ...]] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)

    def reply(self, conversation: Sequence[Message], **options: Any) -> SimpleNamespace:
        assert options == {}  # greedy, which is the default
        self.asked.append(tuple(conversation))
        media = [part for message in conversation for part in message.media]
        seen = [name_of(part) for part in media] or [conversation[-1].text.split()[-1]]
        return SimpleNamespace(text=self.always or " and ".join(seen))

    def log_likelihood(self, conversation: Sequence[Message], answer: str) -> tuple[float, int]:
        assert conversation
        words = len(answer.split())
        return -float(words), words

    def continuations(self, conversation: Sequence[Message], opening: str, n: int, **limits: Any) -> list[str]:
        assert conversation
        assert set(limits) == {"stop", "max_new_tokens"}
        self.begun.append((opening, n))
        return list(self.guesses[:n])


def name_of(part: ImagePart | AudioPart) -> str:
    if isinstance(part, ImagePart):
        return [*COLOURS][int(np.argmax(part.image.getpixel((0, 0))))]
    return "high" if np.abs(np.diff(np.sign(part.waveform))).mean() > 0.1 else "low"


def picture(name: str) -> dict[str, str]:
    return {"type": "image", "image": f"{name}.png"}


def clip(name: str) -> dict[str, str]:
    return {"type": "audio", "audio": f"{name}.wav"}


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def row(kind: str, *turns: Any, accept: Sequence[str], **more: Any) -> dict[str, Any]:
    """Turns of user and assistant by turns, the assistant's last."""
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    return {"messages": messages, "kind": kind, "accept": list(accept), **more}


def write(dataset: Path, *rows: dict[str, Any] | str, file: str = "dialogues.jsonl") -> None:
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in rows]
    (dataset / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def outcome(row: int = 1, answer: str = "red", *, accepted: bool = True, nats: float = -1.0, **more: Any) -> Outcome:
    """What became of the question "which?"; `more` are fields of the question or of the outcome."""
    asked: dict[str, Any] = {"kind": "name", "messages": (Message.user("which?"),), "reference": "red"}
    asked |= {key: more.pop(key) for key in [*more] if key in Question.__dataclass_fields__}
    question = Question(**{"row": row, "label": asked["kind"], "accept": ("red",), "commonest": "", **asked})
    marks = {"exact": accepted, "refused": False, "majority": False, "tokens": 1}
    return Outcome(question=question, answer=answer, accepted=accepted, nats=nats, **(marks | more))
