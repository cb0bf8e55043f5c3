"""Dialogues about one of several pictures: word for word, and true of the scenes for every seed."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, series_dialogue
from mmchat.world.phrasing import Split
from tests.world.small_world import APPLE, CAT, SUN, WORLD, holds_accepted, scene_of, transcripts

SCENES = (scene_of(CAT), scene_of(SUN, background="red"), scene_of(APPLE, background="green"))


def series(split: Split = "train", count: int = 400) -> list[Dialogue]:
    return [series_dialogue(SCENES, WORLD, Random(seed), split) for seed in range(count)]


def shown(dialogue: Dialogue) -> list[tuple[int, ...]]:
    return [turn.pictures for turn in dialogue.turns if turn.role == "user"]


@pytest.mark.usefixtures("first_wordings")
def test_word_for_word() -> None:
    ways = ("one_of_two: What is in the first", "one_of_two: colour", "one_of_two: Is there a cat in the second")
    assert (
        transcripts(lambda rng: series_dialogue(SCENES, WORLD, rng, "train"), *ways, "latest: Where")
        == """\
one_of_two
> #0 #1 What is in the first picture?
< The first picture shows a cat.
= cat | kitty
one_of_two
> #0 #1 What colour is the background of the second picture?
< The background of the second picture is red.
= red
one_of_two
> #0 #1 is there a cat in the second picture?
< The second picture shows the sun. Is that a cat? No.
= no
latest
> #0 What is this?
< This is a cat.
> #2 Where does it live
< It is an apple. An apple grows on trees.
= grows on trees
"""
    )


def test_the_picture_that_is_asked_for_is_the_one_that_is_told() -> None:
    told = {"first": ("cat", "blue"), "second": ("sun", "red")}
    asked = set()
    for dialogue in series():
        if dialogue.kind == "one_of_two":
            assert shown(dialogue) == [(0, 1)]
            question = dialogue.turns[-2].spoken
            (ordinal,) = (each for each in told if each in question)
            if dialogue.accept[0] in ("yes", "no"):
                assert (told[ordinal][0] in question) == (dialogue.accept[0] == "yes"), question
                asked.add((ordinal, dialogue.accept[0]))
            else:
                assert dialogue.accept[0] in told[ordinal], question
                asked.add((ordinal, told[ordinal].index(dialogue.accept[0])))
    assert len(asked) == 8


def test_of_pictures_in_several_messages_the_latest_is_meant() -> None:
    latest = [dialogue for dialogue in series() if dialogue.kind == "latest"]
    assert {tuple(shown(dialogue)) for dialogue in latest} == {((0,), (2,)), ((0,), (1,), (2,))}
    names = [dialogue for dialogue in latest if dialogue.accept == APPLE.names]
    assert len(names) > 10
    assert {dialogue.accept for dialogue in latest}.isdisjoint({CAT.names, SUN.names})


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_answer_holds_what_is_accepted(split: Split) -> None:
    for dialogue in series(split):
        assert holds_accepted(dialogue), dialogue
