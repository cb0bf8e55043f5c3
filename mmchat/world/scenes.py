"""Scenes of the world: which things stand where on what background.

`sample_scene` decides what is true of a picture: things, places, sizes, background. What is only appearance is left to
`mmchat.world.rendering`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from mmchat.errors import DatasetError
from mmchat.world.concepts import COLOURS, Thing
from mmchat.world.drawings import MONOCHROME_STYLES, Drawings

Layout = Literal["blank", "one", "same", "pair", "some", "photo"]
LAYOUT_SHARES: dict[Layout, float] = {"one": 0.46, "same": 0.17, "pair": 0.20, "some": 0.13, "blank": 0.04}
BACKGROUNDS = tuple(COLOURS)
TEXTURES = ("plain", "plain", "gradient", "dots", "stripes", "checks", "specks")
MOST_OF_ONE_THING = 9
GRIDS: dict[int, tuple[tuple[int, int], ...]] = {3: ((3, 1), (1, 3)), 4: ((2, 2),), 6: ((3, 2), (2, 3))}
"""Columns and rows in which so many different things stand, one in each cell; five leave a cell of six empty."""
SIZES_APART = 1.5
"""One thing is called bigger than another when it is so many times as long."""

_UNLIKE_SIZES_SHARE = 0.4  # of the pairs
_WHITE_SHARE = 0.3  # pictures that people have at hand mostly stand on white
_LEAST_CONTRAST = 90.0  # distance in RGB between a background and the mean colour of a drawing
_ATTEMPTS = 1_000  # to meet a thing that can be drawn


@dataclass(frozen=True)
class Placed:
    """A thing in a scene: centre (`x`, `y`) and longer side (`size`), as shares of the picture's side."""

    thing: Thing
    icon: str
    style: str
    x: float
    y: float
    size: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, as shares of the picture's side."""
        reach = self.size / 2
        left, top, right, bottom = self.x - reach, self.y - reach, self.x + reach, self.y + reach
        return max(0.0, left), max(0.0, top), min(1.0, right), min(1.0, bottom)


@dataclass(frozen=True)
class Scene:
    """Everything that is true of a picture; a photograph is a thing on no background that has a name."""

    placed: tuple[Placed, ...]
    background: str
    texture: str

    @property
    def layout(self) -> Layout:
        """`blank` (nothing), `one` thing, `same` (several of one), `pair` (two different), `some` (three to six)."""
        if not self.background:
            return "photo"
        if not self.placed:
            return "blank"
        if len(self.placed) == 1:
            return "one"
        if len({placed.thing.name for placed in self.placed}) == 1:
            return "same"
        return "pair" if len(self.placed) == 2 else "some"


def sample_scene(
    things: Sequence[Thing],
    drawings: Drawings,
    styles: Sequence[str],
    rng: Random,
    layout: Layout | None = None,
) -> Scene:
    """A scene of things that at least one of `styles` draws.

    A pair stands side by side or one above the other, so that exactly one relation is true of it. The
    background keeps a distance from the colours of what stands on it.

    Raises:
        DatasetError: fewer things have a drawing in these styles than the layout wants different ones.
    """
    if layout is None:
        layout = rng.choices(list(LAYOUT_SHARES), weights=list(LAYOUT_SHARES.values()))[0]
    placed: tuple[Placed, ...] = ()
    if layout == "one":
        size = rng.uniform(0.45, 0.95)
        x, y = (rng.uniform(size / 2, 1 - size / 2) for _ in range(2))
        placed = (_place(_pick(things, drawings, styles, rng), drawings, styles, rng, x, y, size),)
    elif layout == "same":
        placed = _several(things, drawings, styles, rng)
    elif layout == "pair":
        placed = _two(things, drawings, styles, rng)
    elif layout == "some":
        number = rng.randint(3, 6)
        columns, rows = rng.choice(GRIDS[6 if number == 5 else number])
        placed = _spread(things, drawings, styles, rng, columns, rows, number)
    return Scene(placed, _background_for(placed, drawings, rng), rng.choice(TEXTURES))


def sample_crowd(things: Sequence[Thing], drawings: Drawings, styles: Sequence[str], rng: Random) -> Scene:
    """One large thing or four, six or nine different ones: many names to learn from one picture.

    Raises:
        DatasetError: as for `sample_scene`.
    """
    columns, rows = rng.choices(((1, 1), (2, 2), (3, 2), (2, 3), (3, 3)), weights=(10, 8, 2, 2, 4))[0]
    if columns * rows == 1:
        return sample_scene(things, drawings, styles, rng, "one")
    placed = _spread(things, drawings, styles, rng, columns, rows, columns * rows)
    return Scene(placed, _background_for(placed, drawings, rng), rng.choice(TEXTURES))


def photograph(thing: Thing) -> Scene:
    """The scene of a photograph that shows `thing`, which nothing here draws."""
    return Scene((Placed(thing, "", "photograph", 0.5, 0.5, 1.0),), "", "")


def _pick(
    things: Sequence[Thing],
    drawings: Drawings,
    styles: Sequence[str],
    rng: Random,
    other: Thing | None = None,
) -> Thing:
    """A thing that can be drawn and is not `other`."""
    for _ in range(_ATTEMPTS):
        thing = rng.choice(things)
        if thing is not other and any(drawings.icons_in(style, thing.icons) for style in styles):
            return thing
    raise _too_few(styles)


def _pick_different(
    things: Sequence[Thing], drawings: Drawings, styles: Sequence[str], rng: Random, number: int
) -> list[Thing]:
    """`number` different things that can be drawn."""
    chosen: list[Thing] = []
    for _ in range(_ATTEMPTS):
        thing = _pick(things, drawings, styles, rng)
        if thing not in chosen:
            chosen.append(thing)
        if len(chosen) == number:
            return chosen
    raise _too_few(styles)


def _too_few(styles: Sequence[str]) -> DatasetError:
    return DatasetError(f"too few things have a drawing in {', '.join(styles)}: add icon names to the things")


def _place(
    thing: Thing, drawings: Drawings, styles: Sequence[str], rng: Random, x: float, y: float, size: float
) -> Placed:
    """`thing` in a random style; its main icon as often as its others together."""
    style = rng.choice([style for style in styles if drawings.icons_in(style, thing.icons)])
    main, *others = drawings.icons_in(style, thing.icons)
    icon = rng.choice(others) if others and rng.random() < 0.5 else main
    return Placed(thing, icon, style, x, y, size)


def _several(things: Sequence[Thing], drawings: Drawings, styles: Sequence[str], rng: Random) -> tuple[Placed, ...]:
    """Two to nine alike, in cells of a grid."""
    count = rng.randint(2, MOST_OF_ONE_THING)
    grid = 2 if count <= 4 and rng.random() < 0.5 else 3
    low, high = (0.32, 0.45) if grid == 2 else (0.25, 0.32)
    size = rng.uniform(low, high)
    first = _place(_pick(things, drawings, styles, rng), drawings, styles, rng, 0.5, 0.5, size)
    slack = 0.5 / grid - size / 2
    placed = []
    for cell in rng.sample(range(grid * grid), count):
        row, column = divmod(cell, grid)
        x, y = ((index + 0.5) / grid + rng.uniform(-slack, slack) for index in (column, row))
        placed.append(Placed(first.thing, first.icon, first.style, x, y, size * rng.uniform(0.9, 1.0)))
    return tuple(placed)


def _two(things: Sequence[Thing], drawings: Drawings, styles: Sequence[str], rng: Random) -> tuple[Placed, ...]:
    """Two different things, apart along one axis and level along the other."""
    first = _pick(things, drawings, styles, rng)
    second = _pick(things, drawings, styles, rng, other=first)
    shared = [s for s in styles if all(drawings.icons_in(s, thing.icons) for thing in (first, second))]
    if shared and rng.random() < 0.5:
        styles = [rng.choice(shared)]
    upright = rng.random() < 0.5
    level = rng.uniform(0.35, 0.65)
    sizes = [rng.uniform(0.3, 0.45), rng.uniform(0.3, 0.45)]
    if rng.random() < _UNLIKE_SIZES_SHARE:
        sizes = rng.sample([rng.uniform(0.42, 0.46), rng.uniform(0.2, 0.25)], 2)
    placed = []
    for thing, along, size in ((first, 0.25, sizes[0]), (second, 0.75, sizes[1])):
        along += rng.uniform(-0.02, 0.02)
        across = level + rng.uniform(-0.04, 0.04)
        x, y = (across, along) if upright else (along, across)
        placed.append(_place(thing, drawings, styles, rng, x, y, size))
    return tuple(placed)


def _spread(
    things: Sequence[Thing],
    drawings: Drawings,
    styles: Sequence[str],
    rng: Random,
    columns: int,
    rows: int,
    number: int,
) -> tuple[Placed, ...]:
    """`number` different things, one in a cell of a grid each; all in one style as often as not."""
    chosen = _pick_different(things, drawings, styles, rng, number)
    shared = [s for s in styles if all(drawings.icons_in(s, thing.icons) for thing in chosen)]
    if shared and rng.random() < 0.5:
        styles = [rng.choice(shared)]
    width, height = 1 / columns, 1 / rows
    placed = []
    for thing, cell in zip(chosen, sorted(rng.sample(range(columns * rows), number)), strict=True):
        row, column = divmod(cell, columns)
        size = min(width, height) * rng.uniform(0.78, 0.98)
        x = (column + 0.5) * width + rng.uniform(-1, 1) * min(width - size, 0.1) / 2
        y = (row + 0.5) * height + rng.uniform(-1, 1) * min(height - size, 0.1) / 2
        placed.append(_place(thing, drawings, styles, rng, x, y, size))
    return tuple(placed)


def _background_for(placed: Sequence[Placed], drawings: Drawings, rng: Random) -> str:
    """A random colour far enough from the drawings; the farthest where none is."""
    means = {
        (p.style, p.icon): drawings.mean_colour(p.style, p.icon) for p in placed if p.style not in MONOCHROME_STYLES
    }.values()

    def contrast(name: str) -> float:
        return min((math.dist(COLOURS[name], mean) for mean in means), default=math.inf)

    fitting = [name for name in BACKGROUNDS if contrast(name) >= _LEAST_CONTRAST]
    if "white" in fitting and rng.random() < _WHITE_SHARE:
        return "white"
    return rng.choice(fitting) if fitting else max(BACKGROUNDS, key=contrast)
