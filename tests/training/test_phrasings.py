"""What was typed, in a few words fewer or more: what it asks for stays."""

from __future__ import annotations

import random

import pytest

from mmchat.training.phrasings import typed_anew


def drawn(text: str, answers: str = "", times: int = 400) -> set[str]:
    rng = random.Random(0)
    return {typed_anew(text, answers, rng) for _ in range(times)}


def test_half_of_all_texts_stay_as_they_are() -> None:
    rng = random.Random(0)
    same = sum(
        typed_anew("Where is the cat of the house?", "", rng) == "Where is the cat of the house?" for _ in range(2000)
    )
    assert 1000 <= same < 1300


def test_little_words_alone_are_left_out_and_at_most_two() -> None:
    asked = "Can you tell me what the colour of the cat is"
    left = {text for text in drawn(asked) if len(text.split()) < len(asked.split())}
    assert "Can you tell what the colour of cat is" in left
    for text in left:
        assert text.startswith("Can you tell") or text[0].islower()
        assert {"what", "colour", "cat", "is"} <= set(text.split())
    assert min(len(text.split()) for text in left) == len(asked.split()) - 2


def test_a_word_of_courtesy_comes_before_or_behind() -> None:
    found = drawn("Name the bird.", times=2000)
    assert {"please name the bird.", "Name the bird please", "hey name bird.", "Name bird."} <= found
    assert "um I see a bird" in drawn("I see a bird", times=2000)


@pytest.mark.parametrize("word", ["cat", "Where?", "the"])
def test_a_word_alone_is_not_left_out(word: str) -> None:
    assert all(word.lower().rstrip("?") in text.lower() for text in drawn(word))


@pytest.mark.parametrize("blank", ["", "  "])
def test_to_nothing_typed_nothing_is_added(blank: str) -> None:
    assert drawn(blank) == {blank}


def test_what_the_answer_quotes_stays() -> None:
    typed = "The sun is hot. Say that again"
    assert drawn(typed, 'You said: "The sun is hot."') == {typed}
    assert len(drawn(typed, "The sun!")) > 5, "two words are no quotation"


def test_the_same_randomness_phrases_the_same() -> None:
    once, again = (
        [typed_anew("What is on the left of the dog?", "", random.Random(seed)) for seed in range(9)] for _ in "12"
    )
    assert once == again
    assert len(set(once)) > 2
