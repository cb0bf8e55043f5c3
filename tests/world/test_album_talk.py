"""Dialogues about two pictures: word for word, and true of the scenes for every seed."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, album_dialogue, wants_alike
from mmchat.world.scenes import Scene
from tests.world.small_world import CAT, ONE, SUN, WORLD, holds_accepted, scene_of, transcripts

UNLIKE = (ONE, scene_of(SUN))
ALIKE = (ONE, scene_of(CAT, background="red"))
in_first_wordings = pytest.mark.usefixtures("first_wordings")


def albums(scenes: tuple[Scene, Scene] = UNLIKE, count: int = 400) -> list[Dialogue]:
    return [album_dialogue(scenes, WORLD, Random(seed), "train") for seed in range(count)]


def shown(dialogue: Dialogue) -> list[tuple[int, ...]]:
    return [turn.pictures for turn in dialogue.turns if turn.pictures]


@in_first_wordings
def test_two_pictures_compared_word_for_word() -> None:
    ways = ("compare: same", "compare: Which", "compare: What do", "compare: difference")
    assert (
        transcripts(lambda rng: album_dialogue(UNLIKE, WORLD, rng, "train"), *ways)
        == """\
compare
> #0 #1 do these two pictures show the same thing?
< The first picture shows a cat, the second the sun. The same? No.
= no
compare
> #0 #1 Which picture shows a sun?
< The second picture shows a sun.
= second
compare
> #0 #1 What do these pictures show?
< The first picture shows a cat and the second the sun.
= The first picture shows a cat and the second the sun
compare
> #0 #1 what is the difference between the two pictures?
< The first picture shows a cat and the second the sun.
= The first picture shows a cat and the second the sun
"""
    )


@in_first_wordings
def test_one_thing_twice_word_for_word() -> None:
    assert (
        transcripts(lambda rng: album_dialogue(ALIKE, WORLD, rng, "train"), "compare")
        == """\
compare
> #0 #1 do these two pictures show the same thing?
< The first picture shows a cat, the second a cat. The same? Yes.
= yes
"""
    )


@in_first_wordings
def test_an_earlier_picture_word_for_word() -> None:
    ways = ("earlier: first", "earlier: last", "earlier: before")
    assert (
        transcripts(lambda rng: album_dialogue(UNLIKE, WORLD, rng, "train"), *ways)
        == """\
earlier
> #0 What is this?
< This is a cat.
> #1 what is this
< This is the sun.
> What was in the first picture?
< It was a cat.
= cat | kitty
earlier
> #0 what is this
< This is a cat.
> #1 what is this?
< This is the sun.
> What was in the last picture?
< It was the sun.
= sun
earlier
> #0 What is this?
< This is a cat.
> What sound does a kitty make?
< A cat meows.
> what did i show you before
< It was a cat.
= cat | kitty
"""
    )


def test_one_thing_twice_is_always_called_the_same() -> None:
    assert {dialogue.accept for dialogue in albums(ALIKE)} == {("yes",)}


def test_the_picture_that_is_named_shows_the_thing_that_was_asked_for() -> None:
    seen = set()
    for dialogue in albums():
        if dialogue.accept in {("first",), ("second",)}:
            name = {"first": "cat", "second": "sun"}[dialogue.accept[0]]
            assert name in dialogue.turns[-2].spoken
            assert name in dialogue.turns[-1].text.lower() or dialogue.turns[-1].text == f"The {dialogue.accept[0]}."
            seen.add(name)
    assert seen == {"cat", "sun"}


def test_unlike_pictures_are_told_apart_in_the_order_in_which_they_are_shown() -> None:
    told = [dialogue.turns[-1].text for dialogue in albums() if len(dialogue.accept) > 1 and dialogue.kind == "compare"]
    assert len(told) > 50
    for text in told:
        assert text.index("a cat") < text.index("the sun")


def test_the_picture_that_was_shown_earlier_is_the_one_that_is_named() -> None:
    wanted = {1: ("cat", "kitty"), 2: ("sun",)}
    seen = set()
    for dialogue in albums():
        if dialogue.kind == "earlier":
            asked = dialogue.turns[-2].spoken
            pictures = shown(dialogue)
            assert pictures in ([(0,)], [(0,), (1,)])
            assert dialogue.accept in wanted.values()
            assert len(pictures) == 2 or dialogue.accept == wanted[1], asked
            seen.add((len(pictures), dialogue.accept))
    assert seen == {(2, wanted[1]), (2, wanted[2]), (1, wanted[1])}


def test_both_pictures_stand_in_one_question_or_one_after_the_other() -> None:
    for dialogue in albums():
        assert shown(dialogue) == [(0, 1)] or dialogue.kind == "earlier"
        assert holds_accepted(dialogue), dialogue


def test_whether_two_pictures_are_alike_is_answered_with_yes_about_as_often_as_with_no() -> None:
    rng = Random(0)
    answers = []
    for _ in range(3_000):
        scenes = ALIKE if wants_alike(rng) else UNLIKE
        answers += [each for each in album_dialogue(scenes, WORLD, rng, "train").accept if each in ("yes", "no")]
    assert 0.4 < answers.count("yes") / len(answers) < 0.6
