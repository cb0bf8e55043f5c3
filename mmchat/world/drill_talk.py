"""Drills: the same asked of several things, in one message or one after the other: is it there? Where does it stand?

Whether one is among others, and where, is learnt where much of what is said tells it. In the answer to a single "is
there a …?" it is one word of fifteen, and after tens of thousands of these the answer about a scene in words was still
a coin's; here it is every third word.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, capitalise, joined, question, some, words_of
from mmchat.world.picture_talk import absent_thing, seen
from mmchat.world.scenes import Scene
from mmchat.world.spots import in_order, sides, spots
from mmchat.world.talk import Exchange

PLACE_SHARE = 0.5
"""Of the drills about two things and more: those about their places."""

BARE_SHARE = 0.6
"""Of the questions after the first: "And a dog?", "And on the left?"."""

_SOURCE = "picture_questions"


def drill_at_once(scene: Scene, things: Sequence[Thing], rng: Random, split: Split, most: int) -> tuple[str, Exchange]:
    """Is there a cat, a dog or an apple? Where is everything? The kind of question, and the exchange.

    Args:
        scene: drawn, and not blank.
        things: the world, of which at least one thing is absent from the scene.
        rng: what is drawn from.
        split: which question wordings may be used.
        most: whether it is there is asked of two things to so many.
    """
    if _about_places(scene, rng):
        places = joined([f"the {thing.name} is {spot}" for thing, spot in _places(scene)], "and")
        text = answer("position_all", rng, places=places, Places=capitalise(places))
        return "position_all", Exchange(question("position_all", _SOURCE, rng, split), text, (places,))
    wanted = _wanted(scene, things, rng)[: rng.randint(2, most)]
    asked = question("are_there", _SOURCE, rng, split, several=joined([some(thing) for thing, _ in wanted], "or"))
    checked = " ".join(f"And {some(thing)}? {_yes_or_no(there)}" for thing, there in wanted)
    text = answer("are_there", rng, seen=seen(scene), checked=checked)
    return "are_there", Exchange(asked, text, (checked.rstrip("."),))


def drill_in_turn(scene: Scene, things: Sequence[Thing], rng: Random, split: Split, most: int) -> list[Exchange]:
    """Is there a cat? And a dog? Or: where is the cat? And the dog? Or: what is on the left? And on the right?

    At most `most` questions, with short answers; other arguments as for `drill_at_once`.
    """
    if not _about_places(scene, rng):
        wanted = _wanted(scene, things, rng)[:most]
        return [_check(thing, there, number > 0, rng, split) for number, (thing, there) in enumerate(wanted)]
    places = _places(scene)
    rng.shuffle(places)
    by_name = rng.random() < 0.5
    pair = scene.layout == "pair"
    topic = ("position_where" if pair else "position_of") if by_name else ("position_side" if pair else "position_at")
    exchanges = []
    for number, (thing, spot) in enumerate(places):
        asked = _asked(topic, "position_of_too" if by_name else "position_at_too", number > 0, rng)
        said = f"{capitalise(spot)}." if by_name else f"{thing.capitalised}."
        words = question(asked, _SOURCE, rng, split, **words_of(thing), side=spot, spot=spot)
        exchanges.append(Exchange(words, said, (spot,) if by_name else thing.names, short=said))
    return exchanges


def _about_places(scene: Scene, rng: Random) -> bool:
    return scene.layout in ("pair", "some") and rng.random() < PLACE_SHARE


def _check(thing: Thing, there: bool, later: bool, rng: Random, split: Split) -> Exchange:
    words = {"some": some(thing), "Some": capitalise(some(thing))}
    asked = question(_asked("is_there", "is_there_too", later, rng), _SOURCE, rng, split, **words)
    return Exchange(asked, _yes_or_no(there), ("yes" if there else "no",), short=_yes_or_no(there))


def _asked(topic: str, topic_too: str, later: bool, rng: Random) -> str:
    """Which wordings a question is in: a later one may leave out all but what it is about."""
    return topic_too if later and rng.random() < BARE_SHARE else topic


def _yes_or_no(there: bool) -> str:
    return "Yes." if there else "No."


def _wanted(scene: Scene, things: Sequence[Thing], rng: Random) -> list[tuple[Thing, bool]]:
    """What is shown, about as many things that are not, and whether each is there, in no order."""
    shown = in_order(scene)
    absent = dict.fromkeys(absent_thing(scene, things, rng) for _ in range(max(2, len(shown))))
    wanted = [*((thing, True) for thing in shown), *((thing, False) for thing in absent)]
    rng.shuffle(wanted)
    return wanted


def _places(scene: Scene) -> list[tuple[Thing, str]]:
    """Each of two things and more, and the words for its place."""
    if scene.layout == "pair":
        return list(zip(in_order(scene), sides(scene), strict=True))
    return [(placed.thing, spot) for placed, spot in spots(scene)]
