"""Random phrasings of what was typed: what still asks the same, in a little fewer words or more."""

from __future__ import annotations

import random
import re

_ANEW_SHARE = 0.5
_LEFT_OUT_SHARE = 0.2
_MOST_LEFT_OUT = 2
_FILLED_SHARE = 0.25
_LITTLE_WORDS = frozenset((
    "a", "an", "the", "is", "are", "am", "do", "does", "did", "can", "could", "would", "will", "me", "please", "to",
    "of", "so", "just", "now", "for",
))  # fmt: skip
_BEFORE = ("please", "so", "ok", "okay", "hey", "now", "well", "and", "um", "hi", "then")
_BEHIND = ("please", "now", "then", "thanks", "thank you", "ok")
_QUOTED_WORDS = 3


def typed_anew(text: str, answers: str, rng: random.Random) -> str:
    """Half of all texts with up to two little words left out, or a word of courtesy before or behind the rest.

    Easy data augmentation (Wei and Zou 2019) held to words that an answer does not hang on: what they call random
    deletion may lose the thing that is asked about.

    Args:
        text: as it was typed.
        answers: all that the assistant says; a text that it quotes, of three words and more, stays as it is.
        rng: what is drawn from.
    """
    if rng.random() >= _ANEW_SHARE or not text.strip() or _quotes(answers, text):
        return text
    first, *words = text.split(" ")
    for _ in range(_MOST_LEFT_OUT):
        little = [place for place, word in enumerate(words[:-1]) if word.lower() in _LITTLE_WORDS]
        if little and rng.random() < len(little) * _LEFT_OUT_SHARE:
            del words[rng.choice(little)]
    text = " ".join((first, *words))
    if rng.random() >= _FILLED_SHARE:
        return text
    if rng.random() < 0.5:
        return f"{text.rstrip('?.! ')} {rng.choice(_BEHIND)}"
    return f"{rng.choice(_BEFORE)} {text if first == 'I' else text[:1].lower() + text[1:]}"


def _quotes(answers: str, text: str) -> bool:
    """Whether words of a text stand in the answers, one behind the other."""
    said, typed = (re.findall(r"[\w'-]+", each.lower()) for each in (answers, text))
    return not _runs(said).isdisjoint(_runs(typed))


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    """All runs of so many words that they make a quotation."""
    return set(zip(*(words[start:] for start in range(_QUOTED_WORDS)), strict=False))
