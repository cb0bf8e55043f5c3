"""Dialogues that change their subject: word for word, and for every seed true of what was said and shown before."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, Turn, shift_dialogue
from mmchat.world.phrasing import Split, answers
from mmchat.world.scenes import Scene
from mmchat.world.shift_talk import SUBJECT_WEIGHTS
from tests.world.small_world import BLANK, ONE, SOME, SUN, WORLD, holds_accepted, scene_of, transcripts

SCENES = (ONE, scene_of(SUN, background="red"))


def shifts(scenes: tuple[Scene, ...] = SCENES, split: Split = "train", count: int = 1_000) -> list[Dialogue]:
    return [shift_dialogue(scenes, WORLD, Random(seed), split) for seed in range(count)]


def exchanges(dialogue: Dialogue) -> list[tuple[Turn, Turn]]:
    turns = [turn for turn in dialogue.turns if turn.role != "system"]
    return list(zip(turns[::2], turns[1::2], strict=True))


@pytest.mark.usefixtures("first_wordings")
def test_word_for_word() -> None:
    ways = ("shift_words: plus", "shift_ask_name: my name", "shift_shown_before: first", "shift_look_again: background")
    assert (
        transcripts(lambda rng: shift_dialogue(SCENES, WORLD, rng, "train"), *ways)
        == """\
shift_words
> Who are you?
< I am mmchat, a small assistant that reads, sees and listens.
> Which number comes after ten?
< Eleven comes after ten.
> What is one plus four
< One plus four is five.
= five
shift_ask_name
> My name is Anna
< Hello Anna! It is nice to meet you.
> is a cat an animal?
< A cat is an animal. So is it an animal? Yes.
> what is my name
< Your name is Anna.
= Anna
shift_shown_before
> #0 is there a cat
< I see a cat. And a cat? Yes.
> What time is it?
< I don't know that. I know things like animals, food and tools.
> What is 10 - 9?
< Ten minus nine is one.
> #1 describe this
< This is the sun on a red background.
> And tell me about it.
< The sun is a star.
> What was in the first picture?
< It was a cat.
= cat | kitty
shift_look_again
> My name is Anna
< Hello Anna! It is nice to meet you.
> #0 What is this?
< This is a cat.
> What is a dog
< A dog is an animal.
> name an animal.
< A cat is an animal.
> Is a cat a kind of weather?
< A cat is an animal. So is it a kind of weather? No, it is not.
> What colour is the background
< The background is blue.
= blue
"""
    )


def test_every_subject_comes_last_and_its_answer_is_right() -> None:
    for split in ("train", "test"):
        for scenes in (SCENES, (SOME, ONE), (BLANK, SOME), ()):
            made = shifts(scenes, split)
            assert all(holds_accepted(dialogue) for dialogue in made)
            kinds = {dialogue.kind for dialogue in made}
            wanted = set(SUBJECT_WEIGHTS)
            if not scenes:
                wanted -= {"show", "look_again", "shown_before"}
            if scenes == (BLANK, SOME):
                wanted -= {"shown_before"}  # neither shows one thing
            assert kinds == {f"shift_{subject}" for subject in wanted}


def test_two_to_six_exchanges_follow_each_other() -> None:
    lengths = Counter(len(exchanges(dialogue)) for dialogue in shifts())
    assert set(lengths) == {2, 3, 4, 5, 6}


def test_a_name_is_told_once_and_known_from_then_on() -> None:
    unknown = {*answers("no_name")}
    for dialogue in shifts(count=400):
        said = [(asked.spoken, reply.text) for asked, reply in exchanges(dialogue)]
        if dialogue.kind != "shift_ask_name":
            continue
        before = " ".join(asked for asked, _ in said[:-1])
        (person,) = dialogue.accept
        assert (said[-1][1] in unknown) == (person == "I don't know")
        assert person == "I don't know" or person in before


def test_a_name_and_a_question_stand_in_one_message_now_and_then() -> None:
    both = 0
    hellos = [text.split("{")[0] for text in answers("greet_name", person="{")]
    for dialogue in shifts(count=400):
        for asked, reply in exchanges(dialogue):
            if any(reply.text.startswith(hello) for hello in hellos) and ("?" in asked.spoken):
                both += 1
                assert asked.spoken.count(" ") > 3
    assert both > 20


def test_pictures_are_shown_in_their_order_and_none_is_spoken_of_before() -> None:
    missing = {*answers("no_media")}
    for dialogue in shifts():
        shown = [number for asked, _ in exchanges(dialogue) for number in asked.pictures]
        assert shown == sorted(set(shown))
        assert set(shown) <= {0, 1}
        for number, (_, reply) in enumerate(exchanges(dialogue)):
            if reply.text in missing:
                assert not any(asked.pictures for asked, _ in exchanges(dialogue)[: number + 1])


@pytest.mark.usefixtures("first_wordings")
def test_what_was_shown_first_and_last_is_known() -> None:
    for dialogue in shifts():
        if dialogue.kind == "shift_shown_before":
            asked = dialogue.turns[-2].spoken
            shown = [number for turn in dialogue.turns for number in turn.pictures]
            first = len(shown) == 1 or "first" in asked
            assert dialogue.accept == SCENES[0 if first else 1].placed[0].thing.names


def test_a_name_told_at_the_end_is_not_spoken() -> None:
    """Nobody could tell from its sound how it is written."""
    for dialogue in shifts():
        if dialogue.kind == "shift_tell_name":
            assert not dialogue.speakable
