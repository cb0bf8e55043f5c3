"""Wordings of questions and answers, and how the words of a thing fill them.

The wordings stand in `wordings/*.yaml`. Every `TEST_STRIDE`th wording of a list belongs to the test split alone,
so that no question of the test set was ever asked in training. Answers are not split: the model answers in the
words that it learnt. Training asks in many more words as well: those of `wordings/more/*.yaml`, written by hands that
had not read what the test asks, and within other sentences (`wordings/indirect.yaml`), in more ways than can be learnt
by heart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

import yaml

from mmchat.world.concepts import Thing

Split = Literal["train", "test"]
T = TypeVar("T")

TEST_STRIDE = 5
WORDINGS_FOLDER = Path(__file__).parent / "wordings"
NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *(
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ),
)

INDIRECT_SHARE = 0.35
"""Of the questions of training that can be asked within another sentence."""

_SYNONYM_SHARE = 0.1
_HASTE = {"as it is": 0.4, "small": 0.15, "bare": 0.15, "small and bare": 0.3}
_SOUNDS_LIKE_A_CONSONANT = re.compile(r"uni|use|usu|euro|ukulele|one\b")
_SOUNDS_LIKE_A_VOWEL = re.compile(r"[aeiou]|hour|honest")


@cache
def read_wordings(name: str) -> Any:
    """The content of `wordings/<name>.yaml`."""
    return yaml.safe_load((WORDINGS_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def of_split(items: Sequence[T], split: Split) -> list[T]:
    """The items of one split: every fifth is for the test."""
    return [item for index, item in enumerate(items) if (index % TEST_STRIDE == TEST_STRIDE - 1) == (split == "test")]


def question(topic: str, source: str, rng: Random, split: Split, **words: str) -> str:
    """A random wording of a question from `wordings/<source>.yaml`, filled and properly spelt."""
    chosen = wording(read_wordings(source)[topic], source, topic, rng, split)
    return capitalise(chosen.format(**words))


def wording(listed: Sequence[str], source: str, topic: str, rng: Random, split: Split) -> str:
    """One of the wordings of the split, or in training now and then one within another sentence.

    Args:
        listed: the wordings of the topic in `wordings/<source>.yaml`, of both splits.
        source: where they stand.
        topic: what they ask for; of `about.yaml` the first question of an entry.
        rng: what is drawn from.
        split: which of them.
    """
    within = indirect(source, topic) if split == "train" else ()
    if within and rng.random() < INDIRECT_SHARE:
        return rng.choice(within)
    return rng.choice(direct(listed, source, topic, split))


def direct(listed: Sequence[str], source: str, topic: str, split: Split) -> Sequence[str]:
    """The wordings of the split among those listed, and in training those of `wordings/more/<source>.yaml` too."""
    return of_split(listed, split) if split == "test" else [*of_split(listed, split), *more(source, topic)]


def more(source: str, topic: str) -> Sequence[str]:
    """What `wordings/more/<source>.yaml` has for a topic: nothing that the test asks, and of a few topics nothing."""
    wordings: Sequence[str] = read_wordings(f"more/{source}").get(topic, ())
    return wordings


@cache
def indirect(source: str, topic: str) -> Sequence[str]:
    """All ways to ask about a topic within another sentence, in training; a few topics have none."""
    known = read_wordings("indirect")
    if topic in known["pairs"]:
        pairs = permutations(of_split(read_wordings(source)[topic], "train"), 2)
        return _unasked_in_test(map(" ".join, pairs))
    clauses = known.get(source, {}).get(topic, ())
    return _unasked_in_test(frame.replace("{clause}", clause) for frame in known["frames"] for clause in clauses)


def bare(wording: str) -> str:
    """The words of a wording alone: without capitals, marks and the names of its slots."""
    words = re.sub(r"[^a-z{}+ -]", "", re.sub(r"\{\w+\}", "{}", wording).lower())
    return " ".join(words.split())


def _unasked_in_test(wordings: Iterable[str]) -> Sequence[str]:
    return [wording for wording in wordings if bare(wording) not in _asked_in_test()]


@cache
def _asked_in_test() -> frozenset[str]:
    """The words of every question of the test split."""
    unknown = read_wordings("out_of_world")
    lists: list[list[str]] = [
        *read_wordings("picture_questions").values(),
        *read_wordings("text_questions").values(),
        *(entry["questions"] for entry in read_wordings("about")),
        *(unknown["templates"], unknown["fixed"]),
    ]
    return frozenset(bare(wording) for wordings in lists for wording in of_split(wordings, "test"))


def answer(topic: str, rng: Random, **words: str) -> str:
    """A random wording of an answer, filled."""
    wording: str = rng.choice(read_wordings("answers")[topic])
    return wording.format(**words)


def answers(topic: str, **words: str) -> list[str]:
    """Every wording of an answer, filled."""
    return [wording.format(**words) for wording in read_wordings("answers")[topic]]


def hasty(text: str, rng: Random, *, keep_capitals: bool = False) -> str:
    """`text` as people type it: often in small letters, often without the mark at its end."""
    haste = rng.choices(list(_HASTE), weights=list(_HASTE.values()))[0]
    if "small" in haste and not keep_capitals:
        text = text.lower()
    return text.rstrip(" =?.!") if "bare" in haste else text


def capitalise(text: str) -> str:
    """`text` with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def indefinite(noun: str) -> str:
    """ "a cat", "an apple"."""
    vowel = _SOUNDS_LIKE_A_VOWEL.match(noun) and not _SOUNDS_LIKE_A_CONSONANT.match(noun)
    return f"{'an' if vowel else 'a'} {noun}"


def some(thing: Thing) -> str:
    """The thing after "is there": "a cat", "a sun", "rain"."""
    return indefinite(thing.name) if thing.article == "the" else thing.phrase


def counted(thing: Thing, number: int) -> str:
    """ "one cat", "three cats"; what has no plural is counted in pictures: "three pictures of rain"."""
    if thing.article == "" and thing.plural == thing.name:
        return f"{NUMBERS[number]} picture{'s' if number > 1 else ''} of {thing.name}"
    return f"{NUMBERS[number]} {thing.name if number == 1 else thing.plural}"


def joined(items: Sequence[str], word: str) -> str:
    """ "grey", "grey or orange", "red, grey or orange"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def words_of(thing: Thing) -> dict[str, str]:
    """What fills the slots of a wording about `thing`."""
    return {
        "thing": thing.phrase,
        "Thing": thing.capitalised,
        "name": thing.name,
        "plural": thing.plural,
        "some": some(thing),
        "category": indefinite(thing.category),
        "colours": joined(thing.colours, "or"),
        "place": thing.place,
        "use": thing.use,
        "part": thing.part or "",
        "sound": thing.sound or "",
    }


def asked_words(thing: Thing, rng: Random) -> dict[str, str]:
    """`words_of` a thing for a question, now and then under another of its names."""
    words = words_of(thing)
    others = [name for name in thing.synonyms if not name.endswith("s")]
    if thing.article in ("a", "an") and others and rng.random() < _SYNONYM_SHARE:
        phrase = indefinite(rng.choice(others))
        words |= {"thing": phrase, "Thing": capitalise(phrase)}
    return words
