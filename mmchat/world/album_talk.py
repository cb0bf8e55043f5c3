"""Dialogues about two pictures: compared in one message, or shown one after the other and asked about later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, answers, question, words_of
from mmchat.world.picture_talk import name_exchange, seen
from mmchat.world.scenes import Scene
from mmchat.world.talk import Dialogue, Exchange, dialogue, statement, topics_of
from mmchat.world.text_talk import topic_question

ALIKE_SHARE = 0.1  # of the albums: about as often two unlike pictures are asked whether they are alike
COMPARE_SHARE = 0.6

_SOURCE = "picture_questions"
_BOTH = (0, 1)


def wants_alike(rng: Random) -> bool:
    """Whether an album is to show one thing twice, drawn in two ways; asked before it is drawn."""
    return rng.random() < ALIKE_SHARE


def album_dialogue(scenes: Sequence[Scene], things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A dialogue that shows two scenes of one thing each, or, where it goes on to talk of something else, the first."""
    first, second = (scene.placed[0].thing for scene in scenes)
    if first is second:
        return dialogue("compare", [_same(first, second, rng, split)], rng, split)
    if rng.random() < COMPARE_SHARE:
        ask = rng.choice((_same, _which, _which, _compare, _compare))
        return dialogue("compare", [ask(first, second, rng, split)], rng, split)
    return dialogue("earlier", _earlier(scenes, things, rng, split), rng, split)


def _same(first: Thing, second: Thing, rng: Random, split: Split) -> Exchange:
    asked = question("compare_same", _SOURCE, rng, split)
    alike = first is second
    text = answer("same_yes" if alike else "same_no", rng, first=first.phrase, second=second.phrase)
    return Exchange(asked, text, ("yes" if alike else "no",), short="Yes." if alike else "No.", pictures=_BOTH)


def _which(first: Thing, second: Thing, rng: Random, split: Split) -> Exchange:
    chosen = rng.randrange(2)
    words = words_of((first, second)[chosen])
    ordinal = ("first", "second")[chosen]
    asked = question("compare_which", _SOURCE, rng, split, **words)
    text = answer("compare_which", rng, ordinal=ordinal, **words)
    return Exchange(asked, text, (ordinal,), short=f"The {ordinal}.", pictures=_BOTH)


def _compare(first: Thing, second: Thing, rng: Random, split: Split) -> Exchange:
    asked = question(rng.choice(("compare_what", "compare_difference")), _SOURCE, rng, split)
    names = {"first": first.phrase, "second": second.phrase}
    text = answer("compare", rng, **names)
    accept = dict.fromkeys([text.rstrip("."), *(other.rstrip(".") for other in answers("compare", **names))])
    return Exchange(asked, text, tuple(accept), pictures=_BOTH)


def _earlier(scenes: Sequence[Scene], things: Sequence[Thing], rng: Random, split: Split) -> list[Exchange]:
    """One picture after the other, or one and then talk of something else; at last the question what was shown."""
    shown = replace(name_exchange(scenes[0], rng, split), pictures=(0,))
    if rng.random() < 0.5:
        between = replace(name_exchange(scenes[1], rng, split), pictures=(1,))
        wanted = rng.randrange(2)
        way = ("earlier_first", "earlier_last")[wanted]
    else:
        thing = rng.choice(things)
        topic = rng.choice(topics_of(thing))
        between = Exchange(topic_question(topic, thing, rng, split), *statement(topic, thing, rng))
        wanted, way = 0, "earlier_before"
    text = answer("earlier", rng, seen=seen(scenes[wanted]))
    return [shown, between, Exchange(question(way, _SOURCE, rng, split), text, scenes[wanted].placed[0].thing.names)]
