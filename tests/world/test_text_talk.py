"""What is asked and answered without a picture: word for word in the first wordings, then over many dialogues."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from random import Random

import pytest

from mmchat.world import text_talk
from mmchat.world.concepts import load_things
from mmchat.world.dialogues import Dialogue, text_dialogue
from mmchat.world.phrasing import NUMBERS, bare, direct, indirect, of_split, read_wordings
from mmchat.world.text_talk import CONFUSABLE
from tests.world.small_world import CAT, DOG, WORLD, transcripts


def told_transcripts(*wanted: str) -> str:
    return transcripts(lambda rng: text_dialogue(WORLD, rng, "train"), *wanted)


def told_dialogues(count: int) -> list[Dialogue]:
    return [text_dialogue(WORLD, Random(seed), "train") for seed in range(count)]


in_first_wordings = pytest.mark.usefixtures("first_wordings")


@in_first_wordings
def test_dialogues_about_things_word_for_word() -> None:
    topics = ("place", "use", "fact", "category", "part", "sound", "colour", "followup")
    ways = ("text_place: live", "text_place: grow", "is_a", "category_example")
    assert (
        told_transcripts(*(f"text_{topic}" for topic in topics), *ways)
        == """\
text_place
> Where is an apple found?
< An apple grows on trees.
= grows on trees
text_use
> what is an apple for?
< An apple is eaten raw.
= is eaten raw
text_fact
> Tell me about rain
< Rain is made of drops.
= Rain is made of drops | Rain makes people wet
text_category
> what is the sun?
< The sun is a thing in the sky.
= thing in the sky
text_part
> What parts does a cat have?
< A cat has whiskers.
= whiskers
text_sound
> What sound does a dog make?
< A dog barks.
= barks
text_colour
> What colour is an apple?
< An apple is often red, green or yellow.
= red | green | yellow
text_followup
> What is the sun for?
< The sun gives light.
> What kind of thing is it?
< The sun is a thing in the sky.
> Where does it live?
< The sun shines in the sky.
= shines in the sky
text_place
> Where does a cat live?
< A cat lives in homes and gardens.
= lives in homes and gardens
text_place
> where does an apple grow
< An apple grows on trees.
= grows on trees
is_a
> is a dog an animal?
< A dog is an animal. So is it an animal? Yes.
= yes
category_example
> Name an animal
< A cat is an animal.
= cat | dog
"""
    )


@in_first_wordings
def test_dialogues_with_people_word_for_word() -> None:
    assert (
        told_transcripts("greet", "thanks", "bye", "about", "remember_name", "no_name")
        == """\
greet
> hello.
< Hello! What do you want to know?
= hello
thanks
> Thank you.
< You are welcome!
= welcome
bye
> goodbye
< Goodbye!
= goodbye
about
> Who are you?
< I am mmchat, a small assistant that reads, sees and listens.
= mmchat
remember_name
> My name is Daimen
< Hello Daimen! It is nice to meet you.
> what is my name
< Your name is Daimen.
= Daimen
no_name
> What is my name?
< I don't know your name. Please tell me.
= I don't know
"""
    )


@in_first_wordings
def test_dialogues_about_numbers_word_for_word() -> None:
    sums = ("sum: plus", "sum: minus", "sum_digits: +", "sum_digits: -")
    assert (
        told_transcripts(*sums, "count_to", "next_number: after", "next_number: before")
        == """\
sum
> what is six plus zero
< Six plus zero is six.
= six
sum
> What is seven minus one
< Seven minus one is six.
= six
sum_digits
> What is 3 + 9?
< Three plus nine is twelve.
= twelve
sum_digits
> what is 6 - 0
< Six minus zero is six.
= six
count_to
> count to four
< One, two, three, four.
= one, two, three, four
next_number
> Which number comes after eight
< Nine comes after eight.
= nine
next_number
> which number comes before five?
< Four comes before five.
= four
"""
    )


@in_first_wordings
def test_dialogues_about_what_it_cannot_know_word_for_word() -> None:
    assert (
        told_transcripts("out_of_world", "no_media")
        == """\
out_of_world
> what is the capital of france
< I don't know that. I know things like animals, food and tools.
= I don't know
no_media
> what kind of thing is it
< I don't see a picture. Please show me one.
= don't see a picture | no picture
"""
    )


def test_sums_are_right() -> None:
    sums = [dialogue for dialogue in told_dialogues(1_500) if dialogue.kind == "sum"]
    assert len(sums) > 100
    for dialogue in sums:
        asked, (result,) = dialogue.turns[-2].spoken.lower(), dialogue.accept
        numbers = [NUMBERS.index(word) for word in re.findall(r"[a-z]+", asked) if word in NUMBERS]
        assert NUMBERS.index(result) in {each for a, b in combinations(numbers, 2) for each in (a + b, abs(a - b))}, (
            asked
        )
        assert dialogue.turns[-1].text.lower().count(result) >= 1


def test_the_next_number_is_one_away() -> None:
    after_or_before = {}
    for topic, step in (("count_after", 1), ("count_before", -1)):
        listed = read_wordings("text_questions")[topic]
        for wording in (*direct(listed, "text_questions", topic, "train"), *indirect("text_questions", topic)):
            for given in range(1, 20):
                after_or_before[bare(wording.format(a=NUMBERS[given]))] = NUMBERS[given + step]
    asked = [dialogue for dialogue in told_dialogues(1_500) if dialogue.kind == "next_number"]
    assert len(asked) > 10
    for dialogue in asked:
        assert dialogue.accept == (after_or_before[bare(dialogue.turns[-2].spoken)],)


def test_any_thing_of_the_category_is_an_example_of_it() -> None:
    examples = {dialogue.accept for dialogue in told_dialogues(3_000) if dialogue.kind == "category_example"}
    assert examples == {("cat", "dog"), ("apple",), ("rain",), ("sun",)}


def test_yes_and_no_are_balanced() -> None:
    """About 250 answers: a share of 0.4 is over three standard deviations away."""
    answers = Counter(dialogue.accept[0] for dialogue in told_dialogues(4_500) if dialogue.kind == "is_a")
    assert answers.total() > 200
    assert 0.4 < answers["yes"] / answers.total() < 0.6


def test_only_a_category_that_is_surely_wrong_is_denied() -> None:
    toys = (DOG.model_copy(update={"name": name, "category": "toy"}) for name in ("toy dog", "toy duck"))
    things = (CAT, *toys)  # an animal may be a toy
    for seed in range(400):
        dialogue = text_dialogue(things, Random(seed), "train")
        assert dialogue.kind != "is_a" or dialogue.accept == ("yes",)


def test_categories_that_may_be_confused_are_those_of_the_world() -> None:
    assert {category for group in CONFUSABLE for category in group} <= {thing.category for thing in load_things()}


def test_what_is_known_is_never_called_unknown() -> None:
    known = load_things()
    for seed in range(400):
        dialogue = text_dialogue(known, Random(seed), "train")
        if dialogue.kind == "out_of_world":
            told = re.fullmatch(r"what is (an? [\w' -]+)\?", dialogue.turns[-2].spoken, re.IGNORECASE)
            assert told is None or told[1].partition(" ")[2] not in {name for thing in known for name in thing.names}


def test_training_hears_names_that_no_list_holds_and_the_test_those_of_people() -> None:
    names = read_wordings("names")
    told = {
        split: {
            each.accept[0]
            for each in (text_dialogue(WORLD, Random(seed), split) for seed in range(6_000))
            if each.kind == "remember_name"
        }
        for split in ("train", "test")
    }
    assert told["test"] <= set(of_split(names, "test"))
    assert told["train"].isdisjoint(of_split(names, "test"))
    made_up = told["train"] - set(names)
    assert len(made_up) > 0.5 * len(told["train"]) > 100
    assert all(name.isalpha() and name == name.capitalize() for name in made_up)
    syllables = re.compile("".join(f"({'|'.join(each)})" for each in text_talk._NAME_SYLLABLES))
    of_syllables = {name for name in made_up if syllables.fullmatch(name.lower())}
    assert 0.3 < len(of_syllables) / len(made_up) < 0.7


def test_something_else_is_often_asked_before_the_name() -> None:
    turns = Counter(
        sum(turn.role == "user" for turn in each.turns)
        for each in (text_dialogue(WORLD, Random(seed), "train") for seed in range(3_000))
        if each.kind == "remember_name"
    )
    assert set(turns) == {2, 3}
    assert 0.3 < turns[3] / turns.total() < 0.7
