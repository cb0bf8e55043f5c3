"""Draws the sample pictures and speaks the sample question that lie beside this file.

    python assets/draw_samples.py

The pictures are geometry written here: curves through points, on a canvas of 100 x 100 units with the origin
at the top left. The same pillow version gives the same bytes. The question needs espeak-ng.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile
from PIL import Image, ImageDraw

from mmchat.inputs.audio import SAMPLE_RATE, load_audio

SIDE = 384  # pixels of a finished picture
SCALE = 4  # drawn this much larger, then reduced, for smooth edges

Point = tuple[float, float]


class Canvas:
    """A picture in units of a hundredth of its side."""

    def __init__(self, background: str) -> None:
        self.unit = SIDE * SCALE / 100
        self.image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), background)
        self.draw = ImageDraw.Draw(self.image)

    def ellipse(self, x: float, y: float, width: float, height: float, fill: str, angle: float = 0) -> None:
        """An ellipse around (x, y), turned clockwise by `angle` degrees."""
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        rim = [(math.cos(t) * width / 2, math.sin(t) * height / 2) for t in _turn(180)]
        self.polygon([(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in rim], fill)

    def polygon(self, points: Sequence[Point], fill: str) -> None:
        """Straight edges."""
        self.draw.polygon([(x * self.unit, y * self.unit) for x, y in points], fill)

    def blob(self, points: Sequence[Point], fill: str) -> None:
        """A smooth closed curve through the points, filled."""
        self.polygon(_smooth([points[-1], *points, points[0], points[1]]), fill)

    def line(self, points: Sequence[Point], fill: str, start: float, end: float | None = None) -> None:
        """A smooth open curve through the points with round ends; its width goes from `start` to `end`."""
        path = _smooth([points[0], *points, points[-1]])
        for i, (x, y) in enumerate(path):
            width = start + ((start if end is None else end) - start) * i / (len(path) - 1)
            box = (x - width / 2, y - width / 2, x + width / 2, y + width / 2)
            self.draw.ellipse([value * self.unit for value in box], fill)

    def save(self, path: Path) -> None:
        """Reduce and write as PNG."""
        self.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(path, optimize=True)


def _turn(steps: int) -> list[float]:
    return [2 * math.pi * i / steps for i in range(steps)]


def _smooth(points: Sequence[Point], steps: int = 60) -> list[Point]:
    """Catmull-Rom spline through all points but the first and the last, which set the direction there."""
    path: list[Point] = []
    for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False):
        for i in range(steps):
            t = i / steps
            weights = (
                -t / 2 + t**2 - t**3 / 2,
                1 - 2.5 * t**2 + 1.5 * t**3,
                t / 2 + 2 * t**2 - 1.5 * t**3,
                -(t**2) / 2 + t**3 / 2,
            )
            path.append(
                (
                    sum(w * p[0] for w, p in zip(weights, (a, b, c, d), strict=True)),
                    sum(w * p[1] for w, p in zip(weights, (a, b, c, d), strict=True)),
                )
            )
    return [*path, points[-2]]


def draw_cat() -> Canvas:
    """An orange cat that sits and looks at the viewer, its tail at the right."""
    fur, dark, light, pink, ink = "#f39a33", "#cf7418", "#fde6c8", "#f28b94", "#3b2a20"
    canvas = Canvas("#e6f1f7")
    canvas.ellipse(50, 93, 66, 7, "#c9dbe6")
    canvas.line([(62, 88), (80, 89), (88, 78), (83, 66), (88, 57)], dark, 8, 6)
    canvas.line([(62, 88), (80, 89), (88, 78), (83, 66), (88, 57)], fur, 6.6, 4.8)
    canvas.line([(84.6, 64), (88, 57)], dark, 5, 5.4)
    canvas.blob([(50, 48), (66, 58), (74, 80), (68, 92), (50, 93), (32, 92), (26, 80), (34, 58)], fur)
    canvas.ellipse(50, 57, 34, 11, dark)
    canvas.blob([(50, 55), (59, 64), (61, 76), (50, 84), (39, 76), (41, 64)], light)
    for side in (-1, 1):
        canvas.line([(50 + side * 23, 74), (50 + side * 17.5, 75.5)], dark, 2.6, 1)
        canvas.line([(50 + side * 22.6, 80), (50 + side * 18, 81)], dark, 2.6, 1)
        canvas.ellipse(50 + side * 10, 90, 16, 9, light)
        for toe in (-2.6, 2.6):
            canvas.line([(50 + side * 10 + toe, 89.4), (50 + side * 10 + toe, 92.6)], dark, 0.9)
    for side in (-1, 1):
        canvas.polygon([(50 + side * 29, 36), (50 + side * 25.5, 4.5), (50 + side * 5, 18)], fur)
        canvas.polygon([(50 + side * 25, 27), (50 + side * 23.4, 11), (50 + side * 12, 18.5)], pink)
    head = [
        (50, 13.5),
        (68, 18),
        (79, 33),
        (77, 48),
        (66, 57),
        (50, 60),
        (34, 57),
        (23, 48),
        (21, 33),
        (32, 18),
    ]
    canvas.blob(head, fur)
    canvas.line([(50, 15), (50, 24)], dark, 3.6, 1.6)
    for side in (-1, 1):
        canvas.line([(50 + side * 7, 15.6), (50 + side * 5.6, 22)], dark, 3.2, 1.4)
        canvas.line([(50 + side * 28, 42), (50 + side * 21.5, 43)], dark, 2.6, 1)
        canvas.line([(50 + side * 27, 48), (50 + side * 21.5, 47.8)], dark, 2.4, 1)
    canvas.ellipse(50, 51, 24, 15, light)
    canvas.ellipse(44, 48.6, 14, 12, light)
    canvas.ellipse(56, 48.6, 14, 12, light)
    for side in (-1, 1):
        eye = 50 + side * 13
        canvas.ellipse(eye, 36, 12.4, 13.4, ink)
        canvas.ellipse(eye, 36, 10.8, 11.8, "#a6d64b")
        canvas.ellipse(eye, 36, 4.4, 10.6, ink)
        canvas.ellipse(eye - 1.8, 32.8, 2.8, 2.8, "#ffffff")
        for height, end in ((48.4, 46.5), (51.6, 53.5)):
            canvas.line([(50 + side * 12, height), (50 + side * 32, end)], dark, 0.8, 0.4)
    canvas.blob([(50, 47.4), (45.6, 44.2), (46.4, 42.6), (53.6, 42.6), (54.4, 44.2)], pink)
    canvas.line([(50, 47), (50, 50)], ink, 1)
    for side in (-1, 1):
        canvas.line([(50, 50), (50 + side * 3.4, 52.4), (50 + side * 7, 50.8)], ink, 1)
    return canvas


def draw_carrot() -> Canvas:
    """A carrot with three green stems, its tip at the lower left."""
    canvas = Canvas("#f4f1e4")
    for stem in (
        [(68, 32), (72, 18), (84, 8)],
        [(70, 32), (82, 22), (94, 18)],
        [(66, 32), (62, 16), (66, 6)],
    ):
        canvas.line(stem, "#4f9e3a", 5, 4)
    canvas.blob([(76, 24), (80, 36), (66, 52), (40, 78), (10, 94), (26, 62), (50, 34), (64, 22)], "#f0862d")
    for wrinkle in ([(46, 44), (54, 48)], [(34, 58), (42, 64)], [(58, 60), (52, 55)], [(26, 76), (33, 79)]):
        canvas.line(wrinkle, "#cf6a18", 1.6)
    return canvas


def draw_sailboat() -> Canvas:
    """A boat with two orange sails and a red hull on blue water."""
    canvas = Canvas("#ffffff")
    canvas.polygon([(0, 80), (100, 80), (100, 100), (0, 100)], "#3f8fd0")
    canvas.polygon([(49.8, 5), (52.2, 5), (52.2, 70), (49.8, 70)], "#7a4a22")
    canvas.polygon([(53, 5), (66, 9), (53, 13)], "#e5a91c")
    canvas.polygon([*_smooth([(49.5, 0), (49.5, 11), (29, 39), (13, 64), (8, 72)]), (13, 64), (49.5, 64)], "#f29d38")
    canvas.polygon([*_smooth([(53, 0), (53, 17), (74, 42), (85, 64), (88, 72)]), (85, 64), (53, 64)], "#f6b84a")
    bow = _smooth([(8, 60), (8, 69), (14, 80), (26, 92), (34, 96)])
    canvas.polygon([*bow, *((102 - x, y) for x, y in reversed(bow))], "#c9302c")
    canvas.polygon([(8, 69), (94, 69), (92.4, 73), (9.6, 73)], "#7a4a22")
    return canvas


def speak_question(path: Path) -> None:
    """Speak "what is this?" and write it as 16 kHz mono, 16 bits."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", spoken, "what is this?"], check=True)
        soundfile.write(path, load_audio(spoken).waveform, SAMPLE_RATE, subtype="PCM_16")


def main() -> None:
    """Write all samples beside this file."""
    here = Path(__file__).parent
    draw_cat().save(here / "cat.png")
    draw_carrot().save(here / "carrot.png")
    draw_sailboat().save(here / "sailboat.png")
    speak_question(here / "question.wav")


if __name__ == "__main__":
    main()
