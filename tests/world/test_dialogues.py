"""Captions and documents word for word, and what holds for a dialogue of any kind."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, caption, documents
from mmchat.world.phrasing import Split
from mmchat.world.picture_talk import KIND_WEIGHTS as PICTURE_KINDS
from mmchat.world.scenes import Scene
from mmchat.world.talk import TOPICS
from mmchat.world.text_talk import KIND_WEIGHTS as TEXT_KINDS
from tests.world.small_world import (
    BLANK,
    CAT,
    COLUMN,
    ONE,
    PAIR,
    PHOTO,
    RAIN,
    SOME,
    THREE,
    WORLD,
    holds_accepted,
    many,
    scene_of,
)


@pytest.fixture(scope="module", params=["train", "test"])
def dialogues(request: pytest.FixtureRequest) -> list[Dialogue]:
    split: Split = request.param
    return list(many(1, split))


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
        (SOME, {"a cat, a dog and an apple", "a cat, a dog and an apple on a blue background"}),
        (PHOTO, {"a dog"}),
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
        assert about_the_cat.count(sentence) == 1
    assert sorted(texts) != sorted(documents(WORLD, Random(1)))


def test_every_last_turn_holds_an_accepted_phrase(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        assert dialogue.accept
        assert holds_accepted(dialogue), dialogue


def test_questions_and_answers_take_turns_after_at_most_one_system_prompt(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        roles = [turn.role for turn in dialogue.turns]
        assert roles[roles[0] == "system" :] == ["user", "assistant"] * (len(roles) // 2)


def test_every_scene_is_shown_once_and_only_by_the_user(dialogues: list[Dialogue]) -> None:
    text_kinds = {f"text_{kind}" if kind in (*TOPICS, "followup") else kind for kind in TEXT_KINDS}
    unseen = text_kinds | {"transcribe", "no_speech"}
    for dialogue in dialogues:
        shown = [number for turn in dialogue.turns for number in turn.pictures]
        assert shown == sorted(set(shown))
        assert bool(shown) is (dialogue.kind not in unseen)
        assert not any(turn.pictures for turn in dialogue.turns if turn.role != "user")
        assert len(shown) <= {"compare": 2, "earlier": 2, "one_of_two": 2, "latest": 3}.get(dialogue.kind, 1)


def test_every_turn_says_something_and_no_slot_stays_open(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            assert turn.text or turn.sound
            assert not any(mark in turn.text + turn.typed + turn.spoken for mark in ("{", "}", "  "))


def test_what_is_spoken_is_the_question_properly_spelt(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            assert bool(turn.spoken) is (turn.role == "user" and turn.sound is None)
            if turn.spoken:
                assert turn.spoken.lower().startswith(turn.text.lower())
                assert turn.spoken[0] == turn.spoken[0].upper()
                assert turn.spoken.endswith(("?", ".", "!")) or dialogue.kind == "sum_digits"


def test_only_digits_cannot_be_spoken(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        has_digit = any(character.isdigit() for character in dialogue.turns[-2].text)
        assert dialogue.speakable is not has_digit
        assert not has_digit or dialogue.kind in ("sum_digits", "out_of_world")


def test_training_and_test_share_no_question_about_a_picture() -> None:
    def first_questions(split: Split) -> set[str]:
        kinds = ("name", "describe", "background", "count", "compare", "earlier")
        found = (dialogue.turns[-2].spoken for dialogue in many(3, split, times=40) if dialogue.kind in kinds)
        return {question for question in found if "cat" not in question}

    assert len(first_questions("train")) > 60
    assert first_questions("train") & first_questions("test") == set()


def test_every_kind_occurs() -> None:
    text_kinds = {f"text_{kind}" if kind in (*TOPICS, "followup") else kind for kind in TEXT_KINDS}
    picture_kinds = {kind for layout, kinds in PICTURE_KINDS.items() if layout != "blank" for kind in kinds}
    others = {"blank", "describe_several", "name_several", "compare", "earlier", "one_of_two", "latest"}
    others |= {"transcribe", "no_speech"}
    assert {dialogue.kind for dialogue in many(2, times=500)} == text_kinds | picture_kinds | others


def test_the_same_seed_gives_the_same_words() -> None:
    assert list(many(6, times=20)) == list(many(6, times=20))
    assert list(many(6, times=20)) != list(many(7, times=20))
    assert list(documents(WORLD, Random(6))) == list(documents(WORLD, Random(6)))
