"""Scenes of the world: which things stand where on what background, and how they become a picture.

`sample_scene` decides what is true of a picture (things, places, background); `draw` adds what is only
appearance (turn, flip, tint, blur, noise), so that two drawings of one scene differ but every sentence
about it stays true.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from mmchat.errors import DatasetError
from mmchat.world.concepts import COLOURS, Thing
from mmchat.world.drawings import Drawings

Layout = Literal["blank", "one", "same", "pair"]
LAYOUT_SHARES: dict[Layout, float] = {"one": 0.60, "same": 0.16, "pair": 0.20, "blank": 0.04}
BACKGROUNDS = tuple(COLOURS)
TEXTURES = ("plain", "plain", "gradient", "dots", "stripes")
PICTURE_SIDE = 96
MOST_OF_ONE_THING = 5

_WHITE_SHARE = 0.3  # pictures that people have at hand mostly stand on white
_LEAST_CONTRAST = 90.0  # distance in RGB between a background and the mean colour of a drawing
_RENDERINGS = {"colour": 0.85, "grey": 0.05, "lines": 0.05, "posterised": 0.05}
_ATTEMPTS = 1_000  # to meet a thing that can be drawn

_RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Placed:
    """A thing in a scene: centre (`x`, `y`) and longer side (`size`), as shares of the picture's side."""

    thing: Thing
    icon: str
    style: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Scene:
    """Everything that is true of a picture."""

    placed: tuple[Placed, ...]
    background: str
    texture: str

    @property
    def layout(self) -> Layout:
        """`blank` (nothing), `one` thing, `same` (several of one thing) or `pair` (two different things)."""
        if not self.placed:
            return "blank"
        if len(self.placed) == 1:
            return "one"
        return "same" if len({placed.thing.name for placed in self.placed}) == 1 else "pair"


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
        DatasetError: none of the things has a drawing in these styles, or a pair was wanted of a single
            thing.
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
    return Scene(placed, _background_for(placed, drawings, rng), rng.choice(TEXTURES))


def draw(scene: Scene, drawings: Drawings, rng: Random, side: int = PICTURE_SIDE) -> Image.Image:
    """Draw a scene as an RGB picture of `side` × `side` pixels; no drawing is cut by the edge."""
    tones = _tones(COLOURS[scene.background], rng)
    picture = _surface(scene.texture, tones, side, rng)
    rendering = rng.choices(list(_RENDERINGS), weights=list(_RENDERINGS.values()))[0]
    for placed in scene.placed:
        figure = _render(_figure(placed, drawings, rng, side), placed.thing, rendering, tones[0], rng)
        left = min(max(round(placed.x * side - figure.width / 2), 0), side - figure.width)
        top = min(max(round(placed.y * side - figure.height / 2), 0), side - figure.height)
        picture.paste(figure, (left, top), figure)
    return _photograph(picture, rng)


# What is in the scene ---------------------------------------------------------------------------------------


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
    raise DatasetError(f"too few things have a drawing in {', '.join(styles)}: add icon names to the things")


def _place(
    thing: Thing, drawings: Drawings, styles: Sequence[str], rng: Random, x: float, y: float, size: float
) -> Placed:
    """`thing` in a random style; its main icon as often as its others together."""
    style = rng.choice([style for style in styles if drawings.icons_in(style, thing.icons)])
    main, *others = drawings.icons_in(style, thing.icons)
    icon = rng.choice(others) if others and rng.random() < 0.5 else main
    return Placed(thing, icon, style, x, y, size)


def _several(things: Sequence[Thing], drawings: Drawings, styles: Sequence[str], rng: Random) -> tuple[Placed, ...]:
    """Two to five alike, in cells of a grid."""
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
    placed = []
    for thing, along in ((first, 0.25), (second, 0.75)):
        size = rng.uniform(0.3, 0.45)
        along += rng.uniform(-0.02, 0.02)
        across = level + rng.uniform(-0.04, 0.04)
        x, y = (across, along) if upright else (along, across)
        placed.append(_place(thing, drawings, styles, rng, x, y, size))
    return tuple(placed)


def _background_for(placed: Sequence[Placed], drawings: Drawings, rng: Random) -> str:
    """A random colour far enough from the drawings; the farthest where none is."""
    means = {(p.style, p.icon): drawings.mean_colour(p.style, p.icon) for p in placed}.values()

    def contrast(name: str) -> float:
        return min((math.dist(COLOURS[name], mean) for mean in means), default=math.inf)

    fitting = [name for name in BACKGROUNDS if contrast(name) >= _LEAST_CONTRAST]
    if "white" in fitting and rng.random() < _WHITE_SHARE:
        return "white"
    return rng.choice(fitting) if fitting else max(BACKGROUNDS, key=contrast)


# What it looks like -----------------------------------------------------------------------------------------


def _blend(colour: _RGB, towards: _RGB, share: float) -> _RGB:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, towards, strict=True))
    return red, green, blue


def _tones(colour: _RGB, rng: Random) -> tuple[_RGB, _RGB]:
    """The background colour a little off its ideal, and a second tone of it for the texture."""
    red, green, blue = (min(max(channel + rng.randint(-8, 8), 0), 255) for channel in colour)
    base = (red, green, blue)
    lightness = sum(base) / 3
    towards = (0, 0, 0) if lightness > 200 or (lightness > 60 and rng.random() < 0.5) else (255, 255, 255)
    return base, _blend(base, towards, rng.uniform(0.1, 0.2))


def _surface(texture: str, tones: tuple[_RGB, _RGB], side: int, rng: Random) -> Image.Image:
    base, second = tones
    if texture == "gradient":
        ramp = Image.linear_gradient("L").rotate(90 * rng.randrange(4)).resize((side, side))
        return Image.composite(Image.new("RGB", ramp.size, second), Image.new("RGB", ramp.size, base), ramp)
    picture = Image.new("RGB", (side, side), base)
    pen = ImageDraw.Draw(picture)
    step = rng.randint(side // 12, side // 6)
    if texture == "dots":
        radius = step * rng.uniform(0.15, 0.3)
        for row, y in enumerate(range(0, side + step, step)):
            for x in range(0, side + step, step):
                centre = x + (row % 2) * step / 2
                pen.ellipse((centre - radius, y - radius, centre + radius, y + radius), fill=second)
    elif texture == "stripes":
        lean = rng.choice((0, side // 2, side))
        for x in range(-side, side, step):
            pen.line((x, -1, x + lean, side), fill=second, width=max(1, step // 2 - 1))
        if rng.random() < 0.5:
            picture = picture.rotate(90)
    return picture


def _figure(placed: Placed, drawings: Drawings, rng: Random, side: int) -> Image.Image:
    """The drawing as RGBA, turned, flipped and cut to what is visible; `placed.size` is its longer side."""
    figure = Image.fromarray(drawings.raster(placed.style, placed.icon))
    if placed.thing.category != "symbol" and rng.random() < 0.5:  # a mirrored letter is another sign
        figure = ImageOps.mirror(figure)
    if rng.random() < 0.7:
        figure = figure.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR, expand=True)
    figure = figure.crop(figure.getchannel("A").getbbox())
    scale = placed.size * side / max(figure.size)
    width, height = (min(max(1, round(length * scale)), side) for length in figure.size)
    return figure.resize((width, height), Image.Resampling.BICUBIC)


def _render(figure: Image.Image, thing: Thing, rendering: str, base: _RGB, rng: Random) -> Image.Image:
    """`figure` in the manner of the picture; a thing named by its colour always keeps that colour."""
    if not (COLOURS.keys() | set(thing.colours)).isdisjoint(thing.name.split()):
        return figure
    alpha = figure.getchannel("A")
    if rendering == "lines":
        return _lines(figure, base, filled=rng.random() < 0.5)
    if rendering == "grey":
        flat = figure.convert("L").convert("RGB")
    elif rendering == "posterised":
        flat = ImageOps.posterize(figure.convert("RGB"), rng.randint(2, 3))
    else:
        flat = figure.convert("RGB").convert("RGB", _tint(rng))
    flat.putalpha(alpha)
    return flat


def _tint(rng: Random) -> tuple[float, ...]:
    """A 3 × 4 matrix that turns the hue by up to 14 degrees and changes the saturation a little."""
    angle = math.radians(rng.uniform(-14, 14))
    saturation = rng.uniform(0.75, 1.2)
    cosine, sine = saturation * math.cos(angle), saturation * math.sin(angle) / math.sqrt(3)
    near, far = cosine + (1 - cosine) / 3, (1 - cosine) / 3  # rotation about the grey axis, which stays fixed
    return (
        *(near, far - sine, far + sine, 0),
        *(far + sine, near, far - sine, 0),
        *(far - sine, far + sine, near, 0),
    )


def _lines(figure: Image.Image, base: _RGB, *, filled: bool) -> Image.Image:
    """Only the outlines, in ink that shows on the background; `filled` as in a colouring book."""
    framed = ImageOps.expand(figure, 1)  # the edge filter copies the outermost pixels
    alpha = framed.getchannel("A")
    shade = Image.composite(ImageOps.invert(framed.convert("L")), Image.new("L", framed.size), alpha)
    edges = ImageChops.lighter(shade.filter(ImageFilter.FIND_EDGES), alpha.filter(ImageFilter.FIND_EDGES))
    edges = edges.point([min(255, 3 * level) for level in range(256)])
    dark_ground = sum(base) < 3 * 110
    ink, paper = ((245,) * 3, (40,) * 3) if dark_ground else ((25,) * 3, (250,) * 3)
    lines = Image.new("RGB", framed.size, paper)
    lines.paste(Image.new("RGB", framed.size, ink), mask=edges)
    lines.putalpha(ImageChops.lighter(edges, alpha) if filled else edges)
    return lines.crop((1, 1, figure.width + 1, figure.height + 1))


def _photograph(picture: Image.Image, rng: Random) -> Image.Image:
    """Small changes of light, focus and compression over the whole picture."""
    gain, lift = rng.uniform(0.88, 1.06), rng.uniform(-6, 6)
    light = np.clip(128 + (np.arange(256) - 128) * gain + lift, 0, 255).round().astype(int)
    picture = picture.point(light.tolist() * 3)
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=rng.randint(35, 85))
        picture = Image.open(buffer).convert("RGB")
    return picture
