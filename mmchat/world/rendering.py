"""What a scene looks like: turns, flips, tints, textures, blur and noise.

Two pictures of one scene differ, but every sentence about it stays true of both.
"""

from __future__ import annotations

import io
import math
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps
from scipy.ndimage import binary_fill_holes

from mmchat.world.concepts import COLOURS
from mmchat.world.drawings import MONOCHROME_STYLES, SKETCH_STYLES, Drawings
from mmchat.world.scenes import Placed, Scene

PICTURE_SIDE = 128

_RENDERINGS = {"colour": 0.80, "grey": 0.05, "lines": 0.05, "posterised": 0.05, "inked": 0.05}
_BOLD_RENDERINGS = {"colour": 0.45, "grey": 0.12, "lines": 0.13, "posterised": 0.10, "inked": 0.20}
_HUE = 14.0  # degrees
_BOLD_HUE = 40.0
_ANY_HUE = 180.0
_UNLIKE_INK = 90  # of 255, in one channel at least
_COLOURED_SHARE = 0.5  # of sketches in one ink: what their strokes enclose gets a colour
_HIDDEN_SHARE = 0.05  # of the things: something stands before a part of them
_RGB = tuple[int, int, int]


def draw(scene: Scene, drawings: Drawings, rng: Random, side: int = PICTURE_SIDE, *, bold: bool = False) -> Image.Image:
    """Draw a scene as an RGB picture of `side` × `side` pixels; no drawing is cut by the edge.

    Args:
        bold: hues, outlines and renderings change freely, as they do between styles; the background keeps its colour.
    """
    tones = _tones(COLOURS[scene.background], rng)
    picture = _surface(scene.texture, tones, side, rng)
    shares, hue = (_BOLD_RENDERINGS, _BOLD_HUE) if bold else (_RENDERINGS, _HUE)
    rendering = rng.choices(list(shares), weights=list(shares.values()))[0]
    for placed in scene.placed:
        if bold:
            rendering = rng.choices(list(shares), weights=list(shares.values()))[0]
        figure = _render(_figure(placed, drawings, rng, side), placed, rendering, tones[0], hue, rng)
        left = min(max(round(placed.x * side - figure.width / 2), 0), side - figure.width)
        top = min(max(round(placed.y * side - figure.height / 2), 0), side - figure.height)
        picture.paste(figure, (left, top), figure)
        if rng.random() < _HIDDEN_SHARE:
            _hide(picture, (left, top, left + figure.width, top + figure.height), tones[1], rng)
    return _photograph(picture, rng)


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
    elif texture == "checks":
        for row, y in enumerate(range(0, side, step)):
            for x in range((row % 2) * step, side, 2 * step):
                pen.rectangle((x, y, x + step - 1, y + step - 1), fill=second)
    elif texture == "specks":
        specks = np.random.default_rng(rng.getrandbits(64)).random((side // 2, side // 2)) < 0.2
        picture.paste(second, mask=Image.fromarray(specks).convert("L").resize((side, side)))
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


def _render(figure: Image.Image, placed: Placed, rendering: str, base: _RGB, hue: float, rng: Random) -> Image.Image:
    """`figure` in the manner of the picture; a thing named by its colour always keeps that colour."""
    alpha = figure.getchannel("A")
    dark_ground = sum(base) < 3 * 110
    if placed.style in MONOCHROME_STYLES:
        level = rng.randint(215, 255) if dark_ground else rng.randint(0, 50)
        flat = Image.new("RGB", figure.size, (level,) * 3)
        flat.putalpha(alpha)
        coloured = placed.style in SKETCH_STYLES and rng.random() < _COLOURED_SHARE
        return _coloured(flat, rng) if coloured else flat
    if not (COLOURS.keys() | set(placed.thing.colours)).isdisjoint(placed.thing.name.split()):
        return figure
    if placed.style in SKETCH_STYLES:
        hue = _ANY_HUE  # its colour says nothing of the thing
    if rendering == "lines":
        return _lines(figure, dark_ground, filled=rng.random() < 0.5)
    if rendering == "grey":
        flat = figure.convert("L").convert("RGB")
    elif rendering == "posterised":
        flat = ImageOps.posterize(figure.convert("RGB"), rng.randint(2, 3))
    elif rendering == "inked":
        tinted = ImageOps.posterize(figure.convert("RGB"), rng.randint(2, 4)).convert("RGB", _tint(hue, rng))
        flat = Image.composite(Image.new("RGB", figure.size, (15,) * 3), tinted, _edges(figure))
    else:
        flat = figure.convert("RGB").convert("RGB", _tint(hue, rng))
    flat.putalpha(alpha)
    return flat


def _tint(hue: float, rng: Random) -> tuple[float, ...]:
    """A 3 × 4 matrix that turns the hue by up to `hue` degrees and changes the saturation a little."""
    angle = math.radians(rng.uniform(-hue, hue))
    saturation = rng.uniform(0.75, 1.2)
    cosine, sine = saturation * math.cos(angle), saturation * math.sin(angle) / math.sqrt(3)
    near, far = cosine + (1 - cosine) / 3, (1 - cosine) / 3  # rotation about the grey axis, which stays fixed
    return (
        *(near, far - sine, far + sine, 0),
        *(far + sine, near, far - sine, 0),
        *(far - sine, far + sine, near, 0),
    )


def _lines(figure: Image.Image, dark_ground: bool, *, filled: bool) -> Image.Image:
    """Only the outlines, in ink that shows on the background; `filled` as in a colouring book."""
    edges = _edges(figure)
    ink, paper = ((245,) * 3, (40,) * 3) if dark_ground else ((25,) * 3, (250,) * 3)
    lines = Image.new("RGB", figure.size, paper)
    lines.paste(Image.new("RGB", figure.size, ink), mask=edges)
    lines.putalpha(ImageChops.lighter(edges, figure.getchannel("A")) if filled else edges)
    return lines


def _coloured(sketch: Image.Image, rng: Random) -> Image.Image:
    """An RGBA figure in one ink, with a colour unlike the ink where its strokes enclose something."""
    pixels = np.array(sketch)
    ink, strokes = pixels[..., :3].max(initial=0), pixels[..., 3]
    enclosed = binary_fill_holes(strokes > 64)
    tones = [tone for tone in COLOURS.values() if max(abs(channel - int(ink)) for channel in tone) > _UNLIKE_INK]
    filling = Image.new("RGBA", sketch.size, (*rng.choice(tones), 255))
    filling.putalpha(Image.fromarray(np.where(enclosed, 255, 0).astype(np.uint8)))
    return Image.alpha_composite(filling, sketch)


def _edges(figure: Image.Image) -> Image.Image:
    """How much of an edge, inner or outer, each pixel of an RGBA figure is; "L"."""
    framed = ImageOps.expand(figure, 1)  # the edge filter copies the outermost pixels
    alpha = framed.getchannel("A")
    shade = Image.composite(ImageOps.invert(framed.convert("L")), Image.new("L", framed.size), alpha)
    edges = ImageChops.lighter(shade.filter(ImageFilter.FIND_EDGES), alpha.filter(ImageFilter.FIND_EDGES))
    edges = edges.point([min(255, 3 * level) for level in range(256)])
    return edges.crop((1, 1, figure.width + 1, figure.height + 1))


def _hide(picture: Image.Image, box: tuple[int, int, int, int], colour: _RGB, rng: Random) -> None:
    """Lay a plain bar over an edge of what stands in `box` (left, top, right, bottom): at most a quarter of it."""
    left, top, right, bottom = box
    share = rng.uniform(0.12, 0.25)
    wide, high = round((right - left) * share), round((bottom - top) * share)
    bars = (
        (left, top, left + wide, bottom),
        (right - wide, top, right, bottom),
        (left, top, right, top + high),
        (left, bottom - high, right, bottom),
    )
    ImageDraw.Draw(picture).rectangle(rng.choice(bars), fill=colour)


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
