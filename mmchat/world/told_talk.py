"""Dialogues about a scene that is put into words instead of being shown.

Whether a thing is among others is slowly learnt from pictures, where what was seen may be wrong already: here what
there is stands in the question, and comparing is all that is left to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.drill_talk import drill_at_once, drill_in_turn
from mmchat.world.phrasing import Split, answers, capitalise, joined, question, words_of
from mmchat.world.picture_talk import bigger_and_smaller, ground, picture_exchange, seen
from mmchat.world.scenes import Layout, Scene
from mmchat.world.spots import in_order, sides, spots
from mmchat.world.talk import Dialogue, Exchange, continued, dialogue

TOLD_LAYOUTS: Mapping[Layout, float] = {"one": 0.1, "same": 0.1, "pair": 0.3, "some": 0.5}
"""How often which scene is told: what shows nothing is not worth telling."""

DRILL_SHARE = 0.7
"""Of the dialogues: those that ask the same of several things."""
AT_ONCE_SHARE = 0.4
"""Of those: the ones that ask it in one message."""

SHORT_SHARE = 0.3
COMPARED_SHARE = 0.6

_FEWEST, _MOST = 1, 4
_MOST_DRILLED = 12  # of six things, and of as many that are not there
_COMPARING: Mapping[Layout, tuple[str, ...]] = {
    "one": ("is_there", "is_this"),
    "same": ("is_there", "count"),
    "pair": ("is_there",),
    "some": ("is_there",),
}


def told_layout(rng: Random) -> Layout:
    """What the scene of such a dialogue is to hold."""
    return rng.choices(list(TOLD_LAYOUTS), weights=list(TOLD_LAYOUTS.values()))[0]


def told_dialogue(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """One to four questions about `scene`, which stands in words before the first of them, or up to twelve short ones.

    Args:
        scene: drawn, and not blank.
        things: the world, of which at least one thing is absent from the scene.
        split: which wordings may be used.
    """
    if rng.random() < DRILL_SHARE:
        if rng.random() < AT_ONCE_SHARE:
            return _dialogue(scene, [drill_at_once(scene, things, rng, split, _MOST_DRILLED)[1]], rng, split)
        return _dialogue(scene, drill_in_turn(scene, things, rng, split, _MOST_DRILLED), rng, split, short_share=1)
    wanted = rng.randint(_FEWEST, _MOST)
    asked: dict[str, Exchange] = {}
    while len(asked) < wanted:
        kind = rng.choice(_COMPARING[scene.layout]) if rng.random() < COMPARED_SHARE else None
        exchange = picture_exchange(scene, things, rng, split, kind)
        asked.setdefault(exchange.question, exchange)
    first, *later = asked.values()
    later = [replace(exchange, question=continued(exchange.question, rng)) for exchange in later]
    return _dialogue(scene, [first, *later], rng, split, SHORT_SHARE)


def _dialogue(
    scene: Scene, exchanges: Sequence[Exchange], rng: Random, split: Split, short_share: float = 0
) -> Dialogue:
    first, *later = exchanges
    told = replace(first, question=f"{_told(scene, rng, split)} {first.question}")
    return dialogue("told", [told, *later], rng, split, short_share)


def _told(scene: Scene, rng: Random, split: Split) -> str:
    """All that can be asked: what there is, on what background, where each stands and which is bigger."""
    sentences = [question("told", "text_questions", rng, split, seen=seen(scene), ground=ground(scene))]
    if scene.layout == "pair":
        (first, second), (first_side, second_side) = (thing.name for thing in in_order(scene)), sides(scene)
        both = answers("position_both", first=first, first_side=first_side, second=second, second_side=second_side)
        sentences.append(both[0])
        if sizes := bigger_and_smaller(scene):
            sentences += answers("size", word="bigger", **words_of(sizes[0].thing))[:1]
    if scene.layout == "some":
        places = joined([f"the {placed.thing.name} is {spot}" for placed, spot in spots(scene)], "and")
        sentences.append(f"{capitalise(places)}.")
    return " ".join(sentences)
