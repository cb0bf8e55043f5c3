"""Scenes in words: all that is asked stands in them, and what is compared is as often there as not."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, told_dialogue, told_layout
from mmchat.world.phrasing import Split, of_split, read_wordings
from mmchat.world.scenes import Scene
from tests.world.small_world import ONE, PAIR, SOME, THREE, UNLIKE, WORLD, holds_accepted, transcript


def told(split: Split = "train", count: int = 100) -> list[Dialogue]:
    return [
        told_dialogue(scene, WORLD, Random(seed), split)
        for seed in range(count)
        for scene in (ONE, THREE, PAIR, UNLIKE, SOME)
    ]


@pytest.mark.usefixtures("first_wordings")
def test_word_for_word() -> None:
    assert (
        transcript(told_dialogue(SOME, WORLD, Random(23), "train"))
        == """\
told
> My picture shows a cat, a dog and an apple on a blue background. The cat is on the left, the dog is in the middle \
and the apple is on the right. Describe this.
< I see a cat, a dog and an apple on a blue background.
> is there a cat
< I see a cat, a dog and an apple. And a cat? Yes.
> Is there rain
< I see a cat, a dog and an apple. And rain? No.
= no
"""
    )


@pytest.mark.usefixtures("first_wordings")
def test_a_drill_in_turn_word_for_word() -> None:
    assert (
        transcript(told_dialogue(SOME, WORLD, Random(8), "train"))
        == """\
told
: Answer in one word.
> my picture shows a cat, a dog and an apple on a blue background. the cat is on the left, the dog is in the middle \
and the apple is on the right. where is the dog?
< In the middle.
> Where is the cat?
< On the left.
> and the apple
< On the right.
= on the right
"""
    )


@pytest.mark.usefixtures("first_wordings")
@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (ONE, "My picture shows a cat on a blue background. "),
        (THREE, "My picture shows three cats on a blue background. "),
        (
            UNLIKE,
            "My picture shows a cat and a dog on a green background. The cat is on the left and the dog is on the "
            "right. The dog is bigger. ",
        ),
    ],
)
def test_what_there_is_stands_before_the_first_question(scene: Scene, words: str) -> None:
    for seed in range(20):
        turns = [turn for turn in told_dialogue(scene, WORLD, Random(seed), "train").turns if turn.role == "user"]
        assert [turn.spoken.startswith(words) for turn in turns] == [True, *[False] * (len(turns) - 1)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_some_questions_are_answered_and_nothing_is_shown(split: Split) -> None:
    lengths = set()
    for dialogue in told(split):
        assert dialogue.kind == "told"
        assert holds_accepted(dialogue)
        assert not any(turn.pictures or turn.typed or turn.sound for turn in dialogue.turns)
        questions = [turn for turn in dialogue.turns if turn.role == "user"]
        lengths.add(len(questions))
    assert lengths == {1, 2, 3, 4, 5}  # of so small a world no more than two things are absent beside three


def test_most_questions_compare_and_are_answered_with_yes_as_often_as_with_no() -> None:
    first = Counter(dialogue.accept[0] for dialogue in told(count=200))
    assert first["yes"] + first["no"] > 0.5 * first.total()
    assert 0.4 < first["yes"] / (first["yes"] + first["no"]) < 0.6


def test_splits_tell_in_other_words() -> None:
    wordings = read_wordings("text_questions")["told"]
    openings = {split: {wording.split("{")[0] for wording in of_split(wordings, split)} for split in ("train", "test")}
    assert openings["train"].isdisjoint(openings["test"])
    for split in ("train", "test"):
        for dialogue in told(split, 20):
            said = next(turn.spoken for turn in dialogue.turns if turn.role == "user")
            assert any(said.startswith(opening) for opening in openings[split]), said


def test_every_layout_but_blank_is_told() -> None:
    assert {told_layout(Random(seed)) for seed in range(100)} == {"one", "same", "pair", "some"}
