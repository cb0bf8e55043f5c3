"""The wordings: their split, their number, and how they are filled."""

from __future__ import annotations

import re
from random import Random

import pytest

from mmchat.world import phrasing
from mmchat.world.concepts import Thing, load_things
from mmchat.world.phrasing import (
    INDIRECT_SHARE,
    NUMBERS,
    TEST_STRIDE,
    Split,
    answer,
    answers,
    bare,
    counted,
    direct,
    hasty,
    indefinite,
    indirect,
    joined,
    more,
    of_split,
    question,
    read_wordings,
    some,
    words_of,
)

SOURCES = ("picture_questions", "text_questions", "about", "out_of_world")


def question_lists() -> dict[str, list[str]]:
    """Every list of question wordings by where it stands."""
    lists = {
        f"{source}.{topic}": wordings
        for source in ("picture_questions", "text_questions")
        for topic, wordings in read_wordings(source).items()
    }
    lists |= {f"about.{entry['questions'][0]}": entry["questions"] for entry in read_wordings("about")}
    lists |= {f"system.{kind}": prompts for kind, prompts in read_wordings("system").items()}
    unknown = read_wordings("out_of_world")
    return lists | {f"out_of_world.{key}": unknown[key] for key in ("templates", "fixed")}


def answer_lists() -> dict[str, list[str]]:
    """Every list of answer wordings by where it stands."""
    lists = {f"answers.{topic}": wordings for topic, wordings in read_wordings("answers").items()}
    return lists | {f"about.{entry['questions'][0]}": entry["answers"] for entry in read_wordings("about")}


@pytest.fixture
def few_wordings(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["Is the {name} big?", "{name}: how big?", "How big?", "big?", "What size has the {name}?"]
    wordings = {
        "few": {"size": sizes},
        "answers": {"size": ["The {name} is {word}.", "The {word} one is the {name}."]},
        "indirect": {"frames": [], "pairs": []},
    }
    monkeypatch.setattr(phrasing, "read_wordings", wordings.__getitem__)
    monkeypatch.setattr(phrasing, "more", lambda source, topic: ["So how big?"])


def test_no_wording_of_the_test_split_is_asked_in_training() -> None:
    lists = question_lists().values()
    train = {bare(wording) for wordings in lists for wording in of_split(wordings, "train")}
    test = {bare(wording) for wordings in lists for wording in of_split(wordings, "test")}
    assert train & test == set()
    assert {"describe this", "what is this", "what do you see"} <= train


def test_what_a_wording_asks_for_is_given() -> None:
    """A wording that a few draws miss would stop a build of hours."""
    words = set(words_of(load_things()[0]))
    numbers, position = {"a", "b", "A"}, {"side", "spot", "relation", "other", "name"}
    given = {
        **dict.fromkeys(("plus", "minus", "plus_digits", "minus_digits"), numbers),
        **{"count_to": {"b"}, "count_after": {"a"}, "count_before": {"a"}, "tell_name": {"person"}},
        **{"is_a": {*words, "other"}, "is_in_one": {"some", "ordinal"}},
        **{"are_there": {"several"}, "is_there_too": {"some", "Some"}, "position_all": set()},
        **dict.fromkeys(("one_of_two", "ground_of_one"), frozenset({"ordinal"})),
        "told": {"seen", "ground"},
    }
    for source in ("picture_questions", "text_questions"):
        for topic, wordings in read_wordings(source).items():
            for wording in (*wordings, *more(source, topic), *indirect(source, topic)):
                slots = set(re.findall(r"\{(\w+)\}", wording))
                assert slots <= given.get(topic, position if "position" in topic else words), wording


def indirect_topics() -> list[tuple[str, str]]:
    """Every source and topic that training asks about within another sentence."""
    known = read_wordings("indirect")
    return [("text_questions", topic) for topic in known["pairs"]] + [
        (source, topic) for source in SOURCES for topic in known[source]
    ]


def test_what_is_asked_within_a_sentence_is_a_topic_and_asked_in_many_ways() -> None:
    lists = question_lists()
    for source, topic in indirect_topics():
        assert f"{source}.{topic}" in lists
        assert len({bare(wording) for wording in indirect(source, topic)}) >= 100, topic


def test_nothing_within_a_sentence_is_a_wording_of_the_test_split() -> None:
    test = {bare(wording) for wordings in question_lists().values() for wording in of_split(wordings, "test")}
    assert "can you tell me where {} is found" in {bare(each) for each in indirect("text_questions", "place")}
    for source, topic in indirect_topics():
        assert {bare(wording) for wording in indirect(source, topic)}.isdisjoint(test), topic


def test_more_wordings_are_new_wordings_of_topics_and_none_is_of_the_test_split() -> None:
    lists = question_lists()
    test = {bare(wording) for wordings in lists.values() for wording in of_split(wordings, "test")}
    for source in SOURCES:
        for topic, wordings in read_wordings(f"more/{source}").items():
            assert f"{source}.{topic}" in lists or (source, topic) == ("out_of_world", "words")
            asked = {bare(wording) for wording in wordings}
            known = {bare(wording) for wording in lists.get(f"{source}.{topic}", ())}
            assert asked.isdisjoint(test | known), topic


def test_training_asks_within_a_sentence_and_the_test_does_not() -> None:
    listed = read_wordings("text_questions")["place"]
    within = set(indirect("text_questions", "place"))
    words = {"thing": "a cat", "plural": "cats"}
    shares: dict[Split, float] = {"train": INDIRECT_SHARE, "test": 0.0}
    for split, share in shares.items():
        asked = [question("place", "text_questions", Random(seed), split, **words) for seed in range(400)]
        plain = {wording.format(**words) for wording in direct(listed, "text_questions", "place", split)}
        others = [each for each in asked if each not in plain]
        assert len(others) / len(asked) == pytest.approx(share, abs=0.08)
        assert set(others) <= {wording.format(**words) for wording in within}


def test_what_is_asked_of_mmchat_is_not_asked_of_a_picture_too() -> None:
    """Without a picture it would have two answers."""
    pictures, about = read_wordings("picture_questions"), read_wordings("about")

    def all_ways(source: str, topic: str, listed: list[str]) -> set[str]:
        return {bare(each) for each in (*listed, *more(source, topic), *indirect(source, topic))}

    of_pictures = set().union(*(all_ways("picture_questions", topic, listed) for topic, listed in pictures.items()))
    of_mmchat = set().union(*(all_ways("about", entry["questions"][0], entry["questions"]) for entry in about))
    assert of_pictures & of_mmchat == set()


def test_every_question_has_at_least_twelve_wordings_in_training_and_one_in_the_test() -> None:
    for key, wordings in question_lists().items():
        assert len(set(of_split(wordings, "train"))) >= 12, key
        assert of_split(wordings, "test"), key


def test_every_answer_has_four_wordings() -> None:
    assert {key: len(set(wordings)) for key, wordings in answer_lists().items() if len(set(wordings)) != 4} == {}


def test_every_answer_about_mmchat_holds_an_accepted_phrase() -> None:
    for entry in read_wordings("about"):
        for wording in entry["answers"]:
            assert any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", wording, re.I) for phrase in entry["accept"])


def test_every_fifth_wording_is_for_the_test() -> None:
    assert TEST_STRIDE == 5
    assert of_split("abcdefghijk", "test") == ["e", "j"]
    assert of_split("abcdefghijk", "train") == list("abcdfghik")


def test_words_are_plain_ascii_and_listed_once() -> None:
    unknown = read_wordings("out_of_world")
    more_lists = [listed for source in SOURCES for listed in read_wordings(f"more/{source}").values()]
    lists = (*question_lists().values(), *answer_lists().values(), *unknown.values(), *more_lists)
    for listed in (read_wordings("names"), *lists):
        assert len(set(listed)) == len(listed)
        assert "".join(listed).isascii()


@pytest.mark.usefixtures("few_wordings")
def test_a_question_is_filled_and_begins_with_a_capital() -> None:
    asked = {question("size", "few", Random(seed), "train", name="cat") for seed in range(20)}
    assert asked == {"Is the cat big?", "Cat: how big?", "How big?", "Big?", "So how big?"}
    assert {question("size", "few", Random(seed), "test", name="cat") for seed in range(20)} == {
        "What size has the cat?"
    }


@pytest.mark.usefixtures("few_wordings")
def test_answers_are_all_the_wordings_that_an_answer_may_have() -> None:
    filled = answers("size", name="cat", word="bigger")
    assert filled == ["The cat is bigger.", "The bigger one is the cat."]
    assert {answer("size", Random(seed), name="cat", word="bigger") for seed in range(20)} == set(filled)


def test_items_are_joined_by_commas_and_a_last_word() -> None:
    assert [joined(list("abc")[:count], "or") for count in (1, 2, 3)] == ["a", "a or b", "a, b or c"]


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
