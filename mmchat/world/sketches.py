"""Icon sets for interfaces: a few strokes in one ink, and what each calls the things of the world.

Training sees them, no test does: a thing that is known in many hands is known in an unseen one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from mmchat.world.concepts import Thing
from mmchat.world.drawings import SKETCH_STYLES

NAMES_FILE = Path(__file__).parent / "sketches.yaml"


@cache
def _other_meanings() -> dict[str, frozenset[str]]:
    """By set, the names under which it does not draw what the world calls so."""
    names: dict[str, list[str]] = yaml.safe_load(NAMES_FILE.read_text(encoding="utf-8"))
    return {style: frozenset(names[style]) for style in SKETCH_STYLES}


def names_in_sketches(things: Sequence[Thing]) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """For each of these sets, the names to look for, the best first, by the main icon of each thing."""
    return {
        style: {
            thing.icons[0]: tuple(
                name
                for name in dict.fromkeys((thing.name.lower().replace(" ", "-"), *thing.icons))
                if name not in others
            )
            for thing in things
        }
        for style, others in _other_meanings().items()
    }
