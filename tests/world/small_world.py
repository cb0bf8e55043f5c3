"""Five things, scenes of them, and dialogues written down as a transcript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from mmchat.world.concepts import Thing
from mmchat.world.dialogues import (
    Dialogue,
    Turn,
    album_dialogue,
    echo_dialogue,
    picture_dialogue,
    series_dialogue,
    sound_dialogue,
    text_dialogue,
)
from mmchat.world.phrasing import Split
from mmchat.world.scenes import Placed, Scene, photograph
from mmchat.world.sounds import SOUNDS


def make_thing(name: str, **fields: Any) -> Thing:
    given = {
        "name": name,
        "article": "a",
        "icons": [name],
        "facts": [f"Everybody likes the {name}.", f"The {name} is old."],
        **fields,
    }
    return Thing.model_validate(given)


CAT = make_thing(
    "cat",
    synonyms=["kitty"],
    category="animal",
    colours=["grey", "orange"],
    place="lives in homes and gardens",
    use="catches mice",
    part="whiskers",
    sound="meows",
    facts=["A cat can see well in the dark.", "A cat sleeps for most of the day."],
)
DOG = make_thing(
    "dog",
    category="animal",
    colours=["brown"],
    place="lives in homes",
    use="guards the house",
    part="a wet nose",
    sound="barks",
    facts=["A dog likes long walks.", "A dog has a very good nose."],
)
SUN = make_thing(
    "sun",
    article="the",
    category="thing in the sky",
    colours=["yellow"],
    place="shines in the sky",
    use="gives light",
    facts=["The sun is a star.", "The sun is very hot."],
)
RAIN = make_thing(
    "rain",
    plural="rain",
    article="",
    category="kind of weather",
    colours=["blue"],
    place="falls from clouds",
    use="makes plants grow",
    facts=["Rain is made of drops.", "Rain makes people wet."],
)
APPLE = make_thing(
    "apple",
    article="an",
    category="fruit",
    colours=["red", "green", "yellow"],
    place="grows on trees",
    use="is eaten raw",
    facts=["An apple is sweet.", "An apple has small seeds."],
)
WORLD = (APPLE, CAT, DOG, RAIN, SUN)


def scene_of(*things: Thing, background: str = "blue", upright: bool = False) -> Scene:
    """Things in a row from left to right, or from top to bottom."""
    places = [(0.5, 0.2 + 0.2 * i) if upright else (0.2 + 0.2 * i, 0.5) for i in range(len(things))]
    placed = (Placed(t, t.icons[0], "noto", x, y, 0.2) for t, (x, y) in zip(things, places, strict=True))
    return Scene(tuple(placed), background, "plain")


ONE, THREE, PAIR, BLANK = scene_of(CAT), scene_of(CAT, CAT, CAT), scene_of(CAT, DOG), scene_of()
COLUMN = scene_of(SUN, CAT, background="orange", upright=True)
SOME = scene_of(CAT, DOG, APPLE)
PHOTO = photograph(DOG)
UNLIKE = Scene(
    (Placed(CAT, "cat", "noto", 0.25, 0.5, 0.22), Placed(DOG, "dog", "noto", 0.75, 0.5, 0.44)), "green", "plain"
)
SCENES = (ONE, THREE, PAIR, BLANK, COLUMN, SOME, PHOTO, UNLIKE, scene_of(RAIN), scene_of(RAIN, RAIN), scene_of(SUN))


def many(seed: int, split: Split = "train", times: int = 60) -> Iterator[Dialogue]:
    """Dialogues of every sort, about every scene."""
    rng = Random(seed)
    for _ in range(times):
        yield from (picture_dialogue(scene, WORLD, rng, split) for scene in SCENES)
        yield from (album_dialogue(pair, WORLD, rng, split) for pair in ((ONE, scene_of(SUN)), (ONE, scene_of(CAT))))
        yield series_dialogue((ONE, scene_of(SUN), SOME), WORLD, rng, split)
        yield from (sound_dialogue(sound, rng, split) for sound in SOUNDS)
        yield text_dialogue(WORLD, rng, split)
        yield echo_dialogue(WORLD, rng, split)


def holds_accepted(dialogue: Dialogue) -> bool:
    """Whether an accepted phrase stands in the last turn."""
    return holds_phrase(dialogue.turns[-1].text, dialogue.accept)


def holds_phrase(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases stands in the text as whole words, in capitals or not."""
    return any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) for phrase in phrases)


def transcript(dialogue: Dialogue) -> str:
    """The kind; a line a turn; what is accepted.

    `>` is the user, `<` the assistant, `:` the system; `#0` is the first picture; text that stays typed beside a clip
    stands in brackets, what is heard there instead of speech in parentheses.
    """
    lines = [f"{_MARKS[turn.role]} {_written(turn)}" for turn in dialogue.turns]
    return "\n".join([dialogue.kind, *lines, f"= {' | '.join(dialogue.accept)}", ""])


def transcripts(make: Callable[[Random], Dialogue], *wanted: str) -> str:
    """Of the dialogues that `make` gives without a system prompt, the first of each kind that is wanted.

    "position" wants a kind; "position: which" also wants these words in the last question.
    """
    return "".join(transcript(_first(make, *each.partition(": ")[::2])) for each in wanted)


def _first(make: Callable[[Random], Dialogue], kind: str, words: str) -> Dialogue:
    for seed in range(_MOST_SEEDS):
        dialogue = make(Random(seed))
        if dialogue.kind == kind and dialogue.turns[0].role == "user" and words in dialogue.turns[-2].spoken:
            return dialogue
    raise AssertionError(f"{_MOST_SEEDS} seeds make no dialogue of kind {kind} that asks {words!r}")


_MOST_SEEDS = 3_000
_MARKS = {"user": ">", "assistant": "<", "system": ":"}


def _written(turn: Turn) -> str:
    pictures = [f"#{number}" for number in turn.pictures]
    typed = [f"[{turn.typed}]"] if turn.typed else []
    return " ".join(filter(None, [*pictures, *typed, turn.text, turn.sound and f"({turn.sound})"]))
