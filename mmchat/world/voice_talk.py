"""Dialogues about a clip: what somebody said, or that nobody said anything."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, hasty, of_split, question
from mmchat.world.talk import TOPICS, Dialogue, Sound, Turn, topics_of
from mmchat.world.text_talk import topic_question

FACT_SHARE_OF_ECHOES = 0.4
PICTURE_SHARE_OF_ECHOES = 0.3
HEAR_SHARE_OF_ECHOES = 0.2
BARE_SHARE_OF_SOUNDS = 0.4  # a clip of no speech alone, without a typed question

_SOURCE = "text_questions"


def echo_dialogue(things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A sentence that is always spoken, and the typed wish to have it written; the answer quotes it."""
    return echo_of(_sentence(things, rng, split), rng, split)


def echo_of(sentence: str, rng: Random, split: Split) -> Dialogue:
    """The wish to have that sentence written which a clip says."""
    wish = question("hear" if rng.random() < HEAR_SHARE_OF_ECHOES else "transcribe", _SOURCE, rng, split)
    turns = (
        Turn("user", sentence, typed=hasty(wish, rng), spoken=sentence),
        Turn("assistant", answer("transcribe", rng, sentence=sentence)),
    )
    return Dialogue(turns, "transcribe", (sentence.rstrip("?.!"),))


def sound_dialogue(sound: Sound, rng: Random, split: Split) -> Dialogue:
    """A clip in which nobody speaks, alone or with a question that the answer has to disappoint."""
    typed = ""
    if rng.random() >= BARE_SHARE_OF_SOUNDS:
        typed = hasty(question(rng.choice(("hear", "transcribe")), _SOURCE, rng, split), rng)
    turns = (Turn("user", "", typed=typed, sound=sound), Turn("assistant", answer(sound, rng)))
    return Dialogue(turns, "no_speech", ("no speech",))


def _sentence(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """A question or a fact, as it should be spelt; facts are split too, so that none is spoken in both."""
    facts = of_split([fact for thing in things for fact in thing.facts], split)
    if facts and rng.random() < FACT_SHARE_OF_ECHOES:
        return rng.choice(facts)
    if rng.random() < PICTURE_SHARE_OF_ECHOES:
        topic = rng.choice(("name", "describe", "background", "count_all", *TOPICS))
        return question(topic, "picture_questions", rng, split)
    thing = rng.choice(things)
    return topic_question(rng.choice(topics_of(thing)), thing, rng, split)
