"""Dialogues about a scene: what is seen, where, how many, on what background, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import (
    NUMBERS,
    Split,
    answer,
    counted,
    indefinite,
    question,
    words_of,
)
from mmchat.world.scenes import Layout, Scene
from mmchat.world.talk import TOPICS, Dialogue, Exchange, continued, dialogue, statement, topics_of

KIND_WEIGHTS: Mapping[Layout, Mapping[str, float]] = {
    "one": {
        **{"describe": 4, "name": 5, "background": 2, "count": 1, "is_there": 2, "is_this": 2, "followup": 4},
        **{"place": 2, "use": 2, "fact": 2, "category": 1, "part": 0.5, "sound": 0.5, "colour": 0.5},
    },
    "same": {"describe": 2, "name": 2, "background": 1, "count": 5, "is_there": 1, "followup": 2},
    "pair": {
        "describe": 2,
        "name": 2,
        "background": 1,
        "count": 1,
        "position": 6,
        "is_there": 2,
        "followup": 2,
    },
    "blank": {"describe": 3, "name": 3, "background": 1, "count": 1, "is_there": 1},
}
FACT_SHARE_OF_DESCRIPTIONS = 0.5
ABSENT_SHARE_OF_COUNTS = 0.1
KIN_SHARE_OF_ABSENT = 0.5

_SOURCE = "picture_questions"
_AXES = (
    (("on the left", "on the right"), ("to the left of", "to the right of")),
    (("at the top", "at the bottom"), ("above", "below")),
)


def picture_dialogue(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A dialogue about `scene` whose picture stands in the first user turn.

    Args:
        things: the world, of which at least one thing is absent from the scene.
        split: which question wordings may be used.
    """
    weights = KIND_WEIGHTS[scene.layout]
    topics = topics_of(scene.placed[0].thing) if scene.placed else []
    kinds = [kind for kind in weights if kind not in TOPICS or kind in topics]
    kind = rng.choices(kinds, [weights[kind] for kind in kinds])[0]
    exchanges = _follow_up(scene, rng, split) if kind == "followup" else [_ask(kind, scene, things, rng, split)]
    return dialogue(kind if scene.placed else "blank", exchanges, rng, picture=True)


def in_order(scene: Scene) -> tuple[Thing, ...]:
    """The things of a scene, each once, from left to right or from top to bottom."""
    axis = _axis(scene)
    placed = sorted(scene.placed, key=lambda placed: placed.y if axis else placed.x)
    return tuple(dict.fromkeys(placed.thing for placed in placed))


def relation(scene: Scene) -> tuple[str, str]:
    """How the first of a pair stands to the second, and the second to the first: "to the left of", …"""
    return _AXES[_axis(scene)][1]


def seen(scene: Scene) -> str:
    """The content of a scene in a few words: "a cat", "three cats", "a cat and a dog", "nothing"."""
    shown = in_order(scene)
    if not shown:
        return "nothing"
    if scene.layout == "same":
        return counted(shown[0], len(scene.placed))
    return " and ".join(thing.phrase for thing in shown)


def ground(scene: Scene) -> str:
    """ "a blue background"."""
    return indefinite(f"{scene.background} background")


def _axis(scene: Scene) -> int:
    """0 where the first two things stand side by side, 1 where one is above the other."""
    if len(scene.placed) < 2:
        return 0
    first, second = scene.placed[:2]
    return int(abs(first.y - second.y) > abs(first.x - second.x))


def _ask(kind: str, scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    if kind in TOPICS:
        return _topic(kind, scene.placed[0].thing, rng, split, lead=True)
    if kind == "background":
        return _background(scene, rng, split)
    asks: dict[str, Callable[[Scene, Sequence[Thing], Random, Split], Exchange]] = {
        "describe": _describe,
        "name": _name,
        "count": _count,
        "position": _position,
        "is_there": _is_there,
        "is_this": _is_this,
    }
    return asks[kind](scene, things, rng, split)


def _topic(topic: str, thing: Thing, rng: Random, split: Split, *, lead: bool = False) -> Exchange:
    text, accept = statement(topic, thing, rng)
    if lead:
        text = f"{answer('lead', rng, thing=thing.phrase)} {text}"
    return Exchange(question(topic, _SOURCE, rng, split), text, accept)


def _content_names(scene: Scene) -> tuple[str, ...]:
    """What an answer that names the content holds; of a pair it holds both."""
    shown = in_order(scene)
    if scene.layout == "pair":
        first, second = (thing.phrase for thing in shown)
        return f"{first} and {second}", f"{second} and {first}"
    if scene.layout == "same":
        return shown[0].plural, *shown[0].names
    return shown[0].names if shown else ("nothing",)


def _describe(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    asked = question("describe", _SOURCE, rng, split)
    if scene.layout == "blank":
        return Exchange(asked, answer("blank", rng, ground=ground(scene)), ("nothing",))
    topic = "describe" if scene.layout == "one" else "describe_many"
    text = answer(topic, rng, seen=seen(scene), ground=ground(scene))
    shown = in_order(scene)
    if scene.layout == "one" and rng.random() < FACT_SHARE_OF_DESCRIPTIONS:
        text += f" {rng.choice(shown[0].facts)}"
    if scene.layout == "pair":
        sides = _AXES[_axis(scene)][0]
        names = {"first": shown[0].name, "second": shown[1].name}
        both = answer("position_both", rng, first_side=sides[0], second_side=sides[1], **names)
        text += f" {both}"
    return Exchange(asked, text, _content_names(scene))


def _name(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    asked = question("name", _SOURCE, rng, split)
    if scene.layout == "blank":
        return Exchange(asked, answer("blank", rng, ground=ground(scene)), ("nothing",))
    topic = {"one": "name", "same": "name_many", "pair": "name_pair"}[scene.layout]
    return Exchange(asked, answer(topic, rng, seen=seen(scene)), _content_names(scene))


def _background(scene: Scene, rng: Random, split: Split) -> Exchange:
    asked = question("background", _SOURCE, rng, split)
    return Exchange(asked, answer("background", rng, background=scene.background), (scene.background,))


def _count(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    if scene.layout == "blank":
        return Exchange(
            question("count_all", _SOURCE, rng, split),
            answer("blank", rng, ground=ground(scene)),
            ("nothing",),
        )
    if rng.random() < ABSENT_SHARE_OF_COUNTS:
        absent = words_of(_absent(scene, things, rng))
        asked = question("count", _SOURCE, rng, split, **absent)
        return Exchange(asked, answer("count_none", rng, seen=seen(scene), **absent), ("no",))
    if scene.layout == "pair":
        asked = question("count_all", _SOURCE, rng, split)
        return Exchange(asked, answer("count_pair", rng, seen=seen(scene)), ("two",))
    thing, number = scene.placed[0].thing, len(scene.placed)
    topic = "count" if rng.random() < 0.5 else "count_all"
    asked = question(topic, _SOURCE, rng, split, **words_of(thing))
    if number > 1:
        text = answer("count_many", rng, counted=counted(thing, number))
    elif thing.article == "":
        text = answer("count_one_mass", rng, seen=seen(scene))
    else:
        text = answer("count_one", rng, counted=counted(thing, number))
    return Exchange(asked, text, (NUMBERS[number],))


def _position(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    sides, relations = _AXES[_axis(scene)]
    pair = in_order(scene)
    chosen = rng.randrange(2)
    words, side = words_of(pair[chosen]), sides[chosen]
    way = rng.choice(("position_side", "position_relation", "position_where"))
    if way == "position_side":
        asked = question(way, _SOURCE, rng, split, side=side)
        return Exchange(asked, answer("position", rng, side=side, **words), pair[chosen].names)
    if way == "position_where":
        asked = question(way, _SOURCE, rng, split, **words)
        return Exchange(asked, answer(way, rng, side=side, **words), (side,))
    reference = {"relation": relations[chosen], "other": pair[1 - chosen].name}
    asked = question(way, _SOURCE, rng, split, **reference)
    return Exchange(asked, answer(way, rng, **reference, **words), pair[chosen].names)


def _is_there(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Balanced: as many yes as no, but for a blank picture."""
    if scene.placed and rng.random() < 0.5:
        thing = rng.choice(in_order(scene))
        asked = question("is_there", _SOURCE, rng, split, **words_of(thing))
        return Exchange(asked, answer("yes_there", rng, **words_of(thing)), ("yes",))
    absent = words_of(_absent(scene, things, rng))
    content = seen(scene) if scene.placed else f"nothing but {ground(scene)}"
    asked = question("is_there", _SOURCE, rng, split, **absent)
    return Exchange(asked, answer("no_there", rng, seen=content, **absent), ("no",))


def _is_this(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    thing = scene.placed[0].thing
    if rng.random() < 0.5:
        asked = question("is_this", _SOURCE, rng, split, **words_of(thing))
        return Exchange(asked, answer("yes_this", rng, seen=seen(scene)), ("yes",))
    absent = words_of(_absent(scene, things, rng))
    asked = question("is_this", _SOURCE, rng, split, **absent)
    return Exchange(asked, answer("no_this", rng, seen=seen(scene), **absent), ("no",))


def _absent(scene: Scene, things: Sequence[Thing], rng: Random) -> Thing:
    """A thing that is not in the scene, as often as not of the kind of what is."""
    shown = {name for placed in scene.placed for name in placed.thing.names}
    absent = [thing for thing in things if shown.isdisjoint(thing.names)]
    categories = {placed.thing.category for placed in scene.placed}
    kin = [thing for thing in absent if thing.category in categories]
    return rng.choice(kin if kin and rng.random() < KIN_SHARE_OF_ABSENT else absent)


def _follow_up(scene: Scene, rng: Random, split: Split) -> list[Exchange]:
    """Two or three exchanges; what "it" is was said in the first."""
    if scene.layout == "pair":
        return _follow_up_of_pair(scene, rng, split)
    first = rng.choice((_name, _describe))(scene, (), rng, split)
    if scene.layout == "same":
        later = [rng.choice((_background, _count_again))(scene, rng, split)]
    else:
        thing = scene.placed[0].thing
        topics = rng.sample([*topics_of(thing), "background"], rng.randint(1, 2))
        later = [
            _background(scene, rng, split) if topic == "background" else _topic(topic, thing, rng, split)
            for topic in topics
        ]
    return [first, *(_continue(exchange, rng) for exchange in later)]


def _follow_up_of_pair(scene: Scene, rng: Random, split: Split) -> list[Exchange]:
    chosen = rng.randrange(2)
    thing, side = in_order(scene)[chosen], _AXES[_axis(scene)][0][chosen]
    asked = question("position_side", _SOURCE, rng, split, side=side)
    first = Exchange(asked, answer("position", rng, side=side, **words_of(thing)), thing.names)
    return [first, _continue(_topic(rng.choice(topics_of(thing)), thing, rng, split), rng)]


def _count_again(scene: Scene, rng: Random, split: Split) -> Exchange:
    number = len(scene.placed)
    text = answer("count_many", rng, counted=counted(scene.placed[0].thing, number))
    return Exchange(question("count_all", _SOURCE, rng, split), text, (NUMBERS[number],))


def _continue(exchange: Exchange, rng: Random) -> Exchange:
    return Exchange(continued(exchange.question, rng), exchange.answer, exchange.accept)
