"""The shape of a dialogue, and the statements about a thing that pictures and words both lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, hasty, of_split, read_wordings, words_of

Role = Literal["system", "user", "assistant"]
Sound = Literal["silence", "noise", "music"]

SHORT_SHARE = 0.04
PLAIN_SYSTEM_SHARE = 0.05

TOPICS = ("place", "use", "fact", "category", "part", "sound", "colour")
"""What can be asked about a thing, whether it is seen or named."""


@dataclass(frozen=True)
class Turn:
    """One turn.

    `pictures` are shown beside `text`, which may be typed in haste, by their number among the dialogue's scenes;
    `spoken` is the same question properly spelt, for a clip and its transcript; `typed` is text that stays typed
    beside the clip. Where there is a `sound`, the clip holds that instead of speech.
    """

    role: Role
    text: str
    pictures: tuple[int, ...] = ()
    typed: str = ""
    spoken: str = ""
    sound: Sound | None = None


@dataclass(frozen=True)
class Dialogue:
    """A dialogue that ends with an answer.

    `accept` holds words or phrases, any one of which stands in the last turn: compare whole words, without regard to
    case; where some are synonyms, the name itself comes first. Where `speakable`, the text of the last user turn may
    be exchanged for a clip of what is `spoken`; the text of a turn that also has `typed` text always is.
    """

    turns: tuple[Turn, ...]
    kind: str
    accept: tuple[str, ...]
    speakable: bool = True


@dataclass(frozen=True)
class Exchange:
    """A question, its answer, and what any right answer holds.

    `keep_capitals` where haste would change a name; `short` is the answer to somebody who wants a word or two;
    `pictures` are those that the question shows.
    """

    question: str
    answer: str
    accept: tuple[str, ...]
    keep_capitals: bool = False
    short: str = ""
    pictures: tuple[int, ...] = ()


def dialogue(
    kind: str, exchanges: Sequence[Exchange], rng: Random, split: Split, short_share: float = SHORT_SHARE
) -> Dialogue:
    """Exchanges one after another, the questions typed more or less in haste.

    Now and then a system prompt stands first: one that asks for short answers and gets them (a `short_share`, where
    all have such an answer), or one that changes nothing. A last question with digits is not speakable: nobody could
    tell from the sound how it was written.
    """
    chance = rng.random()
    short = chance < short_share and all(exchange.short for exchange in exchanges)
    turns: list[Turn] = []
    if short or short_share <= chance < short_share + PLAIN_SYSTEM_SHARE:
        prompts = of_split(read_wordings("system")["short" if short else "plain"], split)
        turns.append(Turn("system", rng.choice(prompts)))
    for exchange in exchanges:
        typed = hasty(exchange.question, rng, keep_capitals=exchange.keep_capitals)
        turns.append(Turn("user", typed, exchange.pictures, spoken=exchange.question))
        turns.append(Turn("assistant", exchange.short if short else exchange.answer))
    speakable = not any(character.isdigit() for character in exchanges[-1].question)
    return Dialogue(tuple(turns), kind, exchanges[-1].accept, speakable)


def topics_of(thing: Thing) -> list[str]:
    """The topics that something is known about: not every thing has a part or a sound."""
    missing = {topic for topic in ("part", "sound") if getattr(thing, topic) is None}
    return [topic for topic in TOPICS if topic not in missing]


def statement(topic: str, thing: Thing, rng: Random) -> tuple[str, tuple[str, ...]]:
    """What is true of `thing` in this topic, and what any right answer holds."""
    if topic == "fact":
        return " ".join(rng.sample(thing.facts, rng.randint(1, 2))), tuple(fact.rstrip(".") for fact in thing.facts)
    text = answer(topic, rng, **words_of(thing))
    if topic == "colour":
        return text, tuple(thing.colours)
    return text, (getattr(thing, topic),)


def continued(question: str, rng: Random) -> str:
    """A question as it follows another: now and then with "and" before it."""
    if rng.random() < 0.75:
        return question
    return f"And {question[0].lower()}{question[1:]}"
