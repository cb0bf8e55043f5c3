"""Where things stand in words: literal tables for every arrangement that scenes have."""

from __future__ import annotations

from random import Random

import pytest

from mmchat.world.concepts import Thing
from mmchat.world.drawings import TRAIN_STYLES, Drawings
from mmchat.world.scenes import Placed, Scene, sample_scene
from mmchat.world.spots import in_order, relations, sides, spots
from tests.world.small_world import make_thing

TABLES = {
    "a row of three": """
        on the left | in the middle | on the right
    """,
    "a column of three": """
        at the top
        in the middle
        at the bottom
    """,
    "two by two": """
        at the top left    | at the top right
        at the bottom left | at the bottom right
    """,
    "three wide, two high": """
        at the top left    | at the top in the middle    | at the top right
        at the bottom left | at the bottom in the middle | at the bottom right
    """,
    "two wide, three high": """
        at the top left        | at the top right
        in the middle on the left | in the middle on the right
        at the bottom left     | at the bottom right
    """,
    "five of six, a corner empty": """
        at the top left    | at the top in the middle    | at the top right
        at the bottom left | at the bottom in the middle |
    """,
    "five of six, a middle empty": """
        at the top left           | at the top right
                                  | in the middle on the right
        at the bottom left        | at the bottom right
    """,
}


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def thing_named(number: int) -> Thing:
    fields = {"category": "toy", "colours": ["red"], "place": "is here", "use": "does nothing"}
    return make_thing(f"thing {number}", icons=["icon"], **fields)


def laid_out(table: str, jitter: Random) -> tuple[Scene, list[str]]:
    """Things in the cells that name a spot, each a little off, and these spots in reading order."""
    rows = cells_of(table)
    placed: list[Placed] = []
    words = []
    for row, cells in enumerate(rows):
        for column, spot in enumerate(cells):
            if spot:
                x, y = (column + 0.5) / len(cells), (row + 0.5) / len(rows)
                x, y = (centre + jitter.uniform(-0.05, 0.05) for centre in (x, y))
                placed.append(Placed(thing_named(len(placed)), "icon", "noto", x, y, 0.2))
                words.append(spot)
    return Scene(tuple(placed), "blue", "plain"), words


@pytest.mark.parametrize("arrangement", TABLES)
def test_each_cell_of_an_arrangement_has_its_words(arrangement: str) -> None:
    for seed in range(20):
        scene, words = laid_out(TABLES[arrangement], Random(seed))
        assert [spot for _, spot in spots(scene)] == words
        assert [placed for placed, _ in spots(scene)] == list(scene.placed)


@pytest.mark.parametrize("arrangement", TABLES)
def test_some_things_are_told_in_reading_order(arrangement: str) -> None:
    for seed in range(20):
        scene, _ = laid_out(TABLES[arrangement], Random(seed))
        shuffled = Scene(tuple(Random(seed).sample(scene.placed, len(scene.placed))), "blue", "plain")
        assert in_order(shuffled) == tuple(placed.thing for placed in scene.placed)


def test_spots_of_a_sampled_scene_are_never_shared(toys: tuple[Thing, ...], drawings: Drawings) -> None:
    for seed in range(60):
        scene = sample_scene(toys, drawings, TRAIN_STYLES, Random(seed), "some")
        assert len({spot for _, spot in spots(scene)}) == len(scene.placed)


@pytest.mark.parametrize(
    ("first", "second", "order", "where", "how"),
    [
        ((0.2, 0.5), (0.8, 0.45), "ab", ("on the left", "on the right"), ("to the left of", "to the right of")),
        ((0.8, 0.5), (0.2, 0.45), "ba", ("on the left", "on the right"), ("to the left of", "to the right of")),
        ((0.5, 0.2), (0.55, 0.8), "ab", ("at the top", "at the bottom"), ("above", "below")),
        ((0.5, 0.8), (0.45, 0.2), "ba", ("at the top", "at the bottom"), ("above", "below")),
    ],
)
def test_a_pair_stands_side_by_side_or_one_above_the_other(
    first: tuple[float, float], second: tuple[float, float], order: str, where: tuple[str, str], how: tuple[str, str]
) -> None:
    a, b = thing_named(0), thing_named(1)
    scene = Scene((Placed(a, "icon", "noto", *first, 0.3), Placed(b, "icon", "noto", *second, 0.3)), "blue", "plain")
    assert in_order(scene) == ((a, b) if order == "ab" else (b, a))
    assert sides(scene) == where
    assert relations(scene) == how


def test_a_thing_that_is_there_several_times_is_told_once() -> None:
    ball = thing_named(0)
    placed = tuple(Placed(ball, "icon", "noto", x, 0.5, 0.2) for x in (0.8, 0.2, 0.5))
    assert in_order(Scene(placed, "blue", "plain")) == (ball,)
    assert in_order(Scene((), "blue", "plain")) == ()
