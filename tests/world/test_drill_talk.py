"""Drills: word for word, true of the scene, and of what is asked for about half is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest

from mmchat.world.drill_talk import drill_at_once, drill_in_turn
from mmchat.world.phrasing import Split
from mmchat.world.scenes import Scene
from mmchat.world.talk import Exchange
from tests.world.small_world import COLUMN, ONE, PAIR, SOME, THREE, WORLD, holds_phrase

SHOWN = {
    ONE: ("a cat",),
    THREE: ("a cat",),
    PAIR: ("a cat", "a dog"),
    SOME: ("a cat", "a dog", "an apple"),
}
PLACES = {
    PAIR: {"cat": "on the left", "dog": "on the right"},
    COLUMN: {"sun": "at the top", "cat": "at the bottom"},
    SOME: {"cat": "on the left", "dog": "in the middle", "apple": "on the right"},
}
MOST = 6
in_first_wordings = pytest.mark.usefixtures("first_wordings")


def at_once(scene: Scene, kind: str, split: Split = "train") -> Iterator[Exchange]:
    for seed in range(60):
        drawn, exchange = drill_at_once(scene, WORLD, Random(seed), split, MOST)
        if drawn == kind:
            yield exchange


def in_turn(scene: Scene, wanted: Callable[[Exchange], bool], split: Split = "train") -> Iterator[list[Exchange]]:
    """Those drills whose first exchange is as wanted."""
    for seed in range(60):
        exchanges = drill_in_turn(scene, WORLD, Random(seed), split, MOST)
        if wanted(exchanges[0]):
            yield exchanges


def checks(exchange: Exchange) -> bool:
    return exchange.short in ("Yes.", "No.")


def asks_for_a_thing(exchange: Exchange) -> bool:
    return any(exchange.accept == (place,) for places in PLACES.values() for place in places.values())


def asks_for_a_place(exchange: Exchange) -> bool:
    return not checks(exchange) and not asks_for_a_thing(exchange)


def told(exchanges: list[Exchange]) -> list[str]:
    return [f"{exchange.question} {exchange.short}" for exchange in exchanges]


@in_first_wordings
def test_at_once_word_for_word() -> None:
    exchange = next(at_once(SOME, "are_there"))
    assert exchange.question == "Is there a cat, an apple, a dog, a sun or rain?"
    assert exchange.answer == (
        "I see a cat, a dog and an apple. "
        "And a cat? Yes. And an apple? Yes. And a dog? Yes. And a sun? No. And rain? No."
    )
    exchange = next(at_once(SOME, "position_all"))
    assert exchange.question == "Where is everything?"
    assert exchange.answer == "The cat is on the left, the dog is in the middle and the apple is on the right."


@in_first_wordings
def test_in_turn_word_for_word() -> None:
    assert told(next(in_turn(PAIR, checks))) == [
        "Is there a cat? Yes.",
        "Is there a dog? Yes.",
        "Is there an apple? No.",
        "And rain? No.",
    ]
    assert told(next(in_turn(COLUMN, asks_for_a_thing))) == [
        "Where is the cat? At the bottom.",
        "Where is the sun? At the top.",
    ]
    assert told(next(in_turn(SOME, asks_for_a_place))) == [
        "What is on the right? An apple.",
        "What is in the middle? A dog.",
        "And on the left? A cat.",
    ]


@pytest.mark.parametrize("split", ["train", "test"])
def test_at_once_says_of_each_thing_whether_it_is_there(split: Split) -> None:
    lengths = set()
    for scene, shown in SHOWN.items():
        for exchange in at_once(scene, "are_there", split):
            assert holds_phrase(exchange.answer, exchange.accept)
            checked = exchange.answer.split(" And ")[1:]
            lengths.add(len(checked))
            for part in checked:
                thing, said = part.split("? ")
                assert thing in exchange.question
                assert said == ("Yes." if thing in shown else "No.")
    assert lengths == {2, 3, 4, 5}


@pytest.mark.parametrize("split", ["train", "test"])
def test_in_turn_asks_whether_each_thing_is_there(split: Split) -> None:
    lengths = set()
    for scene, shown in SHOWN.items():
        for exchanges in in_turn(scene, checks, split):
            lengths.add(len(exchanges))
            for exchange in exchanges:
                there = any(holds_phrase(exchange.question, (thing,)) for thing in shown)
                assert exchange.short == ("Yes." if there else "No.")
                assert exchange.accept == ("yes" if there else "no",)
            assert sum(exchange.short == "Yes." for exchange in exchanges) == len(shown)
    assert lengths == {2, 3, 4, 5}


@pytest.mark.parametrize("split", ["train", "test"])
def test_at_once_says_of_each_thing_where_it_is(split: Split) -> None:
    for scene, places in PLACES.items():
        exchanges = list(at_once(scene, "position_all", split))
        assert exchanges
        for exchange in exchanges:
            assert holds_phrase(exchange.answer, exchange.accept)
            for name, place in places.items():
                assert holds_phrase(exchange.answer, (f"the {name} is {place}",))


@pytest.mark.parametrize("split", ["train", "test"])
def test_in_turn_asks_for_each_thing_or_for_each_place(split: Split) -> None:
    for scene, places in PLACES.items():
        for exchanges in in_turn(scene, asks_for_a_thing, split):
            said = {name: e.accept[0] for e in exchanges for name in places if holds_phrase(e.question, (name,))}
            assert said == places
        for exchanges in in_turn(scene, asks_for_a_place, split):
            seen = {e.accept[0]: place for e in exchanges for place in places.values() if place in e.question.lower()}
            assert seen == places


def test_yes_is_as_often_right_as_no() -> None:
    said = Counter(exchange.short for exchanges in in_turn(PAIR, checks) for exchange in exchanges)
    assert 0.4 < said["Yes."] / said.total() < 0.6
