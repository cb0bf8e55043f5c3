"""What is asked and answered about a tiny fixed world, word for word, and what holds over many dialogues."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

import pytest

from mmchat.world.concepts import Thing
from mmchat.world.dialogues import Dialogue, caption, documents, echo_dialogue, picture_dialogue, text_dialogue
from mmchat.world.phrasing import Split
from mmchat.world.picture_talk import KIND_WEIGHTS as PICTURE_KINDS
from mmchat.world.scenes import Placed, Scene
from mmchat.world.text_talk import KIND_WEIGHTS as TEXT_KINDS


def make_thing(name: str, **fields: Any) -> Thing:
    given = {
        "name": name,
        "article": "a",
        "icons": [name],
        "facts": [f"Everybody likes the {name}.", f"The {name} is old."],
        **fields,
    }
    return Thing.model_validate(given)


CAT = make_thing(
    "cat",
    synonyms=["kitty"],
    category="animal",
    colours=["grey", "orange"],
    place="lives in homes and gardens",
    use="catches mice",
    part="whiskers",
    sound="meows",
    facts=["A cat can see well in the dark.", "A cat sleeps for most of the day."],
)
DOG = make_thing(
    "dog",
    category="animal",
    colours=["brown"],
    place="lives in homes",
    use="guards the house",
    part="a wet nose",
    sound="barks",
    facts=["A dog likes long walks.", "A dog has a very good nose."],
)
SUN = make_thing(
    "sun",
    article="the",
    category="thing in the sky",
    colours=["yellow"],
    place="shines in the sky",
    use="gives light",
    facts=["The sun is a star.", "The sun is very hot."],
)
RAIN = make_thing(
    "rain",
    plural="rain",
    article="",
    category="kind of weather",
    colours=["blue"],
    place="falls from clouds",
    use="makes plants grow",
    facts=["Rain is made of drops.", "Rain makes people wet."],
)
APPLE = make_thing(
    "apple",
    article="an",
    category="fruit",
    colours=["red", "green", "yellow"],
    place="grows on trees",
    use="is eaten raw",
    facts=["An apple is sweet.", "An apple has small seeds."],
)
WORLD = (APPLE, CAT, DOG, RAIN, SUN)


def scene_of(*things: Thing, background: str = "blue", upright: bool = False) -> Scene:
    """Things in a row from left to right, or from top to bottom."""
    places = [(0.5, 0.2 + 0.2 * i) if upright else (0.2 + 0.2 * i, 0.5) for i in range(len(things))]
    placed = (Placed(t, t.icons[0], "noto", x, y, 0.2) for t, (x, y) in zip(things, places, strict=True))
    return Scene(tuple(placed), background, "plain")


ONE, THREE, PAIR, BLANK = scene_of(CAT), scene_of(CAT, CAT, CAT), scene_of(CAT, DOG), scene_of()
COLUMN = scene_of(SUN, CAT, background="orange", upright=True)


def transcript(dialogue: Dialogue) -> str:
    """The kind; a line a turn (`>` user, `<` assistant, `#` the picture, typed text in brackets); what counts."""
    lines = [dialogue.kind]
    for turn in dialogue.turns:
        typed = f"[{turn.typed}] " if turn.typed else ""
        lines.append(f"{'>' if turn.role == 'user' else '<'} {'# ' if turn.picture else ''}{typed}{turn.text}")
    return "\n".join([*lines, f"= {' | '.join(dialogue.accept)}", ""])


def seen_transcripts(scene: Scene, *seeds: int) -> str:
    return "".join(transcript(picture_dialogue(scene, WORLD, Random(seed), "train")) for seed in seeds)


def told_transcripts(*seeds: int) -> str:
    return "".join(transcript(text_dialogue(WORLD, Random(seed), "train")) for seed in seeds)


def holds_accepted(dialogue: Dialogue) -> bool:
    last = dialogue.turns[-1].text.lower()
    return any(re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", last) for word in dialogue.accept)


def many(seed: int, split: Split = "train", count: int = 100) -> list[Dialogue]:
    rng = Random(seed)
    scenes = (ONE, THREE, PAIR, BLANK, COLUMN, scene_of(RAIN), scene_of(RAIN, RAIN), scene_of(SUN))
    found = []
    for _ in range(count):
        found += [picture_dialogue(scene, WORLD, rng, split) for scene in scenes]
        found += [text_dialogue(WORLD, rng, split), echo_dialogue(WORLD, rng, split)]
    return found


def test_dialogues_of_one_thing_word_for_word() -> None:
    assert (
        seen_transcripts(ONE, 3, 1, 7, 44, 9, 17, 24, 6, 0, 23, 2, 153, 5)
        == """\
name
> # Do you know what this is?
< I see a cat.
= cat | kitty
describe
> # describe the picture.
< I see a cat on a blue background. A cat sleeps for most of the day.
= cat | kitty
background
> # Which colour is the background
< It has a blue background.
= blue
count
> # How many things do you see?
< I see one cat.
= one
is_there
> # Do you see a cat?
< Yes, there is a cat in the picture.
= yes
is_this
> # Is that rain?
< No, it is not rain. It is a cat.
= no
place
> # Where do I find it?
< It is a cat. A cat lives in homes and gardens.
= lives in homes and gardens
use
> # What is this used for?
< This is a cat. A cat catches mice.
= catches mice
fact
> # tell me a fact about it
< This is a cat. A cat can see well in the dark. A cat sleeps for most of the day.
= A cat can see well in the dark | A cat sleeps for most of the day
category
> # What kind of thing is it
< It is a cat. A cat is an animal.
= animal
part
> # What does it have?
< It is a cat. A cat has whiskers.
= whiskers
colour
> # which colours does it have
< It is a cat. A cat is often grey or orange.
= grey | orange
followup
> # Describe the image.
< The picture shows a cat on a blue background.
> and what colour is behind it?
< The background is blue.
= blue
"""
    )


def test_dialogues_of_several_of_one_thing_word_for_word() -> None:
    assert (
        seen_transcripts(THREE, 1, 3, 5, 0, 2)
        == """\
describe
> # Describe the picture.
< The picture shows three cats on a blue background.
= cats | cat | kitty
name
> # Do you know what this is?
< I see three cats.
= cats | cat | kitty
count
> # tell me how many things there are
< There are three cats.
= three
is_there
> # tell me if there is a dog.
< No, I see no dog. I see three cats.
= no
followup
> # What is it?
< I see three cats.
> And tell me how many things there are.
< There are three cats.
= three
"""
    )


def test_dialogues_of_a_pair_word_for_word() -> None:
    assert (
        seen_transcripts(PAIR, 14, 1, 5, 9, 7, 0, 2)
        == """\
describe
> # describe the image
< I see a cat and a dog on a blue background. The cat is on the left and the dog is on the right.
= a cat and a dog | a dog and a cat
name
> # What is it?
< This is a cat and a dog.
= a cat and a dog | a dog and a cat
position
> # what is the position of the dog
< The dog is on the right.
= on the right
position
> # which thing is to the right of the cat
< A dog is to the right of the cat.
= dog
count
> # Tell me how many things there are.
< There are two things: a cat and a dog.
= two
is_there
> # is there rain
< No, I see no rain. I see a cat and a dog.
= no
followup
> # What do you see on the left
< A cat is on the left.
> What do you know about it
< A cat sleeps for most of the day.
= A cat can see well in the dark | A cat sleeps for most of the day
"""
    )


def test_dialogues_of_one_above_the_other_word_for_word() -> None:
    assert (
        seen_transcripts(COLUMN, 14, 5)
        == """\
describe
> # describe the image
< I see the sun and a cat on an orange background. The sun is at the top and the cat is at the bottom.
= the sun and a cat | a cat and the sun
position
> # what is the position of the cat
< The cat is at the bottom.
= at the bottom
"""
    )


def test_dialogues_of_nothing_word_for_word() -> None:
    assert (
        seen_transcripts(BLANK, 0, 1)
        == """\
blank
> # Count them.
< I see nothing but a blue background.
= nothing
blank
> # Describe the picture.
< There is nothing here but a blue background.
= nothing
"""
    )


def test_dialogues_about_things_word_for_word() -> None:
    assert (
        told_transcripts(31, 1, 3, 7, 16, 41, 9, 12, 10)
        == """\
text_place
> Where can I find an apple?
< An apple grows on trees.
= grows on trees
text_use
> what is an apple good for?
< An apple is eaten raw.
= is eaten raw
text_fact
> Tell me a fact about the sun
< The sun is very hot. The sun is a star.
= The sun is a star | The sun is very hot
text_category
> what is a cat
< A cat is an animal.
= animal
text_part
> What is a part of a dog?
< A dog has a wet nose.
= a wet nose
text_sound
> What sound comes from a cat
< A cat meows.
= meows
text_colour
> Which colours does a dog have?
< A dog is often brown.
= brown
is_a
> would you say that the sun is an animal
< No, the sun is not an animal. The sun is a thing in the sky.
= no
text_followup
> What is the usual colour of rain?
< Rain is often blue.
> where is this found
< Rain falls from clouds.
> what kind of thing is it
< Rain is a kind of weather.
= kind of weather
"""
    )


def test_dialogues_about_mmchat_people_and_numbers_word_for_word() -> None:
    assert (
        told_transcripts(5, 38, 27, 19, 2, 153, 20, 23, 128)
        == """\
greet
> nice to meet you
< Hello! Show me a picture or ask me about a thing.
= hello
thanks
> Great, thank you.
< You are welcome. I am glad to help.
= welcome
bye
> See you soon.
< Goodbye! See you next time.
= goodbye
about
> Are you online?
< I run on your own machine and need no internet.
= no internet
remember_name
> I am Ivy
< Hello Ivy! It is nice to meet you.
> Which sound does a cat make
< A cat meows.
> What did I say my name is?
< Your name is Ivy.
= Ivy
no_name
> Do you know my name?
< I don't know your name. Please tell me.
= I don't know
sum
> How much is ten plus two
< Ten plus two is twelve.
= twelve
sum_digits
> 4 + 1 = ?
< Four plus one is five.
= five
count_to
> count for me to five.
< One, two, three, four, five.
= one, two, three, four, five
"""
    )


def test_dialogues_about_what_it_cannot_know_word_for_word() -> None:
    assert (
        told_transcripts(0, 6, 24)
        == """\
out_of_world
> where is biology found
< Sorry, I don't know. I know a small world of things like dogs and cats.
= I don't know
out_of_world
> What does a daffum do
< Sorry, I don't know. I know a small world of things like cats and rain.
= I don't know
no_media
> What do you see?
< I don't see a picture. Please show me one.
= don't see a picture | no picture
"""
    )


def test_an_echo_quotes_what_is_spoken_and_keeps_the_wish_typed() -> None:
    dialogue = echo_dialogue(WORLD, Random(1), "train")
    assert (
        transcript(dialogue)
        == """\
transcribe
> [What was that?] An apple has small seeds.
< You said: "An apple has small seeds."
= An apple has small seeds
"""
    )
    assert dialogue.speakable


@pytest.mark.parametrize(
    ("scene", "captions"),
    [
        (ONE, {"a cat", "a cat on a blue background"}),
        (THREE, {"three cats", "three cats on a blue background"}),
        (
            PAIR,
            {
                "a cat and a dog",
                "a cat and a dog on a blue background",
                "a cat to the left of a dog",
                "a cat to the left of a dog on a blue background",
                "a dog to the right of a cat",
                "a dog to the right of a cat on a blue background",
            },
        ),
        (
            COLUMN,
            {
                "the sun and a cat",
                "the sun and a cat on an orange background",
                "the sun above a cat",
                "the sun above a cat on an orange background",
                "a cat below the sun",
                "a cat below the sun on an orange background",
            },
        ),
        (BLANK, {"nothing on a blue background"}),
        (scene_of(RAIN, RAIN), {"two pictures of rain", "two pictures of rain on a blue background"}),
    ],
)
def test_captions_say_what_is_in_the_scene(scene: Scene, captions: set[str]) -> None:
    assert {caption(scene, Random(seed)) for seed in range(80)} == captions


def test_documents_tell_everything_about_every_thing_once() -> None:
    texts = list(documents(WORLD, Random(0)))
    assert len(texts) == len(WORLD)
    (about_the_cat,) = (text for text in texts if "A cat is an animal." in text)
    for sentence in (
        "A cat is often grey or orange.",
        "A cat lives in homes and gardens.",
        "A cat catches mice.",
        "A cat has whiskers.",
        "A cat meows.",
        "Another word for cat is kitty.",
        *CAT.facts,
    ):
        assert sentence in about_the_cat
    assert sorted(texts) != sorted(documents(WORLD, Random(1)))


def test_every_answer_holds_an_accepted_word() -> None:
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        for dialogue in many(1, split):
            assert holds_accepted(dialogue), dialogue


def test_every_kind_occurs() -> None:
    kinds = {dialogue.kind for dialogue in many(2, count=700)}
    topics = {"place", "use", "fact", "category", "part", "sound", "colour", "followup"}
    text_kinds = {f"text_{kind}" if kind in topics else kind for kind in TEXT_KINDS}
    picture_kinds = {kind for layout, kinds in PICTURE_KINDS.items() if layout != "blank" for kind in kinds}
    assert kinds == text_kinds | picture_kinds | {"blank", "transcribe"}


def test_yes_and_no_are_balanced() -> None:
    rng = Random(3)
    dialogues = [picture_dialogue(ONE, WORLD, rng, "train") for _ in range(4000)]
    dialogues += [text_dialogue(WORLD, rng, "train") for _ in range(5000)]
    answers = Counter((dialogue.kind, dialogue.accept[0]) for dialogue in dialogues)
    for kind in ("is_there", "is_this", "is_a"):
        share = answers[kind, "yes"] / (answers[kind, "yes"] + answers[kind, "no"])
        assert 0.42 < share < 0.58, kind


def test_what_is_absent_is_never_in_the_picture() -> None:
    for seed in range(400):
        dialogue = picture_dialogue(PAIR, WORLD, Random(seed), "train")
        if dialogue.accept == ("no",):
            asked = dialogue.turns[0].text.lower()
            assert "cat" not in asked
            assert "dog" not in asked


def test_a_thing_without_sound_is_never_asked_for_its_sound() -> None:
    kinds = {picture_dialogue(scene_of(SUN), WORLD, Random(seed), "train").kind for seed in range(400)}
    assert kinds.isdisjoint({"sound", "part"})


def test_the_picture_stands_in_the_first_turn_alone_and_dialogues_end_with_an_answer() -> None:
    for dialogue in many(4):
        assert [turn.role for turn in dialogue.turns] == ["user", "assistant"] * (len(dialogue.turns) // 2)
        assert not any(turn.picture for turn in dialogue.turns[1:])


def test_only_digits_cannot_be_spoken() -> None:
    for dialogue in many(5):
        has_digit = any(character.isdigit() for character in dialogue.turns[-2].text)
        assert dialogue.speakable is not has_digit
        assert not has_digit or dialogue.kind in ("sum_digits", "out_of_world")


def test_what_is_spoken_is_the_question_properly_spelt() -> None:
    for dialogue in many(6):
        for turn in dialogue.turns:
            assert bool(turn.spoken) is (turn.role == "user")
            assert turn.spoken.lower().startswith(turn.text.lower()) or turn.role == "assistant"
            assert turn.spoken[:1] == turn.spoken[:1].upper()
            assert turn.spoken.endswith(("?", ".")) or dialogue.kind == "sum_digits" or not turn.spoken


def test_the_same_seed_gives_the_same_words() -> None:
    assert many(6, count=20) == many(6, count=20)
    assert many(6, count=20) != many(7, count=20)
    assert list(documents(WORLD, Random(6))) == list(documents(WORLD, Random(6)))
