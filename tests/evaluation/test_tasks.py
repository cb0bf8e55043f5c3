"""Scoring, with an assistant that names the colour and the pitch it is shown, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.assistant import Assistant
from mmchat.errors import AudioError, DatasetError, ImageError
from mmchat.evaluation import Evaluation, Score, evaluate
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@dataclass
class Watcher:
    """Says the colour of each picture and "high" or "low" for each clip, of text alone its last word; or `always`."""

    name: str = "watcher"
    always: str = ""
    asked: list[tuple[Message, ...]] = field(default_factory=list)

    def reply(self, conversation: Sequence[Message], **options: Any) -> SimpleNamespace:
        assert options == {}  # greedy, which is the default
        self.asked.append(tuple(conversation))
        media = [part for message in conversation for part in message.media]
        seen = [name_of(part) for part in media] or [conversation[-1].text.split()[-1]]
        return SimpleNamespace(text=self.always or " and ".join(seen))


def name_of(part: ImagePart | AudioPart) -> str:
    if isinstance(part, ImagePart):
        return [*COLOURS][int(np.argmax(part.image.getpixel((0, 0))))]
    return "high" if np.abs(np.diff(np.sign(part.waveform))).mean() > 0.1 else "low"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for colour, rgb in COLOURS.items():
        Image.new("RGB", (8, 8), rgb).save(tmp_path / f"{colour}.png")
    for pitch, hertz in {"low": 200, "high": 2000}.items():
        samples = np.sin(2 * np.pi * hertz * np.arange(4800) / SAMPLE_RATE) * 0.5
        soundfile.write(tmp_path / f"{pitch}.wav", samples, SAMPLE_RATE)
    return tmp_path


def picture(name: str) -> dict[str, str]:
    return {"type": "image", "image": f"{name}.png"}


def clip(name: str) -> dict[str, str]:
    return {"type": "audio", "audio": f"{name}.wav"}


def row(kind: str, *turns: Any, accept: Sequence[str]) -> dict[str, Any]:
    """Turns of user and assistant by turns, the assistant's last."""
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    return {"messages": messages, "kind": kind, "accept": list(accept)}


def write(dataset: Path, *rows: dict[str, Any] | str, file: str = "dialogues.jsonl") -> None:
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in rows]
    (dataset / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def score(dataset: Path, assistant: Watcher, **given: Any) -> Evaluation:
    return evaluate(cast(Assistant, assistant), dataset, **given)


def test_right_answers_are_counted_by_kind(dataset: Path) -> None:
    write(
        dataset,
        row("name", [picture("red")], "It is red.", accept=["red"]),
        row("name", [picture("green")], "It is green.", accept=["emerald", "green"]),
        row("name", [picture("blue")], "It is yellow.", accept=["yellow"]),
        row("echo", "say yes", "yes", accept=["yes"]),
        row("echo", "say no", "perhaps", accept=["perhaps"]),
    )
    result = score(dataset, Watcher())
    assert result.scores == (Score("echo", 2, 1, 0, 0), Score("name", 3, 2, 3, 0))
    assert [each.accuracy for each in result.scores] == [0.5, pytest.approx(2 / 3)]
    assert [each.blind for each in result.scores] == [None, 0.0]
    assert (result.model, result.dataset) == ("watcher", str(dataset / "dialogues.jsonl"))


def test_a_spoken_question_is_counted_apart_from_the_same_one_typed(dataset: Path) -> None:
    """The kind is that of the last question: a clip in an earlier turn does not make it a spoken one."""
    write(
        dataset,
        row("pitch", [clip("high")], "high", accept=["high"]),
        row("pitch", [clip("low")], "low", "say low", "low", accept=["low"]),
        row("pitch", "say low", "low", accept=["low"]),
    )
    result = score(dataset, Watcher(), kinds=("pitch",))
    assert result.scores == (Score("pitch", 2, 2, 1, 0), Score("pitch, spoken", 1, 1, 1, 0))


def test_wrong_answers_are_kept_with_their_line(dataset: Path) -> None:
    write(
        dataset,
        row("echo", "say yes", "yes", accept=["yes"]),
        "",
        row("echo", "say no", "perhaps", accept=["perhaps", "maybe"]),
        row("echo", "say so", "well", accept=["well"]),
    )
    first = {"row": 3, "kind": "echo", "answer": "no", "accept": ["perhaps", "maybe"]}
    second = {"row": 4, "kind": "echo", "answer": "so", "accept": ["well"]}
    assert score(dataset, Watcher()).wrong == (first, second)
    assert score(dataset, Watcher(), show_wrong=1).wrong == (first,)
    assert score(dataset, Watcher(), show_wrong=0).wrong == ()


def test_earlier_turns_are_given_as_they_are_written(dataset: Path) -> None:
    write(
        dataset,
        row("follow-up", [picture("red"), {"type": "text", "text": "?"}], "Blue.", "sure?", "no", accept=["red"]),
    )
    watcher = Watcher()
    assert score(dataset, watcher).scores == (Score("follow-up", 1, 1, 0, 0),)
    (asked,) = watcher.asked
    assert [message.role for message in asked] == ["user", "assistant", "user"]
    assert [message.text for message in asked] == ["?", "Blue.", "sure?"]


def test_the_blind_question_has_another_picture_and_clip_and_the_same_words(dataset: Path) -> None:
    write(
        dataset,
        row("both", [picture("red"), {"type": "text", "text": "and"}, clip("low")], "red low", accept=["red"]),
        row("both", [picture("blue"), {"type": "text", "text": "with"}, clip("high")], "blue high", accept=["blue"]),
    )
    watcher = Watcher()
    assert score(dataset, watcher).scores == (Score("both, spoken", 2, 2, 2, 0),)
    shown = [[part if isinstance(part, str) else name_of(part) for part in parts_of(asked)] for asked in watcher.asked]
    assert shown == [
        ["red", "and", "low"],
        ["blue", "and", "high"],
        ["blue", "with", "high"],
        ["red", "with", "low"],
    ]


def parts_of(messages: Sequence[Message]) -> list[Any]:
    return [getattr(part, "text", part) for message in messages for part in message.content]


def test_a_blind_model_scores_the_same_without_its_media(dataset: Path) -> None:
    rows = [row("name", [picture(name)], name, accept=[name]) for name in ("red", "green", "blue", "red")]
    write(dataset, *rows)
    assert score(dataset, Watcher(always="red")).scores == (Score("name", 4, 2, 4, 2),)


def test_every_picture_is_exchanged_however_few_there_are_beside_the_clips(dataset: Path) -> None:
    """An other was once looked for among 32 of all media, so that few pictures among many clips were mostly kept."""
    rng = np.random.default_rng(0)
    rows = [row("name", [picture(name)], name, accept=[name]) for name in ("red", "blue")]
    for number in range(60):
        soundfile.write(dataset / f"{number}.wav", rng.uniform(-0.5, 0.5, 800), SAMPLE_RATE)
        rows.append(row("noise", [clip(str(number))], "high", accept=["high"]))
    write(dataset, *rows)
    assert score(dataset, Watcher()).scores == (Score("name", 2, 2, 2, 0), Score("noise, spoken", 60, 60, 60, 60))


@pytest.mark.parametrize("names", [["red"], ["red", "red"]])
def test_what_there_is_no_other_for_is_not_counted_as_exchanged(dataset: Path, names: list[str]) -> None:
    write(dataset, *(row("name", [picture(name)], name, accept=[name]) for name in names))
    watcher = Watcher()
    (result,) = score(dataset, watcher).scores
    assert (result.asked, result.asked_blind, result.blind) == (len(names), 0, None)
    assert len(watcher.asked) == len(names)


def test_the_same_dataset_gives_the_same_exchange(dataset: Path) -> None:
    write(dataset, *(row("name", [picture(name)], name, accept=[name]) for name in COLOURS))
    first, second = Watcher(), Watcher()
    assert score(dataset, first) == score(dataset, second)
    assert first.asked == second.asked


def test_kinds_and_limit_choose_the_first_rows_of_each_kind(dataset: Path) -> None:
    rows = [
        row(kind, f"{kind} {word}", word, accept=[word]) for word in ("one", "two", "three") for kind in ("a", "b", "c")
    ]
    write(dataset, *rows)

    def asked(**given: Any) -> list[str]:
        watcher = Watcher()
        score(dataset, watcher, **given)
        return sorted(messages[-1].text for messages in watcher.asked)

    assert len(asked()) == 9
    assert asked(limit=2) == ["a one", "a two", "b one", "b two", "c one", "c two"]
    assert asked(kinds=("c", "a"), limit=1) == ["a one", "c one"]


def test_rows_without_accepted_words_are_not_asked(dataset: Path) -> None:
    write(dataset, row("chat", "hello", "hi", accept=[]), row("echo", "say yes", "yes", accept=["yes"]))
    assert score(dataset, Watcher()).scores == (Score("echo", 1, 1, 0, 0),)


def test_another_file_can_be_asked_from(dataset: Path) -> None:
    write(dataset, row("echo", "say yes", "yes", accept=["yes"]), file="reserved.jsonl")
    result = score(dataset, Watcher(), file="reserved.jsonl")
    assert result.dataset == str(dataset / "reserved.jsonl")


def test_progress_counts_up_to_the_end(dataset: Path) -> None:
    write(dataset, *(row("echo", f"say {word}", word, accept=[word]) for word in ("yes", "no", "so")))
    calls: list[tuple[int, int]] = []
    score(dataset, Watcher(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_the_json_line_holds_every_figure(dataset: Path) -> None:
    scores = (Score("größe", 8, 6, 4, 1), Score("fact", 2, 0, 0, 0))
    line = Evaluation("toy", "data/test", scores, ()).to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "model": "toy",
        "dataset": "data/test",
        "scores": {
            "größe": {
                "kind": "größe",
                "asked": 8,
                "right": 6,
                "asked_blind": 4,
                "right_blind": 1,
                "accuracy": 0.75,
                "blind": 0.25,
            },
            "fact": {
                "kind": "fact",
                "asked": 2,
                "right": 0,
                "asked_blind": 0,
                "right_blind": 0,
                "accuracy": 0.0,
                "blind": None,
            },
        },
    }


GOOD = row("echo", "say yes", "yes", accept=["yes"])
MALFORMED = 'line 2 is no row with a "kind", "messages" that end with the assistant\'s, and a list "accept"'


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("{", "line 2 is not JSON: Expecting property name"),
        ("[1]", "line 2 is not a JSON object"),
        ("null", "line 2 is not a JSON object"),
        ({key: value for key, value in GOOD.items() if key != "kind"}, MALFORMED),
        ({key: value for key, value in GOOD.items() if key != "accept"}, MALFORMED),
        ({key: value for key, value in GOOD.items() if key != "messages"}, MALFORMED),
        ({**GOOD, "kind": ["echo"]}, MALFORMED),
        ({**GOOD, "accept": "yes"}, MALFORMED),
        ({**GOOD, "accept": [1]}, MALFORMED),
        ({**GOOD, "messages": []}, MALFORMED),
        ({**GOOD, "messages": "yes"}, MALFORMED),
        ({**GOOD, "messages": GOOD["messages"][:1]}, MALFORMED),
        ({**GOOD, "messages": ["say yes", GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": [{"content": "say yes"}, GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": [{"role": "user"}, GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": GOOD["messages"][1:]}, "line 2 has an answer and no question"),
        (row("echo", [{"type": "film"}], "yes", accept=["yes"]), "line 2: unknown content part 'film'"),
        (row("echo", ["say yes"], "yes", accept=["yes"]), "line 2: unknown content part None"),
        (row("echo", " ", "yes", accept=["yes"]), "line 2: the user message is empty"),
        (row("echo", [picture("../up")], "yes", accept=["yes"]), "line 2: ../up.png leaves the dataset folder"),
    ],
)
def test_a_malformed_row_is_named(dataset: Path, bad: dict[str, Any] | str, complaint: str) -> None:
    write(dataset, GOOD, bad)
    with pytest.raises(DatasetError) as caught:
        score(dataset, Watcher())
    assert str(caught.value).startswith(f"{dataset / 'dialogues.jsonl'} {complaint}")


@pytest.mark.parametrize(
    ("part", "error", "complaint"),
    [
        (picture("gone"), ImageError, r"gone\.png: no such file"),
        (clip("gone"), AudioError, r"gone\.wav: no such file"),
    ],
)
def test_missing_media_are_found_before_anything_is_asked(
    dataset: Path, part: dict[str, str], error: type[Exception], complaint: str
) -> None:
    write(dataset, GOOD, row("name", [part], "yes", accept=["yes"]))
    watcher = Watcher()
    with pytest.raises(error, match=complaint):
        score(dataset, watcher)
    assert watcher.asked == []


@pytest.mark.parametrize(
    ("content", "given", "complaint"),
    [
        (b"", {}, "has no questions"),
        (json.dumps(GOOD).encode(), {"kinds": ("fact", "name")}, "has no questions of kind fact, name"),
        (b"\xff\xff", {}, "is not UTF-8 text"),
    ],
)
def test_a_file_with_nothing_to_ask_is_named(
    dataset: Path, content: bytes, given: dict[str, Any], complaint: str
) -> None:
    (dataset / "dialogues.jsonl").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        score(dataset, Watcher(), **given)
    assert str(caught.value) == f"{dataset / 'dialogues.jsonl'} {complaint}"


def test_a_missing_file_is_named(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*dialogues\.jsonl: No such file"):
        score(dataset, Watcher())
