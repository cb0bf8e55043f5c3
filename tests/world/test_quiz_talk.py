"""Quizzes: word for word, true of the scene, and each question answered in a word or two."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, quiz_dialogue, quiz_layout
from mmchat.world.phrasing import Split, of_split, read_wordings
from tests.world.small_world import ONE, PAIR, SOME, WORLD, transcript

ALL_LAYOUTS = {"one", "same", "pair", "some", "blank"}


def quizzes(split: Split = "train", count: int = 100) -> list[Dialogue]:
    return [quiz_dialogue(scene, WORLD, Random(seed), split) for seed in range(count) for scene in (ONE, PAIR, SOME)]


@pytest.mark.usefixtures("first_wordings")
def test_word_for_word() -> None:
    assert (
        transcript(quiz_dialogue(PAIR, WORLD, Random(3), "train"))
        == """\
quiz
: Answer in one word.
> #0 What is to the left of the dog?
< A cat.
> what is to the right of the cat
< A dog.
> where is the dog?
< On the right.
> what is this
< A cat and a dog.
> is there rain
< No.
= no
"""
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_four_to_eight_different_questions_and_short_answers(split: Split) -> None:
    prompts = of_split(read_wordings("system")["short"], split)
    lengths = set()
    for dialogue in quizzes(split):
        system, *turns = dialogue.turns
        assert system.text in prompts
        questions = [turn.spoken for turn in turns[::2]]
        assert len(set(questions)) == len(questions)
        assert [turn.pictures for turn in turns[::2]] == [(0,), *[()] * (len(questions) - 1)]
        answers = [turn.text for turn in turns[1::2] if turn.text not in ("Yes.", "No.")]
        assert len(set(answers)) == len(answers)
        assert max(map(len, answers)) < 50
        lengths.add(len(questions))
    assert lengths == {4, 5, 6, 7, 8}


def test_one_question_is_never_answered_in_two_ways() -> None:
    told: dict[str, str] = {}
    for seed in range(200):
        _, *turns = quiz_dialogue(SOME, WORLD, Random(seed), "train").turns
        for asked, answered in zip(turns[::2], turns[1::2], strict=True):
            assert told.setdefault(asked.spoken, answered.text) == answered.text, asked.spoken


def test_every_layout_is_asked_about() -> None:
    assert {quiz_layout(Random(seed)) for seed in range(300)} == ALL_LAYOUTS
