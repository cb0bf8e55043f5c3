"""The wordings: their split, their number, and how they are filled."""

from __future__ import annotations

import re
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import NUMBERS, counted, hasty, indefinite, of_split, read_wordings, some


def question_lists() -> dict[str, list[str]]:
    """Every list of question wordings by where it stands."""
    lists = {
        f"{source}.{topic}": wordings
        for source in ("picture_questions", "text_questions")
        for topic, wordings in read_wordings(source).items()
    }
    lists |= {f"about.{entry['questions'][0]}": entry["questions"] for entry in read_wordings("about")}
    unknown = read_wordings("out_of_world")
    return lists | {f"out_of_world.{key}": unknown[key] for key in ("templates", "fixed")}


def bare(wording: str) -> str:
    """A wording without what haste takes away and without the names of its slots."""
    return re.sub(r"\{\w+\}", "{}", wording).lower().rstrip(" =?.!")


def test_no_wording_of_the_test_split_is_asked_in_training() -> None:
    lists = question_lists().values()
    train = {bare(wording) for wordings in lists for wording in of_split(wordings, "train")}
    test = {bare(wording) for wordings in lists for wording in of_split(wordings, "test")}
    assert train & test == set()
    assert {"describe this", "what is this", "what do you see"} <= train


def test_every_question_has_at_least_twelve_wordings_and_every_answer_at_most_four() -> None:
    few = {key for key, wordings in question_lists().items() if len(set(wordings)) < 12}
    extra_forms = {"place_lives", "place_grows", "plus_digits", "minus_digits"}
    assert few == {f"text_questions.{form}" for form in extra_forms}
    assert max(len(wordings) for wordings in read_wordings("answers").values()) <= 4
    assert max(len(entry["answers"]) for entry in read_wordings("about")) <= 4


def test_words_are_plain_ascii_and_listed_once() -> None:
    unknown = read_wordings("out_of_world")
    for listed in (read_wordings("names"), *question_lists().values(), *unknown.values()):
        assert len(set(listed)) == len(listed)
        assert "".join(listed).isascii()


def test_a_hasty_question_loses_capitals_and_its_mark() -> None:
    assert {hasty("What is this?", Random(seed)) for seed in range(40)} == {
        "What is this?",
        "what is this?",
        "What is this",
        "what is this",
    }


def thing_called(name: str, article: str, plural: str) -> Thing:
    return Thing.model_validate(
        {
            "name": name,
            "article": article,
            "plural": plural,
            "icons": ["icon"],
            "category": "thing",
            "colours": ["red"],
            "place": "is here",
            "use": "does nothing",
            "facts": ["It is one.", "It is two."],
        }
    )


def test_articles_follow_the_sound_of_a_noun() -> None:
    nouns = ("cat", "apple", "hour glass", "unicorn", "umbrella", "one-way sign", "ukulele", "euro coin")
    articles = [indefinite(noun).split()[0] for noun in nouns]
    assert articles == ["a", "an", "an", "a", "an", "a", "a", "a"]


def test_things_are_counted_with_or_without_a_plural() -> None:
    cat = thing_called("cat", "a", "cats")
    sun = thing_called("sun", "the", "suns")
    milk = thing_called("milk", "", "glasses of milk")
    rain = thing_called("rain", "", "rain")
    assert [some(thing) for thing in (cat, sun, milk, rain)] == ["a cat", "a sun", "milk", "rain"]
    assert [counted(thing, 2) for thing in (cat, sun, milk, rain)] == [
        "two cats",
        "two suns",
        "two glasses of milk",
        "two pictures of rain",
    ]
    assert counted(cat, 1) == "one cat"
    assert NUMBERS[20] == "twenty"
