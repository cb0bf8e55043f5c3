"""Quizzes: word for word, true of the scene, each question answered in a word or two; and drills at once."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, quiz_dialogue, quiz_layout
from mmchat.world.phrasing import Split, of_split, read_wordings
from tests.world.small_world import ONE, PAIR, SOME, WORLD, transcript

ALL_LAYOUTS = {"one", "same", "pair", "some", "blank"}


def quizzes(split: Split = "train", count: int = 150) -> list[Dialogue]:
    """Those of many questions; others ask the same of several things at once."""
    dialogues = (
        quiz_dialogue(scene, WORLD, Random(seed), split) for seed in range(count) for scene in (ONE, PAIR, SOME)
    )
    return [dialogue for dialogue in dialogues if dialogue.kind == "quiz"]


@pytest.mark.usefixtures("first_wordings")
def test_word_for_word() -> None:
    assert (
        transcript(quiz_dialogue(PAIR, WORLD, Random(5), "train"))
        == """\
quiz
: Answer in one word.
> #0 Is there a sun?
< No.
> Is there a cat?
< Yes.
> how many are there
< Two.
> where is the cat
< On the left.
> What colour is the background?
< Blue.
> is there a dog
< Yes.
= yes
"""
    )


@pytest.mark.usefixtures("first_wordings")
def test_a_drill_at_once_word_for_word() -> None:
    assert (
        transcript(quiz_dialogue(PAIR, WORLD, Random(28), "train"))
        == """\
are_there
> #0 Is there an apple, a dog or a cat?
< I see a cat and a dog. And an apple? No. And a dog? Yes. And a cat? Yes.
= And an apple? No. And a dog? Yes. And a cat? Yes
"""
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_up_to_eight_different_questions_and_short_answers(split: Split) -> None:
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
        assert max(map(len, answers), default=0) < 50
        lengths.add(len(questions))
    assert lengths == {2, 3, 4, 5, 6, 7, 8}  # two about a cat alone: is it there, and is something else


def test_one_question_is_never_answered_in_two_ways() -> None:
    told: dict[str, str] = {}
    for seed in range(200):
        dialogue = quiz_dialogue(SOME, WORLD, Random(seed), "train")
        turns = dialogue.turns[1:] if dialogue.kind == "quiz" else ()
        for asked, answered in zip(turns[::2], turns[1::2], strict=True):
            assert told.setdefault(asked.spoken, answered.text) == answered.text, asked.spoken


def test_every_layout_is_asked_about() -> None:
    assert {quiz_layout(Random(seed)) for seed in range(300)} == ALL_LAYOUTS
