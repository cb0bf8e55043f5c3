"""Dialogues in words alone: facts, small sums, names of people, manners, mmchat itself, honest ignorance."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import (
    NUMBERS,
    Split,
    answer,
    asked_words,
    capitalise,
    direct,
    indefinite,
    of_split,
    question,
    read_wordings,
    wording,
    words_of,
)
from mmchat.world.talk import TOPICS, Dialogue, Exchange, continued, dialogue, statement, topics_of

KIND_WEIGHTS: Mapping[str, float] = {
    **{
        "place": 3,
        "use": 3,
        "fact": 3,
        "category": 3,
        "part": 1,
        "sound": 1,
        "colour": 2,
        "is_a": 2,
        "followup": 3,
    },
    **{"greet": 0.6, "thanks": 0.6, "bye": 0.6, "about": 1.5, "no_media": 1.5, "out_of_world": 4},
    **{"sum": 3, "sum_digits": 1.5, "count_to": 0.3, "next_number": 0.5, "remember_name": 2, "no_name": 0.3},
    **{"category_example": 0.7},
}

LARGEST_OPERAND = 10

CONFUSABLE = (
    frozenset({"animal", "food"}),
    frozenset({"plant", "fruit", "vegetable", "food", "drink"}),
    frozenset({"animal", "creature of tales", "person", "toy"}),
    frozenset(
        {"tool", "device", "household thing", "toy", "instrument", "sports thing", "vehicle", "garment", "office thing"}
    ),
    frozenset({"building", "place"}),
    frozenset({"kind of weather", "thing in the sky", "place", "thing of nature", "plant", "stone"}),
    frozenset({"face", "symbol", "sign of the hand", "part of the body"}),
    frozenset({"piece of money", "household thing", "office thing", "tool"}),
    frozenset({"thing of nature", "animal", "part of the body", "food", "tool", "symbol"}),
)
"""Categories of which one thing may be both, so that "Is an apple a food?" is never answered with "No"."""

_POLITE = {"greet": "hello", "thanks": "welcome", "bye": "goodbye"}
"""What any right answer to a word of manners holds."""

_SOURCE = "text_questions"
_PICTURE_SOURCE = "picture_questions"
_SYLLABLES = (
    ("bl", "d", "fl", "gr", "k", "m", "n", "pr", "sn", "t", "v", "w", "z", "tr", "pl", "gl"),
    ("a", "e", "i", "o", "u", "oo"),
    ("b", "ck", "ff", "g", "ll", "mp", "nd", "rf", "sk", "x", "zz", "rp"),
    ("", "le", "o", "y", "er", "um", "it"),
)
_KNOWN_NAMES_SHARE = 0.3
_SYLLABLES_SHARE = 0.4  # of made-up names; the others are pieces of words
_NAME_SYLLABLES = (
    ("", *"bdfghjklmnprstvwyz", "ch", "qu", "sh", "th"),
    (*"aeiou", "ai", "ee", "ia", "au"),
    ("", *"bdklmnrstvz", "ll", "nd", "nn", "rt", "sh"),
    (*"aeiou", "ie", "ya", "el", "an", "en", "in", "on", "us", "er", "ar", "ika", "oko", "ina", "eph"),
)


def text_dialogue(things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A dialogue without a picture about one of `things` (three or more, of which one has
    a part and one a sound), or about none of them.

    Kinds that a picture dialogue has too are named `text_…`.
    """
    kind = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    if kind in TOPICS:
        thing = _with_topic(things, kind, rng)
        return dialogue(f"text_{kind}", [topic_exchange(kind, thing, rng, split)], rng, split)
    if kind == "followup":
        return dialogue("text_followup", _follow_up(rng.choice(things), rng, split), rng, split)
    if kind == "remember_name":
        return dialogue(kind, _remember_name(things, rng, split), rng, split)
    return dialogue(kind, [text_exchange(kind, things, rng, split)], rng, split)


def text_exchange(kind: str, things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """One question of a kind that is about no thing that is chosen before, and its answer."""
    if kind in _POLITE:
        return Exchange(question(kind, _SOURCE, rng, split), answer(kind, rng), (_POLITE[kind],))
    if kind in ("sum", "sum_digits"):
        return _sum(rng, split, digits=kind == "sum_digits")
    asks: dict[str, Callable[[Sequence[Thing], Random, Split], Exchange]] = {
        "is_a": _is_a,
        "about": _about,
        "no_media": _no_media,
        "out_of_world": _out_of_world,
        "count_to": _count_to,
        "next_number": _next_number,
        "category_example": _category_example,
        "no_name": _no_name,
    }
    return asks[kind](things, rng, split)


def topic_exchange(topic: str, thing: Thing, rng: Random, split: Split) -> Exchange:
    """A question that names `thing`, and what is true of it."""
    return Exchange(topic_question(topic, thing, rng, split), *statement(topic, thing, rng))


def topic_question(topic: str, thing: Thing, rng: Random, split: Split) -> str:
    """A question that names `thing`; of what lives or grows it may ask where that is."""
    verb = thing.place.split(" ", maxsplit=1)[0]
    if topic == "place" and verb in ("lives", "grows") and rng.random() < 0.5:
        topic = f"place_{verb}"
    return question(topic, _SOURCE, rng, split, **asked_words(thing, rng))


def _with_topic(things: Sequence[Thing], topic: str, rng: Random) -> Thing:
    return rng.choice([thing for thing in things if topic in topics_of(thing)])


def _follow_up(thing: Thing, rng: Random, split: Split) -> list[Exchange]:
    """A question that names a thing, then one or two about "it"."""
    first, *later = rng.sample(topics_of(thing), rng.randint(2, 3))
    return [
        topic_exchange(first, thing, rng, split),
        *(topic_exchange_of_it(topic, thing, rng, split) for topic in later),
    ]


def topic_exchange_of_it(topic: str, thing: Thing, rng: Random, split: Split) -> Exchange:
    """A question about "it", which was named before, and what is true of `thing`."""
    asked = continued(question(topic, _PICTURE_SOURCE, rng, split), rng)
    return Exchange(asked, *statement(topic, thing, rng))


def _is_a(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Balanced: as many yes as no, where the world has a category that is surely wrong."""
    thing = rng.choice(things)
    words = asked_words(thing, rng)
    wrong = sorted({other.category for other in things if not _confusable(other.category, thing.category)})
    if not wrong or rng.random() < 0.5:
        asked = question("is_a", _SOURCE, rng, split, **words, other=words["category"])
        return Exchange(asked, answer("yes_is_a", rng, **words_of(thing)), ("yes",), short="Yes.")
    other = indefinite(rng.choice(wrong))
    asked = question("is_a", _SOURCE, rng, split, **words, other=other)
    return Exchange(asked, answer("no_is_a", rng, **words_of(thing), other=other), ("no",), short="No.")


def _confusable(first: str, second: str) -> bool:
    return first == second or any(first in group and second in group for group in CONFUSABLE)


def _sum(rng: Random, split: Split, *, digits: bool) -> Exchange:
    """A sum of two numbers up to ten, or a difference that is not negative; answered in words."""
    a, b = rng.randint(0, LARGEST_OPERAND), rng.randint(0, LARGEST_OPERAND)
    plus = rng.random() < 0.5
    a, b = (a, b) if plus else (max(a, b), min(a, b))
    topic, result = ("plus", a + b) if plus else ("minus", a - b)
    words = {"a": NUMBERS[a], "A": capitalise(NUMBERS[a]), "b": NUMBERS[b], "c": NUMBERS[result]}
    given = {"a": str(a), "b": str(b)} if digits else words
    asked = question(f"{topic}_digits" if digits else topic, _SOURCE, rng, split, **given)
    return Exchange(asked, answer(topic, rng, **words), (NUMBERS[result],), short=f"{capitalise(NUMBERS[result])}.")


def _count_to(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    last = rng.randint(2, LARGEST_OPERAND)
    counted = ", ".join(NUMBERS[1 : last + 1])
    return Exchange(question("count_to", _SOURCE, rng, split, b=NUMBERS[last]), f"{capitalise(counted)}.", (counted,))


def _next_number(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Which number comes after or before another."""
    a = rng.randint(1, len(NUMBERS) - 2)
    way, c = rng.choice((("count_after", a + 1), ("count_before", a - 1)))
    words = {"a": NUMBERS[a], "c": NUMBERS[c], "C": capitalise(NUMBERS[c])}
    text = answer("next_number" if way == "count_after" else "number_before", rng, **words)
    return Exchange(question(way, _SOURCE, rng, split, **words), text, (NUMBERS[c],), short=f"{words['C']}.")


def _category_example(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """Name an animal: any will do."""
    category = rng.choice(sorted({thing.category for thing in things}))
    alike = [thing for thing in things if thing.category == category]
    words = words_of(rng.choice(alike))
    accept = tuple(thing.name for thing in alike)
    return Exchange(
        question("category_example", _SOURCE, rng, split, **words), answer("category_example", rng, **words), accept
    )


def _remember_name(things: Sequence[Thing], rng: Random, split: Split) -> list[Exchange]:
    """A name is told, perhaps something else is asked, then the name is wanted back."""
    person = person_name(things, rng, split)
    exchanges = [tell_name(person, rng, split)]
    if rng.random() < 0.5:
        thing = rng.choice(things)
        exchanges.append(topic_exchange(rng.choice(topics_of(thing)), thing, rng, split))
    return [*exchanges, ask_name(person, rng, split)]


def tell_name(person: str, rng: Random, split: Split) -> Exchange:
    """My name is …"""
    told = rng.choice(of_split(read_wordings(_SOURCE)["tell_name"], split)).format(person=person)
    return Exchange(told, answer("tell_name", rng, person=person), (person,), keep_capitals=True)


def ask_name(person: str, rng: Random, split: Split) -> Exchange:
    """What is my name?"""
    asked = question("ask_name", _SOURCE, rng, split)
    return Exchange(asked, answer("ask_name", rng, person=person), (person,))


def person_name(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """A name that people have, or in training mostly one that nobody has: a few hundred names are learnt by heart, and
    any other is then answered with one of them.
    """
    if split == "test" or rng.random() < _KNOWN_NAMES_SHARE:
        names: list[str] = of_split(read_wordings("names"), split)
        return rng.choice(names)
    return invented_name(things, rng)


def invented_name(things: Sequence[Thing], rng: Random) -> str:
    """A name that nobody has: of syllables, or of pieces of words and of names of training."""
    names: list[str] = read_wordings("names")
    syllables = rng.random() < _SYLLABLES_SHARE
    while (name := _of_syllables(rng) if syllables else _of_pieces(of_split(names, "train"), things, rng)) in names:
        pass
    return name


def _of_syllables(rng: Random) -> str:
    return "".join(map(rng.choice, _NAME_SYLLABLES)).capitalize()


def _of_pieces(names: Sequence[str], things: Sequence[Thing], rng: Random) -> str:
    """Beginnings, middles and ends of words, so that few tokens of a vocabulary are never said again."""
    pieces = []
    for _ in range(rng.randint(1, 3)):
        word = re.sub("[^a-z]", "", rng.choice((rng.choice(names), rng.choice(things).name)).lower())
        start = rng.randrange(max(1, len(word) - 1))
        pieces.append(word[start : start + rng.randint(2, 5)])
    return "".join(pieces).capitalize()


def _no_name(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    return Exchange(question("ask_name", _SOURCE, rng, split), answer("no_name", rng), ("I don't know",))


def _about(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    entry: dict[str, Any] = rng.choice(read_wordings("about"))
    asked = wording(entry["questions"], "about", entry["questions"][0], rng, split)
    return Exchange(asked, rng.choice(entry["answers"]), tuple(entry["accept"]))


def _no_media(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """A question about a picture that was never shown."""
    topic = rng.choice(("name", "name", "describe", "describe", "background", "count_all", "place", "use", "category"))
    asked = question(topic, _PICTURE_SOURCE, rng, split)
    return Exchange(asked, answer("no_media", rng), ("don't see a picture", "no picture"))


def _out_of_world(things: Sequence[Thing], rng: Random, split: Split) -> Exchange:
    """A question that nothing in the world answers; the answer says so and what can be asked."""
    source = read_wordings("out_of_world")
    if rng.random() < 0.3:
        asked = rng.choice(direct(source["fixed"], "out_of_world", "fixed", split))
    else:
        known = {name for thing in things for name in thing.names}
        words = [word for word in direct(source["words"], "out_of_world", "words", split) if _noun(word) not in known]
        asked = wording(source["templates"], "out_of_world", "templates", rng, split).format(
            word=rng.choice(words),
            madeup=indefinite(_made_up(rng)),
            name=rng.choice(things).name,
            country=rng.choice(of_split(source["countries"], split)),
            language=rng.choice(of_split(source["languages"], split)),
            celebrity=rng.choice(of_split(source["celebrities"], split)),
            year=str(rng.randint(1400, 2040)),
            big_a=rng.choice(NUMBERS[11:]),
            big_b=rng.choice(NUMBERS[11:]),
        )
    return Exchange(asked, answer("unknown", rng), ("I don't know",))


def _noun(word: str) -> str:
    return word.removeprefix("an ").removeprefix("a ")


def _made_up(rng: Random) -> str:
    return "".join(rng.choice(part) for part in _SYLLABLES)
