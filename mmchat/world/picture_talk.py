"""Dialogues about a scene: what is seen, where, how many, how big, on what background, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import (
    NUMBERS,
    Split,
    answer,
    capitalise,
    counted,
    indefinite,
    joined,
    question,
    words_of,
)
from mmchat.world.scenes import SIZES_APART, Layout, Placed, Scene
from mmchat.world.spots import in_order, relations, sides, spots
from mmchat.world.talk import TOPICS, Dialogue, Exchange, continued, dialogue, statement, topics_of

KIND_WEIGHTS: Mapping[Layout, Mapping[str, float]] = {
    "one": {
        **{"describe": 4, "name": 5, "background": 2, "count": 1, "is_there": 2, "is_this": 2, "followup": 4},
        **{"place": 2, "use": 2, "fact": 2, "category": 1, "part": 0.5, "sound": 0.5, "colour": 0.5},
    },
    "same": {"describe": 2, "name": 2, "background": 1, "count": 6, "is_there": 1, "followup": 2},
    "pair": {
        **{"describe": 2, "name": 2, "background": 1, "count": 1, "position": 6, "is_there": 2, "size": 3},
        "followup": 2,
    },
    "some": {
        **{"describe": 2, "name": 2, "background": 1, "count": 2, "position": 6, "is_there": 2},
        "followup": 2,
    },
    "photo": {
        **{"describe": 3, "name": 5, "is_there": 1, "is_this": 1},
        **{"place": 1, "use": 1, "fact": 1, "category": 1},
    },
    "blank": {"describe": 3, "name": 3, "background": 1, "count": 1, "is_there": 1},
}
FACT_SHARE_OF_DESCRIPTIONS = 0.5
ABSENT_SHARE_OF_COUNTS = 0.1
KIN_SHARE_OF_ABSENT = 0.5

_SOURCE = "picture_questions"
_NAMING = {"one": "name", "photo": "name", "same": "name_many", "pair": "name_pair", "some": "name_pair"}
_DESCRIBING = {"one": "describe", "photo": "describe_photo"}  # all others: describe_many
_Ask = Callable[[Scene, Sequence[Thing], Random, Split], Exchange]


def picture_dialogue(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A dialogue about `scene` whose picture stands in the first user turn.

    Args:
        things: the world, of which at least one thing is absent from the scene.
        split: which question wordings may be used.
    """
    kind = draw_kind(scene, rng)
    first, *later = _follow_up(scene, rng, split) if kind == "followup" else [_ask(kind, scene, things, rng, split)]
    return dialogue(_kind(kind, scene), [replace(first, pictures=(0,)), *later], rng, split)


def picture_exchange(
    scene: Scene, things: Sequence[Thing], rng: Random, split: Split, kind: str | None = None
) -> Exchange:
    """One question about `scene` and its answer: of `kind`, or of one that a dialogue about it may hold by itself."""
    while kind in (None, "followup"):  # a follow-up is several exchanges
        kind = draw_kind(scene, rng)
    return _ask(kind, scene, things, rng, split)


def seen(scene: Scene) -> str:
    """The content of a scene in a few words: "a cat", "three cats", "a cat and a dog", "nothing"."""
    shown = in_order(scene)
    if not shown:
        return "nothing"
    if scene.layout == "same":
        return counted(shown[0], len(scene.placed))
    return joined([thing.phrase for thing in shown], "and")


def ground(scene: Scene) -> str:
    """ "a blue background"."""
    return indefinite(f"{scene.background} background")


def name_exchange(scene: Scene, rng: Random, split: Split) -> Exchange:
    """What is this?"""
    asked = question("name", _SOURCE, rng, split)
    if scene.layout == "blank":
        return _blank(asked, scene, rng)
    text = answer(_NAMING[scene.layout], rng, seen=seen(scene))
    return Exchange(asked, text, _content_names(scene), short=f"{capitalise(seen(scene))}.")


def bigger_and_smaller(scene: Scene) -> tuple[Placed, Placed] | None:
    """The two of a pair, the bigger first; None where there is no pair or its sizes are alike."""
    if scene.layout != "pair":
        return None
    bigger, smaller = sorted(scene.placed, key=lambda placed: placed.size, reverse=True)
    return (bigger, smaller) if bigger.size >= SIZES_APART * smaller.size else None


def absent_thing(scene: Scene, things: Sequence[Thing], rng: Random) -> Thing:
    """A thing that is not in the scene, as often as not of the kind of what is."""
    shown = {name for placed in scene.placed for name in placed.thing.names}
    absent = [thing for thing in things if shown.isdisjoint(thing.names)]
    categories = {placed.thing.category for placed in scene.placed}
    kin = [thing for thing in absent if thing.category in categories]
    return rng.choice(kin if kin and rng.random() < KIN_SHARE_OF_ABSENT else absent)


def draw_kind(scene: Scene, rng: Random) -> str:
    """A kind of question that makes sense of the scene."""
    weights = KIND_WEIGHTS[scene.layout]
    topics = topics_of(scene.placed[0].thing) if scene.placed else []
    kinds = [kind for kind in weights if kind not in TOPICS or kind in topics]
    if bigger_and_smaller(scene) is None:
        kinds = [kind for kind in kinds if kind != "size"]
    return rng.choices(kinds, [weights[kind] for kind in kinds])[0]


def _kind(kind: str, scene: Scene) -> str:
    """How evaluation calls a question: what is asked of several things is another skill than of one."""
    if not scene.placed:
        return "blank"
    if kind in ("name", "describe") and scene.layout in ("pair", "some"):
        return f"{kind}_several"
    return kind


def _ask(kind: str, scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    if kind in TOPICS:
        return _topic(kind, scene.placed[0].thing, rng, split, lead=True)
    if kind == "name":
        return name_exchange(scene, rng, split)
    if kind == "background":
        return _background(scene, rng, split)
    asks: dict[str, _Ask] = {
        "describe": _describe,
        "count": _count,
        "position": _position if scene.layout == "pair" else _position_of_several,
        "size": _size,
        "is_there": _is_there,
        "is_this": _is_this,
    }
    return asks[kind](scene, things, rng, split)


def _topic(topic: str, thing: Thing, rng: Random, split: Split, *, lead: bool = False) -> Exchange:
    text, accept = statement(topic, thing, rng)
    if lead:
        text = f"{answer('lead', rng, thing=thing.phrase)} {text}"
    return Exchange(question(topic, _SOURCE, rng, split), text, accept)


def _blank(asked: str, scene: Scene, rng: Random) -> Exchange:
    return Exchange(asked, answer("blank", rng, ground=ground(scene)), ("nothing",), short="Nothing.")


def _content_names(scene: Scene) -> tuple[str, ...]:
    """What an answer that names the content holds; of several things it holds all."""
    shown = in_order(scene)
    if scene.layout == "pair":
        first, second = (thing.phrase for thing in shown)
        return f"{first} and {second}", f"{second} and {first}"
    if scene.layout == "some":
        return (seen(scene),)
    if scene.layout == "same":
        return shown[0].plural, *shown[0].names
    return shown[0].names if shown else ("nothing",)


def _describe(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    asked = question("describe", _SOURCE, rng, split)
    if scene.layout == "blank":
        return _blank(asked, scene, rng)
    text = answer(_DESCRIBING.get(scene.layout, "describe_many"), rng, seen=seen(scene), ground=ground(scene))
    shown = in_order(scene)
    if scene.layout in ("one", "photo") and rng.random() < FACT_SHARE_OF_DESCRIPTIONS:
        text += f" {rng.choice(shown[0].facts)}"
    if scene.layout == "pair":
        first_side, second_side = sides(scene)
        names = {"first": shown[0].name, "second": shown[1].name}
        both = answer("position_both", rng, first_side=first_side, second_side=second_side, **names)
        text += f" {both}"
    return Exchange(asked, text, _content_names(scene))


def _background(scene: Scene, rng: Random, split: Split) -> Exchange:
    asked = question("background", _SOURCE, rng, split)
    text = answer("background", rng, background=scene.background)
    return Exchange(asked, text, (scene.background,), short=f"{capitalise(scene.background)}.")


def _count(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    if scene.layout == "blank":
        return _blank(question("count_all", _SOURCE, rng, split), scene, rng)
    if rng.random() < ABSENT_SHARE_OF_COUNTS:
        absent = words_of(absent_thing(scene, things, rng))
        asked = question("count", _SOURCE, rng, split, **absent)
        return Exchange(asked, answer("count_none", rng, seen=seen(scene), **absent), ("no", "none"), short="None.")
    number = len(scene.placed)
    short = f"{capitalise(NUMBERS[number])}."
    if scene.layout in ("pair", "some"):
        asked = question("count_all", _SOURCE, rng, split)
        text = answer("count_several", rng, number=NUMBERS[number], seen=seen(scene))
        return Exchange(asked, text, (NUMBERS[number],), short=short)
    thing = scene.placed[0].thing
    asked = question("count" if rng.random() < 0.5 else "count_all", _SOURCE, rng, split, **words_of(thing))
    if number > 1:
        text = answer("count_many", rng, counted=counted(thing, number))
    elif thing.article == "":
        text = answer("count_one_mass", rng, seen=seen(scene))
    else:
        text = answer("count_one", rng, counted=counted(thing, number))
    return Exchange(asked, text, (NUMBERS[number],), short=short)


def _position(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Of two things: which stands on a side, where one of them is, or which is left of the other."""
    pair = in_order(scene)
    chosen = rng.randrange(2)
    words, side = words_of(pair[chosen]), sides(scene)[chosen]
    short = f"{pair[chosen].capitalised}."
    way = rng.choice(("position_side", "position_relation", "position_where"))
    if way == "position_side":
        asked = question(way, _SOURCE, rng, split, side=side)
        return Exchange(asked, answer("position", rng, side=side, **words), pair[chosen].names, short=short)
    if way == "position_where":
        asked = question(way, _SOURCE, rng, split, **words)
        return Exchange(asked, answer(way, rng, side=side, **words), (side,), short=f"{capitalise(side)}.")
    reference = {"relation": relations(scene)[chosen], "other": pair[1 - chosen].name}
    asked = question(way, _SOURCE, rng, split, **reference)
    return Exchange(asked, answer(way, rng, **reference, **words), pair[chosen].names, short=short)


def _position_of_several(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Of three or more things: what stands at a spot, or where one of them is."""
    placed, spot = rng.choice(spots(scene))
    words = words_of(placed.thing)
    if rng.random() < 0.5:
        asked = question("position_at", _SOURCE, rng, split, spot=spot)
        text = answer("position_at", rng, spot=spot, **words)
        return Exchange(asked, text, placed.thing.names, short=f"{placed.thing.capitalised}.")
    asked = question("position_of", _SOURCE, rng, split, **words)
    return Exchange(asked, answer("position_of", rng, spot=spot, **words), (spot,), short=f"{capitalise(spot)}.")


def _size(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    pair = bigger_and_smaller(scene)
    assert pair is not None, "sizes are asked where they differ"
    chosen = rng.randrange(2)
    thing, word = pair[chosen].thing, ("bigger", "smaller")[chosen]
    text = answer("size", rng, word=word, **words_of(thing))
    return Exchange(question(f"size_{word}", _SOURCE, rng, split), text, thing.names, short=f"The {thing.name}.")


def _is_there(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Balanced: as many yes as no, but for a blank picture."""
    if scene.placed and rng.random() < 0.5:
        thing = rng.choice(in_order(scene))
        asked = question("is_there", _SOURCE, rng, split, **words_of(thing))
        return Exchange(asked, answer("yes_there", rng, seen=seen(scene), **words_of(thing)), ("yes",), short="Yes.")
    absent = words_of(absent_thing(scene, things, rng))
    content = seen(scene) if scene.placed else f"nothing but {ground(scene)}"
    asked = question("is_there", _SOURCE, rng, split, **absent)
    return Exchange(asked, answer("no_there", rng, seen=content, **absent), ("no",), short="No.")


def _is_this(scene: Scene, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    thing = scene.placed[0].thing
    if rng.random() < 0.5:
        asked = question("is_this", _SOURCE, rng, split, **words_of(thing))
        return Exchange(asked, answer("yes_this", rng, seen=seen(scene), **words_of(thing)), ("yes",), short="Yes.")
    absent = words_of(absent_thing(scene, things, rng))
    asked = question("is_this", _SOURCE, rng, split, **absent)
    return Exchange(asked, answer("no_this", rng, seen=seen(scene), **absent), ("no",), short="No.")


def _follow_up(scene: Scene, rng: Random, split: Split) -> list[Exchange]:
    """Two or three exchanges; what "it" is was said in the first."""
    if scene.layout in ("pair", "some"):
        return _follow_up_of_several(scene, rng, split)
    named = rng.random() < 0.5
    first = name_exchange(scene, rng, split) if named else _describe(scene, (), rng, split)
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


def _follow_up_of_several(scene: Scene, rng: Random, split: Split) -> list[Exchange]:
    if scene.layout == "pair":
        chosen = rng.randrange(2)
        thing, spot = in_order(scene)[chosen], sides(scene)[chosen]
        asked = question("position_side", _SOURCE, rng, split, side=spot)
        text = answer("position", rng, side=spot, **words_of(thing))
    else:
        placed, spot = rng.choice(spots(scene))
        thing = placed.thing
        asked = question("position_at", _SOURCE, rng, split, spot=spot)
        text = answer("position_at", rng, spot=spot, **words_of(thing))
    later = _continue(_topic(rng.choice(topics_of(thing)), thing, rng, split), rng)
    return [Exchange(asked, text, thing.names), later]


def _count_again(scene: Scene, rng: Random, split: Split) -> Exchange:
    number = len(scene.placed)
    text = answer("count_many", rng, counted=counted(scene.placed[0].thing, number))
    return Exchange(question("count_all", _SOURCE, rng, split), text, (NUMBERS[number],))


def _continue(exchange: Exchange, rng: Random) -> Exchange:
    return replace(exchange, question=continued(exchange.question, rng))
