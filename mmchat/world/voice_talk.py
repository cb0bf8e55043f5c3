"""Dialogues about a clip: what somebody said, or that nobody said anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import (
    Split,
    answer,
    capitalise,
    counted,
    direct,
    hasty,
    joined,
    of_split,
    question,
    read_wordings,
)
from mmchat.world.talk import TOPICS, Dialogue, Sound, Turn, statement, topics_of
from mmchat.world.text_talk import invented_name, topic_question

FACT_SHARE_OF_ECHOES = 0.4
PICTURE_SHARE_OF_ECHOES = 0.3
HEAR_SHARE_OF_ECHOES = 0.2
SPLICED_SHARE_OF_DICTATIONS = 0.6  # in training; the shares below are of the others
STATEMENT_SHARE_OF_DICTATIONS = 0.35
LIST_SHARE_OF_DICTATIONS = 0.3  # what is left is words in no order
NAME_SHARE_OF_WORDS = 0.5
COMMON_SHARE_OF_PIECES = 0.4  # of a spliced sentence: any English word instead of a piece of a sentence
WORDING_SHARE_OF_PIECES = 0.6  # of the other pieces: from a question
INVENTED_SHARE_OF_JUMBLES = 0.25
COMMON_SHARE_OF_JUMBLES = 0.4  # the other words are of things and facts
BARE_SHARE_OF_SOUNDS = 0.4  # a clip of no speech alone, without a typed question

_SOURCE = "text_questions"
_WORDS_OF_A_JUMBLE = (2, 20)


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


def dictation(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """Something to be written down that is no question: a statement, things counted up, or words in no order.

    Whoever learnt from questions alone hears the beginning of one and guesses the rest; here nothing can be guessed.
    In training most are spliced from pieces of sentences: whole ones are few, and would be learnt by heart.
    """
    if split == "train" and rng.random() < SPLICED_SHARE_OF_DICTATIONS:
        return _spliced(things, rng)
    chance = rng.random()
    if chance < STATEMENT_SHARE_OF_DICTATIONS:
        return _statement(things, rng, split)
    if chance < STATEMENT_SHARE_OF_DICTATIONS + LIST_SHARE_OF_DICTATIONS:
        several = [counted(thing, rng.randint(1, 9)) for thing in rng.choices(things, k=rng.randint(1, 4))]
        return f"{capitalise(joined(several, 'and'))}."
    words = [_word(thing, rng) for thing in rng.choices(things, k=rng.randint(3, 7))]
    return f"{capitalise(' '.join(words))}."


def _spliced(things: Sequence[Thing], rng: Random) -> str:
    """Pieces of sentences of training one behind the other, with common words between them."""
    words: list[str] = []
    for _ in range(rng.randint(2, 5)):
        if rng.random() < COMMON_SHARE_OF_PIECES:
            words += rng.choices(_common_words(), k=rng.randint(1, 2))
        else:
            said = _wording(things, rng) if rng.random() < WORDING_SHARE_OF_PIECES else _statement(things, rng, "train")
            heard = re.findall("[a-z][a-z'-]*", said.lower())
            start = rng.randrange(len(heard))
            words += [re.sub(r"^i\b", "I", word) for word in heard[start : start + rng.randint(1, 4)]]
    return f"{capitalise(' '.join(words))}."


def jumble(things: Sequence[Thing], rng: Random) -> str:
    """Words of training in no order, names of people and names that nobody has among them, to be repeated.

    Whoever repeats sentences alone learns to say a likely one instead of the one that was said, and whoever repeats
    known words alone learns to end each as it always ends.
    """
    words = [_any_word(thing, rng) for thing in rng.choices(things, k=rng.randint(*_WORDS_OF_A_JUMBLE))]
    return f"{capitalise(' '.join(words))}."


def _any_word(thing: Thing, rng: Random) -> str:
    chance = rng.random()
    if chance < INVENTED_SHARE_OF_JUMBLES:
        return invented_name([thing], rng)
    known = chance < INVENTED_SHARE_OF_JUMBLES + COMMON_SHARE_OF_JUMBLES
    return rng.choice(_common_words()) if known else _word(thing, rng)


def _wording(things: Sequence[Thing], rng: Random) -> str:
    """Any question of training, whatever stands in its slots."""
    source = rng.choice(("picture_questions", _SOURCE))
    topic, listed = rng.choice(list(read_wordings(source).items()))
    wording = rng.choice(direct(listed, source, topic, "train"))
    return re.sub(r"{\w+}", lambda _: rng.choice(things).name, wording)


@cache
def _common_words() -> list[str]:
    """English words and the names of people that training knows."""
    words = " ".join(read_wordings("words").values()).split()
    return sorted(set(words)) + of_split(read_wordings("names"), "train")


def _statement(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """A fact, or what is true of a thing; the things are split, as facts are."""
    facts = _facts(things, split)
    thing = rng.choice(of_split(things, split) or things)
    topic = rng.choice(topics_of(thing))
    if topic == "fact":
        return rng.choice(facts or thing.facts)
    return statement(topic, thing, rng)[0]


def _word(thing: Thing, rng: Random) -> str:
    """One of its names, or a word of what is said of it."""
    if rng.random() < NAME_SHARE_OF_WORDS:
        return rng.choice((thing.name, thing.plural))
    said: list[str] = re.findall("[a-z'-]+", f"{thing.place} {thing.use} {' '.join(thing.facts)}".lower())
    return rng.choice(said)


def _facts(things: Sequence[Thing], split: Split) -> list[str]:
    """They are split, so that none is spoken in both."""
    return of_split([fact for thing in things for fact in thing.facts], split)


def sound_dialogue(sound: Sound, rng: Random, split: Split) -> Dialogue:
    """A clip in which nobody speaks, alone or with a question that the answer has to disappoint."""
    typed = ""
    if rng.random() >= BARE_SHARE_OF_SOUNDS:
        typed = hasty(question(rng.choice(("hear", "transcribe")), _SOURCE, rng, split), rng)
    turns = (Turn("user", "", typed=typed, sound=sound), Turn("assistant", answer(sound, rng)))
    return Dialogue(turns, "no_speech", ("no speech",))


def _sentence(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """A question or a fact, as it should be spelt."""
    facts = _facts(things, split)
    if facts and rng.random() < FACT_SHARE_OF_ECHOES:
        return rng.choice(facts)
    if rng.random() < PICTURE_SHARE_OF_ECHOES:
        topic = rng.choice(("name", "describe", "background", "count_all", *TOPICS))
        return question(topic, "picture_questions", rng, split)
    thing = rng.choice(things)
    return topic_question(rng.choice(topics_of(thing)), thing, rng, split)
