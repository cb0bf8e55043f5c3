"""Scenes: the layouts, what is true of them, and pictures in which everything is whole and visible."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.concepts import COLOURS, Thing
from mmchat.world.drawings import TRAIN_STYLES, Drawings
from mmchat.world.scenes import (
    LAYOUT_SHARES,
    MOST_OF_ONE_THING,
    PICTURE_SIDE,
    Layout,
    Placed,
    Scene,
    draw,
    sample_scene,
)

LAYOUTS: tuple[Layout, ...] = ("blank", "one", "same", "pair")
Toys = tuple[Thing, ...]


def scenes(toys: Toys, drawings: Drawings, layout: Layout | None = None, count: int = 60) -> list[Scene]:
    return [sample_scene(toys, drawings, TRAIN_STYLES, Random(seed), layout) for seed in range(count)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scene_has_the_layout_that_was_wanted(toys: Toys, drawings: Drawings, layout: Layout) -> None:
    sizes = {"blank": {0}, "one": {1}, "pair": {2}, "same": set(range(2, MOST_OF_ONE_THING + 1))}
    sampled = scenes(toys, drawings, layout)
    assert {scene.layout for scene in sampled} == {layout}
    assert {len(scene.placed) for scene in sampled} == sizes[layout]


def test_layouts_come_in_their_shares(toys: Toys, drawings: Drawings) -> None:
    """600 scenes: a share may be off by 0.07, over three standard deviations (0.02) of the most frequent one."""
    counts = Counter(scene.layout for scene in scenes(toys, drawings, count=600))
    for layout, share in LAYOUT_SHARES.items():
        assert counts[layout] / 600 == pytest.approx(share, abs=0.07)


def test_everything_stands_inside_the_picture_and_nothing_overlaps(toys: Toys, drawings: Drawings) -> None:
    for scene in scenes(toys, drawings, count=200):
        for placed in scene.placed:
            reach = placed.size / 2 - 0.03
            assert reach <= placed.x <= 1 - reach
            assert reach <= placed.y <= 1 - reach
        for index, one in enumerate(scene.placed):
            for other in scene.placed[:index]:
                apart = max(abs(one.x - other.x), abs(one.y - other.y))
                assert apart >= (one.size + other.size) / 2 - 0.04


def test_one_relation_is_true_of_a_pair(toys: Toys, drawings: Drawings) -> None:
    for scene in scenes(toys, drawings, "pair"):
        first, second = scene.placed
        along, across = sorted((abs(first.x - second.x), abs(first.y - second.y)), reverse=True)
        assert along > 0.4
        assert across < 0.1


def test_the_background_differs_from_what_stands_on_it(toys: Toys, drawings: Drawings) -> None:
    for scene in scenes(toys, drawings, "one"):
        drawn = np.array(drawings.mean_colour(scene.placed[0].style, scene.placed[0].icon))
        assert np.linalg.norm(drawn - COLOURS[scene.background]) > 60


def test_only_styles_that_draw_a_thing_are_used(toys: Toys, drawings: Drawings) -> None:
    flag = [thing for thing in toys if thing.name == "flag"]
    styles = {scene.placed[0].style for scene in scenes(tuple(flag), drawings, "one")}
    assert styles == set(TRAIN_STYLES[:-1])


def test_things_without_a_drawing_are_an_error(toys: Toys, drawings: Drawings) -> None:
    with pytest.raises(DatasetError, match="too few things have a drawing in openmoji"):
        sample_scene(toys, drawings, ["openmoji"], Random(0), "one")


def test_the_same_seed_draws_the_same_picture(toys: Toys, drawings: Drawings) -> None:
    scene = scenes(toys, drawings, "pair", count=1)[0]
    one, same, other = (draw(scene, drawings, Random(seed)) for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("side", [64, PICTURE_SIDE])
def test_a_picture_is_rgb_of_the_wanted_side(toys: Toys, drawings: Drawings, layout: Layout, side: int) -> None:
    for seed, scene in enumerate(scenes(toys, drawings, layout, count=20)):
        picture = draw(scene, drawings, Random(seed), side)
        assert (picture.mode, picture.size) == ("RGB", (side, side))


def test_every_thing_shows_at_its_place_in_every_rendering(toys: Toys, drawings: Drawings) -> None:
    """Around the centre of each thing the picture is not plain, whatever was done to it."""
    for seed, scene in enumerate(scenes(toys, drawings, count=150)):
        plain = Scene(scene.placed, scene.background, "plain")
        pixels = np.asarray(draw(plain, drawings, Random(seed)), dtype=float)
        for placed in plain.placed:
            reach = placed.size / 2
            rows, columns = (
                slice(max(0, round((centre - reach) * PICTURE_SIDE)), round((centre + reach) * PICTURE_SIDE))
                for centre in (placed.y, placed.x)
            )
            assert pixels[rows, columns].std(axis=(0, 1)).max() > 10


def test_a_large_thing_at_the_edge_is_moved_in_and_not_cut(toys: Toys, drawings: Drawings) -> None:
    ball = next(thing for thing in toys if thing.name == "ball")
    scene = Scene((Placed(ball, "ball", "noto", x=1.0, y=1.0, size=0.9),), "white", "plain")
    blue = np.asarray(draw(scene, drawings, Random(3)), dtype=int)
    rows, columns = np.nonzero(blue[..., 2] - blue[..., 0] > 20)
    assert np.ptp(rows) + 1 == pytest.approx(0.9 * PICTURE_SIDE, abs=5)
    assert np.ptp(columns) + 1 == pytest.approx(0.9 * PICTURE_SIDE, abs=5)


def test_a_thing_named_by_its_colour_is_never_grey(toys: Toys, drawings: Drawings) -> None:
    ball = next(thing for thing in toys if thing.name == "ball").model_copy(update={"name": "blue ball"})
    scene = Scene((Placed(ball, "ball", "noto", x=0.5, y=0.5, size=0.6),), "white", "plain")
    for seed in range(60):
        pixels = np.asarray(draw(scene, drawings, Random(seed)), dtype=int)
        red, _, blue = pixels[PICTURE_SIDE // 2, PICTURE_SIDE // 2]
        assert blue - red > 100


@pytest.mark.parametrize("name", sorted(COLOURS))
def test_a_background_stays_nearest_to_the_colour_of_its_name(drawings: Drawings, name: str) -> None:
    for texture in ("plain", "gradient", "dots", "stripes"):
        for seed in range(10):
            picture = draw(Scene((), name, texture), drawings, Random(seed))
            mean = np.asarray(picture, dtype=float).mean(axis=(0, 1))
            assert min(COLOURS, key=lambda colour: np.linalg.norm(mean - COLOURS[colour])) == name
