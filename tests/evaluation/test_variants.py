"""The same question without media, with other media, and typed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile

from mmchat.evaluation.tasks import Question, read_questions
from mmchat.evaluation.variants import Conversation, media_pool, typed, with_other_media, without_media
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.inputs.messages import TextPart
from tests.evaluation.watcher import clip, name_of, picture, row, words, write


def questions(dataset: Path, *rows: dict[str, Any]) -> list[Question]:
    write(dataset, *rows)
    return read_questions(dataset, "dialogues.jsonl")


def shown(conversation: Conversation | None) -> list[list[str]] | None:
    """Of each turn its texts, colours and pitches."""
    if conversation is None:
        return None
    return [
        [part.text if isinstance(part, TextPart) else name_of(part) for part in message.content]
        for message in conversation
    ]


def test_only_the_words_are_left(dataset: Path) -> None:
    (question,) = questions(
        dataset,
        row("both", [picture("red"), words("what"), clip("low"), words("?")], "A.", "sure?", "yes", accept=["yes"]),
    )
    assert shown(without_media(question)) == [["what", "?"], ["A."], ["sure?"]]


@pytest.mark.parametrize(
    "turns",
    [
        ("say yes", "yes"),
        ([picture("red")], "yes"),
        ([picture("red"), words(" ")], "yes"),
        ([clip("low")], "low", "say yes", "yes"),
    ],
    ids=["no media", "no words", "blank words", "an earlier turn without words"],
)
def test_nothing_to_take_away_or_nothing_left_is_not_asked(dataset: Path, turns: tuple[Any, ...]) -> None:
    (question,) = questions(dataset, row("name", *turns, accept=["yes"]))
    assert without_media(question) is None


def test_the_words_stay_and_each_picture_and_clip_becomes_another(dataset: Path) -> None:
    found = questions(
        dataset,
        row("both", [picture("red"), words("and"), clip("low")], "red low", accept=["red"]),
        row("both", [picture("blue"), words("with"), clip("high")], "blue high", accept=["blue"]),
    )
    pool = media_pool(found)
    exchanged = [shown(with_other_media(question, pool, Random(0))) for question in found]
    assert exchanged == [[["blue", "and", "high"]], [["red", "with", "low"]]]


def test_every_picture_is_exchanged_however_few_there_are_beside_the_clips(dataset: Path) -> None:
    """An other was once looked for among 32 of all media, so that few pictures among many clips were mostly kept."""
    rng = np.random.default_rng(0)
    rows = [row("name", [picture(name)], name, accept=[name]) for name in ("red", "blue")]
    for number in range(60):
        soundfile.write(dataset / f"{number}.wav", rng.uniform(-0.5, 0.5, 800), SAMPLE_RATE)
        rows.append(row("noise", [clip(str(number))], "high", accept=["high"]))
    found = questions(dataset, *rows)
    pool = media_pool(found)
    exchanged = [with_other_media(question, pool, Random(question.row)) for question in found]
    assert [shown(each) for each in exchanged[:2]] == [[["blue"]], [["red"]]]
    assert all(
        other is not None and other[0].media[0].digest != question.messages[0].media[0].digest
        for question, other in zip(found, exchanged, strict=True)
    )


@pytest.mark.parametrize("names", [["red"], ["red", "red"]])
def test_what_there_is_no_other_for_is_not_exchanged(dataset: Path, names: list[str]) -> None:
    found = questions(dataset, *(row("name", [picture(name)], name, accept=[name]) for name in names))
    assert [with_other_media(question, media_pool(found), Random(0)) for question in found] == [None] * len(names)


def test_text_alone_is_not_exchanged(dataset: Path) -> None:
    found = questions(dataset, *(row("echo", f"say {name}", name, accept=[name]) for name in ("yes", "no")))
    assert with_other_media(found[0], media_pool(found), Random(0)) is None


def test_every_clip_is_typed_in_its_place(dataset: Path) -> None:
    turns = ([clip("low")], "Hello.", [picture("red"), clip("high")], "yes")
    (question,) = questions(dataset, row("name", *turns, accept=["yes"], transcripts=["I am Ann", "who am I?"]))
    assert shown(typed(question)) == [["I am Ann"], ["Hello."], ["red", "who am I?"]]


@pytest.mark.parametrize(
    ("turns", "transcripts"),
    [
        (([clip("low")], "yes"), []),
        (([clip("low")], "yes"), [" "]),
        (([words("write this down:"), clip("low")], "yes"), ["a cat"]),
        (([clip("low")], "Hello.", "say yes", "yes"), ["I am Ann"]),
    ],
    ids=["no transcript", "no words in it", "a clip beside a typed question", "a typed question after a clip"],
)
def test_only_a_spoken_question_with_its_words_has_a_typed_twin(
    dataset: Path, turns: tuple[Any, ...], transcripts: list[str]
) -> None:
    (question,) = questions(dataset, row("name", *turns, accept=["yes"], transcripts=transcripts))
    assert typed(question) is None
