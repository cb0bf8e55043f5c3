"""Dialogues of many questions about one picture, each answered in a word or two, or asked at once.

Where a thing stands, and whether it is there, are slowly learnt from answers in which one word of ten tells: here every
word does, and the picture is looked at once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.drill_talk import drill_at_once, drill_in_turn
from mmchat.world.phrasing import Split
from mmchat.world.picture_talk import picture_exchange
from mmchat.world.scenes import Layout, Scene
from mmchat.world.talk import Dialogue, Exchange, dialogue

QUIZ_LAYOUTS: Mapping[Layout, float] = {"one": 0.1, "same": 0.15, "pair": 0.3, "some": 0.42, "blank": 0.03}
"""How often a quiz is about which scene: much can be asked of several things."""

DRILL_SHARE = 0.5
"""Of the quizzes about anything: those that ask the same of several things."""
AT_ONCE_SHARE = 0.5
"""Of those: the ones that ask it in one message."""

_FEWEST, _MOST = 4, 8
_MOST_AT_ONCE = 6
_SAID_OF_MANY = ("Yes.", "No.")


def quiz_layout(rng: Random) -> Layout:
    """What the scene of a quiz is to show."""
    return rng.choices(list(QUIZ_LAYOUTS), weights=list(QUIZ_LAYOUTS.values()))[0]


def quiz_dialogue(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """Four to eight questions about `scene`, whose picture stands in the first, of which none tells another's answer.

    Or a drill: the same asked of several things, one after the other or in one question.

    Args:
        scene: drawn, not a photograph.
        things: the world, of which at least one thing is absent from the scene.
        split: which question wordings may be used.
    """
    if scene.placed and rng.random() < DRILL_SHARE:
        if rng.random() < AT_ONCE_SHARE:
            kind, exchange = drill_at_once(scene, things, rng, split, _MOST_AT_ONCE)
            return dialogue(kind, [replace(exchange, pictures=(0,))], rng, split)
        return _quiz(drill_in_turn(scene, things, rng, split, _MOST), rng, split)
    wanted = rng.randint(_FEWEST, _MOST)
    asked: dict[str, Exchange] = {}
    while len(asked) < wanted:
        exchange = picture_exchange(scene, things, rng, split)
        if exchange.short:
            asked.setdefault(exchange.question if exchange.short in _SAID_OF_MANY else exchange.short, exchange)
    return _quiz([*asked.values()], rng, split)


def _quiz(exchanges: Sequence[Exchange], rng: Random, split: Split) -> Dialogue:
    first, *later = exchanges
    return dialogue("quiz", [replace(first, pictures=(0,)), *later], rng, split, short_share=1)
