"""How exchanges become a dialogue: system prompts, short answers, haste, and which questions may be spoken."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, picture_dialogue, text_dialogue
from mmchat.world.phrasing import Split, of_split, read_wordings
from mmchat.world.talk import PLAIN_SYSTEM_SHARE, SHORT_SHARE, Exchange, continued, dialogue, statement, topics_of
from tests.world.small_world import CAT, PAIR, RAIN, SCENES, SUN, THREE, UNLIKE, WORLD, holds_accepted

GOODBYE = Exchange("See you?", "Goodbye!", ("goodbye",))
CAT_NAMED = Exchange("What is this?", "This is a cat.", ("cat", "kitty"), short="A cat.", pictures=(0,))
CAT_COUNTED = Exchange("How many are there?", "There is one cat.", ("one",), short="One.")


def talks(*exchanges: Exchange, count: int = 2_000, split: Split = "train") -> list[Dialogue]:
    return [dialogue("talk", exchanges, Random(seed), split) for seed in range(count)]


def prompt(talk: Dialogue) -> str:
    """The system prompt, "" where there is none."""
    return talk.turns[0].text if talk.turns[0].role == "system" else ""


def asked_for_short_answers(count: int) -> Iterator[Dialogue]:
    """Dialogues of all scenes and of words alone whose system prompt asks for short answers."""
    short = read_wordings("system")["short"]
    for seed in range(count):
        rng = Random(seed)
        made = [picture_dialogue(scene, WORLD, rng, "train") for scene in (*SCENES, PAIR, THREE, UNLIKE)]
        yield from (talk for talk in (*made, text_dialogue(WORLD, rng, "train")) if prompt(talk) in short)


def test_system_prompts_come_in_their_shares() -> None:
    """2,000 dialogues: 0.015 is over three standard deviations of either share."""
    prompts, found = read_wordings("system"), [prompt(talk) for talk in talks(CAT_NAMED)]
    for kind, share in (("short", SHORT_SHARE), ("plain", PLAIN_SYSTEM_SHARE)):
        assert sum(each in prompts[kind] for each in found) / len(found) == pytest.approx(share, abs=0.015)


def test_who_asks_for_short_answers_gets_them_in_every_turn() -> None:
    prompts = read_wordings("system")
    for talk in talks(CAT_NAMED, CAT_COUNTED):
        replies = [turn.text for turn in talk.turns if turn.role == "assistant"]
        short = prompt(talk) in prompts["short"]
        assert replies == (["A cat.", "One."] if short else ["This is a cat.", "There is one cat."])


def test_nobody_asks_for_a_short_answer_where_there_is_none() -> None:
    plain = {"", *read_wordings("system")["plain"]}
    assert {prompt(talk) for talk in talks(CAT_NAMED, GOODBYE)} <= plain


def test_system_prompts_are_split() -> None:
    prompts = [*read_wordings("system")["short"], *read_wordings("system")["plain"]]
    train, test = ({prompt(talk) for talk in talks(CAT_NAMED, split=split)} - {""} for split in ("train", "test"))
    assert train | test == set(prompts)
    assert train & test == set()
    assert test == {each for kind in ("short", "plain") for each in of_split(read_wordings("system")[kind], "test")}


def test_short_answers_are_short_and_right() -> None:
    kinds = set()
    for talk in asked_for_short_answers(120):
        kinds.add(talk.kind)
        words = talk.turns[-1].text.split()
        several = talk.kind in ("name_several", "position", "followup")  # such as "A cat, a dog and an apple."
        assert len(words) <= (9 if several else 4), talk
        assert holds_accepted(talk), talk
    assert {"name", "background", "count", "is_there", "position", "blank"} <= kinds


def test_a_question_keeps_its_proper_spelling_beside_what_was_typed_in_haste() -> None:
    typed = {talk.turns[-2].text for talk in talks(CAT_COUNTED, count=60)}
    assert typed == {"How many are there?", "how many are there?", "How many are there", "how many are there"}
    assert {talk.turns[-2].spoken for talk in talks(CAT_COUNTED, count=60)} == {"How many are there?"}


def test_haste_leaves_the_capitals_of_a_name() -> None:
    told = Exchange("My name is Ivy.", "Hello Ivy!", ("Ivy",), keep_capitals=True)
    assert {talk.turns[-2].text for talk in talks(told, count=60)} == {"My name is Ivy.", "My name is Ivy"}


def test_a_last_question_with_digits_is_not_speakable() -> None:
    digits = Exchange("What is 3 + 4?", "Three plus four is seven.", ("seven",))
    for exchanges, speakable in (((digits,), False), ((CAT_NAMED, digits), False), ((digits, CAT_NAMED), True)):
        assert all(talk.speakable is speakable for talk in talks(*exchanges, count=10))


def test_only_what_is_known_is_a_topic() -> None:
    assert topics_of(CAT) == ["place", "use", "fact", "category", "part", "sound", "colour"]
    assert topics_of(SUN) == ["place", "use", "fact", "category", "colour"]


def test_one_or_two_facts_are_told_and_any_of_them_is_right() -> None:
    told = {statement("fact", RAIN, Random(seed)) for seed in range(40)}
    first, second = RAIN.facts
    assert {text for text, _ in told} == {first, second, f"{first} {second}", f"{second} {first}"}
    assert {accept for _, accept in told} == {("Rain is made of drops", "Rain makes people wet")}


def test_a_question_that_follows_now_and_then_begins_with_and() -> None:
    following = [continued("What is it?", Random(seed)) for seed in range(200)]
    assert set(following) == {"What is it?", "And what is it?"}
    assert 25 < following.count("And what is it?") < 75
