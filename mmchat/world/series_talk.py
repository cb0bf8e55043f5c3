"""Dialogues in which one picture of several is meant: one of two in a message, or the latest of several messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, capitalise, question, words_of
from mmchat.world.picture_talk import ground, name_exchange, picture_exchange, seen
from mmchat.world.scenes import Scene
from mmchat.world.talk import Dialogue, Exchange, dialogue

ONE_OF_TWO_SHARE = 0.5

_SOURCE = "picture_questions"
_ORDINALS = ("first", "second")


def series_dialogue(scenes: Sequence[Scene], things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """Two scenes in one message and a question of one, or one in each message and a question of the latest.

    Args:
        scenes: three, of which the first two show one thing each; not all are used.
        things: the world, of which at least one thing is in none of the scenes.
        split: which question wordings may be used.
    """
    if rng.random() < ONE_OF_TWO_SHARE:
        ask = rng.choice((_name, _name, _ground, _is_in))
        exchange = ask(scenes[:2], rng.randrange(2), rng, split)
        return dialogue("one_of_two", [replace(exchange, pictures=(0, 1))], rng, split)
    before, latest = range(rng.randint(1, 2)), 2
    shown = [replace(name_exchange(scenes[number], rng, split), pictures=(number,)) for number in before]
    exchange = picture_exchange(scenes[latest], things, rng, split)
    return dialogue("latest", [*shown, replace(exchange, pictures=(latest,))], rng, split)


def _name(scenes: Sequence[Scene], chosen: int, rng: Random, split: Split) -> Exchange:
    scene, ordinal = scenes[chosen], _ORDINALS[chosen]
    asked = question("one_of_two", _SOURCE, rng, split, ordinal=ordinal)
    text = answer("one_of_two", rng, ordinal=ordinal, seen=seen(scene))
    return Exchange(asked, text, scene.placed[0].thing.names, short=f"{capitalise(seen(scene))}.")


def _ground(scenes: Sequence[Scene], chosen: int, rng: Random, split: Split) -> Exchange:
    scene, ordinal = scenes[chosen], _ORDINALS[chosen]
    asked = question("ground_of_one", _SOURCE, rng, split, ordinal=ordinal)
    text = answer("ground_of_one", rng, ordinal=ordinal, background=scene.background, ground=ground(scene))
    return Exchange(asked, text, (scene.background,), short=f"{capitalise(scene.background)}.")


def _is_in(scenes: Sequence[Scene], chosen: int, rng: Random, split: Split) -> Exchange:
    """As often as not it is the other picture that shows the thing."""
    here, other = (scenes[index].placed[0].thing for index in (chosen, 1 - chosen))
    asked_for = rng.choice((here, other))
    there = not set(asked_for.names).isdisjoint(here.names)
    words = {"ordinal": _ORDINALS[chosen], "seen": seen(scenes[chosen]), **words_of(asked_for)}
    asked = question("is_in_one", _SOURCE, rng, split, **words)
    text = answer("yes_in_one" if there else "no_in_one", rng, **words)
    return Exchange(asked, text, ("yes" if there else "no",), short="Yes." if there else "No.")
