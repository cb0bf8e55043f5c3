"""What is asked and answered about one picture: word for word in the first wordings, then over many dialogues."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, picture_dialogue
from mmchat.world.picture_talk import bigger_and_smaller
from mmchat.world.scenes import Placed, Scene
from tests.world.small_world import (
    APPLE,
    BLANK,
    CAT,
    COLUMN,
    DOG,
    ONE,
    PAIR,
    PHOTO,
    SOME,
    SUN,
    THREE,
    UNLIKE,
    WORLD,
    scene_of,
    transcripts,
)


def seen_transcripts(scene: Scene, *wanted: str) -> str:
    return transcripts(lambda rng: picture_dialogue(scene, WORLD, rng, "train"), *wanted)


def seen_dialogues(scene: Scene, count: int) -> list[Dialogue]:
    return [picture_dialogue(scene, WORLD, Random(seed), "train") for seed in range(count)]


in_first_wordings = pytest.mark.usefixtures("first_wordings")


@in_first_wordings
def test_dialogues_of_one_thing_word_for_word() -> None:
    kinds = ("describe", "name", "background", "count: there", "count: dogs", "is_there", "is_this", "followup")
    topics = ("place", "use", "fact", "category", "part", "sound", "colour")
    assert (
        seen_transcripts(ONE, *kinds, *topics)
        == """\
describe
> #0 Describe this.
< This is a cat on a blue background. A cat sleeps for most of the day.
= cat | kitty
name
> #0 what is this?
< This is a cat.
= cat | kitty
background
> #0 What colour is the background?
< The background is blue.
= blue
count
> #0 How many are there?
< There is one cat.
= one
count
> #0 How many dogs are there?
< I see no dogs. I see a cat.
= no | none
is_there
> #0 is there a cat?
< I see a cat. And a cat? Yes.
= yes
is_this
> #0 Is this rain?
< This is a cat. So is it rain? No.
= no
followup
> #0 Describe this.
< This is a cat on a blue background.
> Where does it live?
< A cat lives in homes and gardens.
= lives in homes and gardens
place
> #0 Where does it live
< It is a cat. A cat lives in homes and gardens.
= lives in homes and gardens
use
> #0 What is it for?
< It is a cat. A cat catches mice.
= catches mice
fact
> #0 tell me about it
< It is a cat. A cat can see well in the dark. A cat sleeps for most of the day.
= A cat can see well in the dark | A cat sleeps for most of the day
category
> #0 what kind of thing is it?
< It is a cat. A cat is an animal.
= animal
part
> #0 What parts does it have?
< It is a cat. A cat has whiskers.
= whiskers
sound
> #0 What sound does it make?
< It is a cat. A cat meows.
= meows
colour
> #0 what colour is it?
< It is a cat. A cat is often grey or orange.
= grey | orange
"""
    )


@in_first_wordings
def test_dialogues_of_several_of_one_thing_word_for_word() -> None:
    assert (
        seen_transcripts(THREE, "describe", "name", "count", "is_there", "followup: How many")
        == """\
describe
> #0 describe this
< I see three cats on a blue background.
= cats | cat | kitty
name
> #0 what is this?
< I see three cats.
= cats | cat | kitty
count
> #0 How many are there?
< There are three cats.
= three
is_there
> #0 is there a dog
< I see three cats. And a dog? No.
= no
followup
> #0 Describe this.
< I see three cats on a blue background.
> how many are there?
< There are three cats.
= three
"""
    )


@in_first_wordings
def test_dialogues_of_a_pair_side_by_side_word_for_word() -> None:
    ways = ("position: What is on", "position: Where is", "position: What is to the left")
    assert (
        seen_transcripts(PAIR, "describe_several", "name_several", *ways, "count", "followup")
        == """\
describe_several
> #0 Describe this.
< I see a cat and a dog on a blue background. The cat is on the left and the dog is on the right.
= a cat and a dog | a dog and a cat
name_several
> #0 what is this
< I see a cat and a dog.
= a cat and a dog | a dog and a cat
position
> #0 what is on the right?
< A dog is on the right.
= dog
position
> #0 Where is the dog?
< The dog is on the right.
= on the right
position
> #0 what is to the left of the dog
< A cat is to the left of the dog.
= cat | kitty
count
> #0 How many are there?
< There are two things: a cat and a dog.
= two
followup
> #0 What is on the left
< A cat is on the left.
> Tell me about it.
< A cat sleeps for most of the day.
= A cat can see well in the dark | A cat sleeps for most of the day
"""
    )


@in_first_wordings
def test_dialogues_of_a_pair_one_above_the_other_word_for_word() -> None:
    ways = ("position: What is at", "position: Where is", "position: What is above")
    assert (
        seen_transcripts(COLUMN, "describe_several", *ways)
        == """\
describe_several
> #0 Describe this.
< I see the sun and a cat on an orange background. The sun is at the top and the cat is at the bottom.
= the sun and a cat | a cat and the sun
position
> #0 what is at the bottom?
< A cat is at the bottom.
= cat | kitty
position
> #0 Where is the cat?
< The cat is at the bottom.
= at the bottom
position
> #0 what is above the cat
< The sun is above the cat.
= sun
"""
    )


@in_first_wordings
def test_dialogues_of_a_pair_of_unlike_sizes_word_for_word() -> None:
    assert (
        seen_transcripts(UNLIKE, "size: bigger", "size: smaller")
        == """\
size
> #0 Which one is bigger?
< The dog is bigger.
= dog
size
> #0 which one is smaller?
< The cat is smaller.
= cat | kitty
"""
    )


@in_first_wordings
def test_dialogues_of_some_things_word_for_word() -> None:
    ways = ("position: What is", "position: Where is")
    assert (
        seen_transcripts(SOME, "describe_several", "name_several", *ways, "count", "followup")
        == """\
describe_several
> #0 Describe this.
< I see a cat, a dog and an apple on a blue background.
= a cat, a dog and an apple
name_several
> #0 what is this
< I see a cat, a dog and an apple.
= a cat, a dog and an apple
position
> #0 What is on the right?
< An apple is on the right.
= apple
position
> #0 Where is the apple
< The apple is on the right.
= on the right
count
> #0 How many are there?
< There are three things: a cat, a dog and an apple.
= three
followup
> #0 What is on the left
< A cat is on the left.
> Tell me about it.
< A cat sleeps for most of the day.
= A cat can see well in the dark | A cat sleeps for most of the day
"""
    )


@in_first_wordings
def test_dialogues_of_a_photograph_word_for_word() -> None:
    assert (
        seen_transcripts(PHOTO, "describe", "name", "is_this", "use")
        == """\
describe
> #0 Describe this.
< This is a photo of a dog. A dog has a very good nose.
= dog
name
> #0 what is this?
< This is a dog.
= dog
is_this
> #0 Is this a cat?
< This is a dog. So is it a cat? No.
= no
use
> #0 what is it for?
< It is a dog. A dog guards the house.
= guards the house
"""
    )


@in_first_wordings
def test_dialogues_of_nothing_word_for_word() -> None:
    assert (
        seen_transcripts(BLANK, "blank: How many", "blank: Describe", "blank: What colour")
        == """\
blank
> #0 how many are there?
< I see nothing but a blue background.
= nothing
blank
> #0 describe this
< I see nothing but a blue background.
= nothing
blank
> #0 what colour is the background
< The background is blue.
= blue
"""
    )


def test_what_is_asked_of_several_things_has_a_kind_of_its_own() -> None:
    assert {"name", "describe"} <= {dialogue.kind for dialogue in seen_dialogues(ONE, 200)}
    for scene in (PAIR, SOME):
        kinds = {dialogue.kind for dialogue in seen_dialogues(scene, 200)}
        assert {"name_several", "describe_several"} <= kinds
        assert kinds.isdisjoint({"name", "describe"})


def test_a_photograph_is_never_asked_for_its_background_or_for_a_number() -> None:
    kinds = {dialogue.kind for dialogue in seen_dialogues(PHOTO, 300)}
    assert kinds == {"describe", "name", "is_there", "is_this", "place", "use", "fact", "category"}


@pytest.mark.parametrize(("longer", "apart"), [(0.29, False), (0.31, True), (0.45, True)])
def test_one_thing_is_bigger_than_another_when_it_is_half_as_long_again(longer: float, apart: bool) -> None:
    small = Placed(CAT, "cat", "noto", 0.25, 0.5, 0.2)
    large = Placed(DOG, "dog", "noto", 0.75, 0.5, longer)
    for placed in ((small, large), (large, small)):
        pair = Scene(placed, "blue", "plain")
        assert bigger_and_smaller(pair) == ((large, small) if apart else None)
        assert any(dialogue.kind == "size" for dialogue in seen_dialogues(pair, 80)) is apart


def test_yes_and_no_are_balanced() -> None:
    """About 250 answers of each kind: a share of 0.4 is over three standard deviations away."""
    answers = Counter((dialogue.kind, dialogue.accept[0]) for dialogue in seen_dialogues(ONE, 4_000))
    for kind in ("is_there", "is_this"):
        assert answers[kind, "yes"] + answers[kind, "no"] > 200
        assert 0.4 < answers[kind, "yes"] / (answers[kind, "yes"] + answers[kind, "no"]) < 0.6, kind


@pytest.mark.parametrize(
    ("scene", "shown"), [(PAIR, ("cat", "kitty", "dog")), (SOME, ("cat", "kitty", "dog", "apple"))]
)
def test_what_is_absent_is_never_in_the_picture(scene: Scene, shown: tuple[str, ...]) -> None:
    denied = [dialogue for dialogue in seen_dialogues(scene, 500) if dialogue.accept == ("no",)]
    assert len(denied) > 20
    for dialogue in denied:
        asked = dialogue.turns[-2].spoken.lower()
        assert not any(name in asked for name in shown)


def test_an_absent_thing_is_often_of_the_kind_of_what_is_there() -> None:
    denied = [dialogue for dialogue in seen_dialogues(ONE, 1_000) if dialogue.accept == ("no",)]
    kin = sum("dog" in dialogue.turns[-2].spoken for dialogue in denied)
    assert 0.4 < kin / len(denied) < 0.85  # half, and one in four of the others by chance


def test_a_thing_without_sound_is_never_asked_for_its_sound() -> None:
    kinds = {dialogue.kind for dialogue in seen_dialogues(scene_of(SUN), 400)}
    assert kinds.isdisjoint({"sound", "part"})


def test_every_place_among_several_things_is_asked_for() -> None:
    answers = {dialogue.accept for dialogue in seen_dialogues(SOME, 400) if dialogue.kind == "position"}
    places = {("on the left",), ("in the middle",), ("on the right",)}
    assert answers == places | {thing.names for thing in (CAT, DOG, APPLE)}
