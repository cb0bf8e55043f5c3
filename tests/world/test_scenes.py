"""Scenes: the layouts, what is true of them, and pictures in which everything is whole and visible."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.concepts import COLOURS, Thing
from mmchat.world.drawings import MONOCHROME_STYLES, SKETCH_STYLES, TRAIN_STYLES, Drawings, load_drawings
from mmchat.world.rendering import PICTURE_SIDE, draw
from mmchat.world.scenes import (
    GRIDS,
    LAYOUT_SHARES,
    MOST_OF_ONE_THING,
    SIZES_APART,
    TEXTURES,
    Layout,
    Placed,
    Scene,
    photograph,
    sample_crowd,
    sample_scene,
)

LAYOUTS: tuple[Layout, ...] = ("blank", "one", "same", "pair", "some")
Toys = tuple[Thing, ...]


def scenes(toys: Toys, drawings: Drawings, layout: Layout | None = None, count: int = 60) -> list[Scene]:
    return [sample_scene(toys, drawings, TRAIN_STYLES, Random(seed), layout) for seed in range(count)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scene_has_the_layout_that_was_wanted(toys: Toys, drawings: Drawings, layout: Layout) -> None:
    alike = set(range(2, MOST_OF_ONE_THING + 1))
    sizes = {"blank": {0}, "one": {1}, "pair": {2}, "same": alike, "some": {3, 4, 5, 6}}
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


def test_some_things_are_different_and_stand_in_the_cells_of_a_grid(toys: Toys, drawings: Drawings) -> None:
    seen = set()
    for scene in scenes(toys, drawings, "some", count=150):
        number = len(scene.placed)
        assert len({placed.thing for placed in scene.placed}) == number
        for columns, rows in GRIDS[6 if number == 5 else number]:
            cells = {(int(placed.x * columns), int(placed.y * rows)) for placed in scene.placed}
            centred = all(
                abs(placed.x * columns % 1 - 0.5) < 0.2 and abs(placed.y * rows % 1 - 0.5) < 0.2
                for placed in scene.placed
            )
            if len(cells) == number and centred:
                seen.add((number, columns, rows))
                break
        else:
            pytest.fail(f"no grid fits {scene}")
    assert seen == {(3, 3, 1), (3, 1, 3), (4, 2, 2), (5, 3, 2), (5, 2, 3), (6, 3, 2), (6, 2, 3)}


def test_two_of_five_pairs_are_of_unlike_sizes(toys: Toys, drawings: Drawings) -> None:
    """200 pairs: 0.11 is over three standard deviations."""
    ratios = []
    for scene in scenes(toys, drawings, "pair", count=200):
        smaller, bigger = sorted(placed.size for placed in scene.placed)
        ratios.append(bigger / smaller)
    assert sum(ratio >= SIZES_APART for ratio in ratios) / 200 == pytest.approx(0.4, abs=0.11)
    assert not [ratio for ratio in ratios if SIZES_APART <= ratio < 1.6], "a size that is asked for leaves no doubt"


def test_a_crowd_is_one_large_thing_or_a_full_grid_of_different_ones(toys: Toys, drawings: Drawings) -> None:
    crowds = [sample_crowd(toys, drawings, TRAIN_STYLES, Random(seed)) for seed in range(80)]
    assert {len(crowd.placed) for crowd in crowds} == {1, 4, 6, 9}
    for crowd in crowds:
        assert len({placed.thing for placed in crowd.placed}) == len(crowd.placed)


def test_boxes_hold_their_things_and_end_at_the_edge(toys: Toys) -> None:
    inside = Placed(toys[0], "ball", "noto", x=0.5, y=0.25, size=0.5)
    outside = Placed(toys[0], "ball", "noto", x=0.9, y=0.1, size=0.4)
    assert inside.box == (0.25, 0.0, 0.75, 0.5)
    assert outside.box == pytest.approx((0.7, 0.0, 1.0, 0.3))


def test_a_photograph_shows_one_thing_on_no_background_that_has_a_name(toys: Toys) -> None:
    scene = photograph(toys[0])
    assert (scene.layout, scene.background) == ("photo", "")
    assert scene.placed[0].box == (0, 0, 1, 1)


def test_one_relation_is_true_of_a_pair(toys: Toys, drawings: Drawings) -> None:
    for scene in scenes(toys, drawings, "pair"):
        first, second = scene.placed
        along, across = sorted((abs(first.x - second.x), abs(first.y - second.y)), reverse=True)
        assert along > 0.4
        assert across < 0.1


def test_the_background_differs_from_what_stands_on_it(toys: Toys, drawings: Drawings) -> None:
    inked = [scene for scene in scenes(toys, drawings, "one") if scene.placed[0].style not in MONOCHROME_STYLES]
    for scene in inked:
        drawn = np.array(drawings.mean_colour(scene.placed[0].style, scene.placed[0].icon))
        assert np.linalg.norm(drawn - COLOURS[scene.background]) > 60


def test_only_styles_that_draw_a_thing_are_used(toys: Toys, drawings: Drawings) -> None:
    flag = [thing for thing in toys if thing.name == "flag"]
    styles = {scene.placed[0].style for scene in scenes(tuple(flag), drawings, "one")}
    assert styles == set(TRAIN_STYLES[:-1])


def test_things_without_a_drawing_are_an_error(toys: Toys, drawings: Drawings) -> None:
    with pytest.raises(DatasetError, match="too few things have a drawing in openmoji"):
        sample_scene(toys, drawings, ["openmoji"], Random(0), "one")


def test_fewer_things_than_a_scene_wants_are_an_error(toys: Toys, drawings: Drawings) -> None:
    """A scene of several things once waited for ever for another one."""
    for layout in ("pair", "some"):
        with pytest.raises(DatasetError, match="too few things"):
            sample_scene(toys[: 1 if layout == "pair" else 2], drawings, TRAIN_STYLES, Random(0), layout)


def test_the_same_seed_draws_the_same_picture(toys: Toys, drawings: Drawings) -> None:
    scene = scenes(toys, drawings, "pair", count=1)[0]
    one, same, other = (draw(scene, drawings, Random(seed)) for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_bold_drawings_change_more_than_ordinary_ones(toys: Toys, drawings: Drawings) -> None:
    """A blue ball keeps about its blue in most ordinary pictures and in few bold ones."""
    ball = Scene((Placed(toys[0], "ball", "noto", x=0.5, y=0.5, size=0.8),), "white", "plain")

    def kept(*, bold: bool) -> float:
        """The share of pictures in which the middle of the ball is within 60 of its own colour, channels added."""
        pictures = [np.asarray(draw(ball, drawings, Random(seed), bold=bold), dtype=int) for seed in range(80)]
        return sum(int(np.abs(pixels[64, 64] - (0x20, 0x40, 0xFF)).sum()) <= 60 for pixels in pictures) / 80

    assert kept(bold=False) > 0.5
    assert kept(bold=True) < 0.35


@pytest.mark.parametrize("style", [style for style in MONOCHROME_STYLES if style in TRAIN_STYLES])
@pytest.mark.parametrize(("background", "dark"), [("white", True), ("black", False)])
def test_a_silhouette_is_inked_to_show_on_its_background(
    toys: Toys, drawings: Drawings, style: str, background: str, dark: bool
) -> None:
    scene = Scene((Placed(toys[0], "ball", style, x=0.5, y=0.5, size=0.8),), background, "plain")
    for seed in range(20):
        ink = np.asarray(draw(scene, drawings, Random(seed)), dtype=int)[PICTURE_SIDE // 2, PICTURE_SIDE // 2]
        assert np.ptp(ink) < 12
        assert (ink.max() < 90) if dark else (ink.min() > 165)


def test_what_the_strokes_of_a_sketch_enclose_has_a_colour_in_half_of_the_pictures(
    toys: Toys, icon_sets: Path, cache: Path
) -> None:
    sketches = load_drawings(icon_sets, ["ring"], SKETCH_STYLES, cache)
    scene = Scene((Placed(toys[4], "ring", "lucide", x=0.5, y=0.5, size=0.9),), "white", "plain")
    inked = coloured = 0
    middle = PICTURE_SIDE // 2
    for seed in range(60):
        pixels = np.asarray(draw(scene, sketches, Random(seed)), dtype=int)
        row = pixels[middle, : middle + 1]
        inked += int(row.max(1).min() < 90)
        coloured += int(np.abs(row[middle] - pixels[2, 2]).max() > 40)
    assert inked > 50  # of a few the edge is hidden
    assert 12 < coloured < 40


def test_a_sketch_in_a_colour_has_any(toys: Toys, icon_sets: Path, cache: Path) -> None:
    sketches = load_drawings(icon_sets, ["ball"], SKETCH_STYLES, cache)
    scene = Scene((Placed(toys[0], "ball", "icon-park", x=0.5, y=0.5, size=0.8),), "white", "plain")
    pictures = [np.asarray(draw(scene, sketches, Random(seed)), dtype=int) for seed in range(40)]
    assert {int(pixels[PICTURE_SIDE // 2, PICTURE_SIDE // 2].argmax()) for pixels in pictures} == {0, 1, 2}


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
    for texture in sorted(set(TEXTURES)):
        for seed in range(6):
            picture = draw(Scene((), name, texture), drawings, Random(seed))
            mean = np.asarray(picture, dtype=float).mean(axis=(0, 1))
            assert min(COLOURS, key=lambda colour: np.linalg.norm(mean - COLOURS[colour])) == name
