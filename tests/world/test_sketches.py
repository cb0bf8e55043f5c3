"""Icon sets for interfaces: what they call a thing, and what they mean something else by."""

from __future__ import annotations

import yaml

from mmchat.world.concepts import load_things
from mmchat.world.drawings import MONOCHROME_STYLES, RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES
from mmchat.world.sketches import NAMES_FILE, names_in_sketches
from tests.world.small_world import make_thing

KNOWN = {"category": "toy", "colours": ["white"], "place": "lies in a box", "use": "is good for play"}


def test_a_thing_is_looked_for_under_its_own_name_and_then_under_those_of_its_icons() -> None:
    bottle = make_thing("baby bottle", icons=["nursing-bottle", "bottle"], **KNOWN)
    named = names_in_sketches([bottle])
    assert tuple(named) == SKETCH_STYLES
    assert named["lucide"] == {"nursing-bottle": ("baby-bottle", "nursing-bottle", "bottle")}


def test_a_name_that_means_something_else_is_passed_over() -> None:
    """A mouse of tabler belongs to a computer, one of game-icons has a tail."""
    mouse = make_thing("mouse", icons=["mouse", "mouse-face"], **KNOWN)
    named = names_in_sketches([mouse])
    assert named["tabler"] == {"mouse": ("mouse-face",)}
    assert named["game-icons"] == {"mouse": ("mouse", "mouse-face")}


def test_every_name_that_is_passed_over_would_have_been_looked_for() -> None:
    looked_for = {name for thing in load_things() for name in (thing.name.replace(" ", "-"), *thing.icons)}
    for style, names in yaml.safe_load(NAMES_FILE.read_text(encoding="utf-8")).items():
        assert style in SKETCH_STYLES
        assert {*names} <= looked_for, style


def test_no_set_has_two_uses() -> None:
    assert len({*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES}) == sum(
        map(len, (TRAIN_STYLES, SKETCH_STYLES, RESERVED_STYLES))
    )
    assert {*MONOCHROME_STYLES} < {*TRAIN_STYLES, *SKETCH_STYLES}
