"""Reading the questions of a dataset."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmchat.errors import AudioError, DatasetError, ImageError
from mmchat.evaluation.tasks import Question, read_questions, spread
from mmchat.inputs.messages import Message
from tests.evaluation.watcher import clip, picture, row, words, write

FILE = "dialogues.jsonl"


def test_a_row_is_read_whole(dataset: Path) -> None:
    reference = [words("It is "), words("red.")]
    write(
        dataset,
        "",
        row("name", "hi", "hello", [words("and?"), clip("low")], reference, accept=["red", "scarlet"], style="noto",
            transcripts=["what colour?"]),
    )  # fmt: skip
    (question,) = read_questions(dataset, FILE)
    assert question == Question(
        row=2,
        kind="name",
        label="name, spoken",
        messages=question.messages,
        reference="It is red.",
        accept=("red", "scarlet"),
        commonest="red",
        style="noto",
        transcripts=("what colour?",),
    )
    assert question.messages[:2] == (Message.user("hi"), Message.assistant("hello"))
    assert [message.role for message in question.messages] == ["user", "assistant", "user"]
    assert [part.name for part in question.messages[2].media] == ["low.wav"]


def test_style_and_transcripts_may_be_missing(dataset: Path) -> None:
    write(dataset, row("echo", "say yes", "yes", accept=["yes"]))
    (question,) = read_questions(dataset, FILE)
    assert (question.style, question.transcripts, question.label) == (None, (), "echo")


def test_a_question_is_spoken_when_its_last_turn_is(dataset: Path) -> None:
    """A clip in an earlier turn does not make it a spoken one."""
    write(
        dataset,
        row("pitch", [clip("high")], "high", accept=["high"]),
        row("pitch", [clip("low")], "low", "say low", "low", accept=["low"]),
    )
    assert {question.row: question.label for question in read_questions(dataset, FILE)} == {
        1: "pitch, spoken",
        2: "pitch",
    }


def test_kinds_are_chosen_and_rows_without_accepted_words_left_out(dataset: Path) -> None:
    write(
        dataset,
        row("a", "1", "yes", accept=["yes"]),
        row("b", "2", "yes", accept=["yes"]),
        row("c", "3", "yes", accept=["yes"]),
        row("c", "4", "yes", accept=[]),
    )
    assert [question.row for question in read_questions(dataset, FILE)] == [1, 2, 3]
    assert [question.row for question in read_questions(dataset, FILE, kinds=("c", "a"))] == [1, 3]


def test_the_limit_is_of_each_kind_and_of_typed_and_spoken_apart(dataset: Path) -> None:
    rows = [row(kind, content, "yes", accept=["yes"]) for kind in "ab" for content in ("say yes", [clip("low")]) * 5]
    write(dataset, *rows)
    labels = Counter(question.label for question in read_questions(dataset, FILE, limit=2))
    assert labels == {"a": 2, "a, spoken": 2, "b": 2, "b, spoken": 2}


def test_the_commonest_answer_is_that_of_all_rows_and_not_of_the_sample(dataset: Path) -> None:
    write(
        dataset, *(row("is_it", f"{number}?", word, accept=[word]) for number, word in enumerate(["no"] + ["yes"] * 9))
    )
    commonest = [{question.commonest for question in read_questions(dataset, FILE, limit=limit)} for limit in (1, None)]
    assert commonest == [{"yes"}, {"yes"}]


def test_a_sample_is_spread_over_the_file_and_the_same_every_time() -> None:
    rows = range(1000)
    sample = spread(rows, 10, seed="name")
    assert [each // 100 for each in sample] == [*range(10)]
    assert sample == spread(rows, 10, seed="name")


def test_a_sample_takes_from_both_halves_of_rows_that_come_in_pairs() -> None:
    """Every hundredth row would be an even one, however many there are."""
    evens = sum(each % 2 == 0 for each in spread(range(6400), 64, seed="name"))
    assert 16 < evens < 48


@pytest.mark.parametrize("limit", [None, 3, 4])
def test_a_limit_that_is_not_reached_takes_all(limit: int | None) -> None:
    assert spread("abc", limit, seed="name") == ["a", "b", "c"]


def test_every_row_can_be_drawn() -> None:
    assert {each for seed in range(200) for each in spread(range(7), 3, seed=str(seed))} == set(range(7))


def test_only_the_media_of_the_sample_is_read(dataset: Path) -> None:
    write(
        dataset,
        *(row("name", [picture("gone")], "red", accept=["red"]) for _ in range(3)),
        row("b", "?", "x", accept=["x"]),
    )
    assert [question.row for question in read_questions(dataset, FILE, kinds=("b",))] == [4]


GOOD = row("echo", "say yes", "yes", accept=["yes"])
MALFORMED = 'line 2 is no row with a "kind", "messages" that end with the assistant\'s, and a list "accept"'
OPTIONAL = 'line 2: "style" must be a text, "transcripts" a list of texts'


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
        ({**GOOD, "accept": ["yes", " "]}, MALFORMED),
        ({**GOOD, "messages": []}, MALFORMED),
        ({**GOOD, "messages": "yes"}, MALFORMED),
        ({**GOOD, "messages": GOOD["messages"][:1]}, MALFORMED),
        ({**GOOD, "messages": ["say yes", GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": [{"content": "say yes"}, GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": [{"role": "user"}, GOOD["messages"][1]]}, MALFORMED),
        ({**GOOD, "messages": GOOD["messages"][1:]}, "line 2 has an answer and no question"),
        ({**GOOD, "style": 3}, OPTIONAL),
        ({**GOOD, "transcripts": "yes"}, OPTIONAL),
        ({**GOOD, "transcripts": [None]}, OPTIONAL),
        ({**GOOD, "transcripts": ["yes"]}, "line 2 has 1 transcripts of 0 clips"),
        (row("echo", [{"type": "film"}], "yes", accept=["yes"]), "line 2: unknown content part 'film'"),
        (row("echo", ["say yes"], "yes", accept=["yes"]), "line 2: unknown content part None"),
        (row("echo", " ", "yes", accept=["yes"]), "line 2: the user message is empty"),
        (row("echo", "say yes", " ", accept=["yes"]), "line 2: the assistant message is empty"),
        (row("echo", "say yes", [picture("red")], accept=["yes"]), "line 2 has an answer without words"),
        (row("echo", [picture("../up")], "yes", accept=["yes"]), "line 2: ../up.png leaves the dataset folder"),
    ],
)
def test_a_malformed_row_is_named(dataset: Path, bad: dict[str, Any] | str, complaint: str) -> None:
    write(dataset, GOOD, bad)
    with pytest.raises(DatasetError) as caught:
        read_questions(dataset, FILE)
    assert str(caught.value).startswith(f"{dataset / FILE} {complaint}")


@pytest.mark.parametrize(
    ("part", "error", "complaint"),
    [
        (picture("gone"), ImageError, r"gone\.png: no such file"),
        (clip("gone"), AudioError, r"gone\.wav: no such file"),
    ],
)
def test_missing_media_are_named(dataset: Path, part: dict[str, str], error: type[Exception], complaint: str) -> None:
    write(dataset, GOOD, row("name", [part], "yes", accept=["yes"]))
    with pytest.raises(error, match=complaint):
        read_questions(dataset, FILE)


@pytest.mark.parametrize(
    ("content", "kinds", "complaint"),
    [
        (b"", (), "has no questions"),
        (json.dumps(GOOD).encode(), ("fact", "name"), "has no questions of kind fact, name"),
        (json.dumps({**GOOD, "accept": []}).encode(), (), "has no questions"),
        (b"\xff\xff", (), "is not UTF-8 text"),
    ],
)
def test_a_file_with_nothing_to_ask_is_named(
    dataset: Path, content: bytes, kinds: tuple[str, ...], complaint: str
) -> None:
    (dataset / FILE).write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        read_questions(dataset, FILE, kinds)
    assert str(caught.value) == f"{dataset / FILE} {complaint}"


def test_a_missing_file_is_named(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*dialogues\.jsonl: No such file"):
        read_questions(dataset, FILE)
