"""Drawings of the things: icon sets from npm, rasterised once and kept.

An icon set is the folder of an `@iconify-json/<set>` package. Its `icons.json` maps a name to an SVG body,
and an alias to a parent with an optional turn or flip
(https://iconify.design/docs/types/iconify-json.html). Each wanted icon becomes a square RGBA raster whose
longer side touches the edges, so that a share of a picture means the same in every set. The rasters of one
set are one `.npy` file in a cache folder, memory-mapped, so that worker processes share them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from mmchat.errors import DatasetError

TRAIN_STYLES = (
    *("noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "fxemoji"),
    *("streamline-emojis", "fluent-emoji-high-contrast", "emojione-monotone"),
)
SKETCH_STYLES = ("icon-park", "game-icons", "mdi", "ph", "tabler", "lucide", "hugeicons", "fa6-solid")
"""Sets for interfaces, which draw some of the things: in training alone (see `mmchat.world.sketches`)."""
MONOCHROME_STYLES = ("fluent-emoji-high-contrast", "emojione-monotone", *SKETCH_STYLES[1:])
"""Sets in a single ink, which a picture chooses."""
RESERVED_STYLES = ("openmoji", "emojione-v1")
"""Sets for evaluation alone: nothing is trained or tuned on them."""

RASTER_SIDE = 112
_RENDER_SIDE = 144  # drawn larger than kept: many icons fill only a part of their box
_LONGEST_ALIAS_CHAIN = 8


@dataclass(frozen=True)
class Sheet:
    """The rasters of one set: `rasters[rows[icon]]` is (RASTER_SIDE, RASTER_SIDE, 4) uint8 RGBA."""

    rows: Mapping[str, int]
    rasters: np.ndarray


class Drawings:
    """Rasters by style and icon name."""

    def __init__(self, sheets: Mapping[str, Sheet]) -> None:
        self._sheets = dict(sheets)

    def has(self, style: str, icon: str) -> bool:
        """Whether that style draws that icon."""
        return style in self._sheets and icon in self._sheets[style].rows

    def icons_in(self, style: str, icons: Sequence[str]) -> list[str]:
        """Those of `icons` that the style draws, in the given order."""
        return [icon for icon in icons if self.has(style, icon)]

    def raster(self, style: str, icon: str) -> np.ndarray:
        """The drawing, (RASTER_SIDE, RASTER_SIDE, 4) uint8 RGBA; `has` must hold."""
        sheet = self._sheets[style]
        return np.asarray(sheet.rasters[sheet.rows[icon]])

    def mean_colour(self, style: str, icon: str) -> tuple[float, float, float]:
        """Mean RGB, 0..255, of what is not transparent."""
        pixels = self.raster(style, icon)[::4, ::4].astype(np.float32)
        weights = pixels[..., 3:] / pixels[..., 3].sum()
        red, green, blue = (pixels[..., :3] * weights).sum(axis=(0, 1)).tolist()
        return red, green, blue


def load_drawings(
    icons: Path,
    names: Iterable[str],
    styles: Sequence[str],
    cache: Path,
    called: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Drawings:
    """Rasterise icons, or take them from the cache.

    Args:
        icons: folder that holds `<set>/icons.json`, as npm lays out `node_modules/@iconify-json`.
        names: icon names that are wanted; those that a set lacks are left out of its sheet.
        styles: names of sets.
        cache: folder for the rasters; made when missing.
        called: by style and icon, what the set calls it, the best name first; other sets use the icon's name.

    Raises:
        DatasetError: a set is not installed or cannot be read, or resvg-py is missing.
    """
    wanted = {name: (name,) for name in sorted(set(names))}
    called = called or {}
    return Drawings({style: _load_sheet(icons, style, called.get(style, wanted), cache) for style in styles})


def default_cache() -> Path:
    """Where rasters are kept when the caller names no place."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "mmchat" / "drawings"


def _load_sheet(icons: Path, style: str, names: Mapping[str, Sequence[str]], cache: Path) -> Sheet:
    source = icons / style / "icons.json"
    if not source.is_file():
        raise DatasetError(f"icon set {style} is not in {icons}: run `npm install @iconify-json/{style}`")
    status = source.stat()
    key = repr((status.st_size, status.st_mtime_ns, RASTER_SIDE, _RENDER_SIDE, sorted(names.items())))
    stem = f"{style}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    rows_file, rasters_file = cache / f"{stem}.json", cache / f"{stem}.npy"
    if not rows_file.is_file():
        drawn = _rasterise_set(source, names)
        cache.mkdir(parents=True, exist_ok=True)
        rasters = np.stack(list(drawn.values())) if drawn else np.zeros((0, RASTER_SIDE, RASTER_SIDE, 4), np.uint8)
        buffer = io.BytesIO()
        np.save(buffer, rasters)
        _write_whole(rasters_file, buffer.getvalue())
        _write_whole(rows_file, json.dumps(list(drawn)).encode())  # last: its presence says that both are there
    rows = {name: row for row, name in enumerate(json.loads(rows_file.read_text(encoding="utf-8")))}
    return Sheet(rows, np.load(rasters_file, mmap_mode="r" if rows else None))


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def _rasterise_set(source: Path, names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    resvg = _import_resvg()
    try:
        icon_set = json.loads(source.read_text(encoding="utf-8"))
        drawn = {icon: found for icon, each in names.items() if (found := icon_name(icon_set, each)) is not None}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{source} is not an iconify icon set: install the package again") from error
    rasters = {}
    for name, found in drawn.items():
        raster = _rasterise(resvg, _resolve(icon_set, found))
        if raster is not None:
            rasters[name] = raster
    return rasters


def icon_name(icon_set: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first name that a set knows, or None; one that draws a thing several times numbers its drawings."""
    known = (icon_set["icons"], icon_set.get("aliases", {}))
    numbered = (each for name in names for each in (name, f"{name}-1"))
    return next((each for each in numbered if any(each in part for part in known)), None)


def _import_resvg() -> ModuleType:
    try:
        import resvg_py
    except ImportError as error:
        raise DatasetError("drawing the world needs resvg-py: run pip install 'mmchat[train]'") from error
    module: ModuleType = resvg_py
    return module


@dataclass(frozen=True)
class _Icon:
    """An SVG body with its box and the turns (quarters, clockwise) and flips that aliases added."""

    body: str
    box: tuple[float, float, float, float]  # left, top, width, height
    turns: int
    flip_x: bool
    flip_y: bool


def _resolve(icon_set: Mapping[str, Any], name: str) -> _Icon:
    """Follow aliases: sizes of the nearest win, turns add up, flips cancel out."""
    chain: list[Mapping[str, Any]] = []
    while name in icon_set.get("aliases", {}) and len(chain) < _LONGEST_ALIAS_CHAIN:
        chain.append(icon_set["aliases"][name])
        name = chain[-1]["parent"]
    if name not in icon_set["icons"]:
        raise DatasetError(f"icon set {icon_set.get('prefix')}: an alias leads to {name}, which it does not hold")
    chain.append(icon_set["icons"][name])
    defaults = {"left": 0, "top": 0, "width": 16, "height": 16}  # of the format
    sides = {
        side: next((layer[side] for layer in (*chain, icon_set) if side in layer), default)
        for side, default in defaults.items()
    }
    return _Icon(
        body=chain[-1]["body"],
        box=(sides["left"], sides["top"], sides["width"], sides["height"]),
        turns=sum(layer.get("rotate", 0) for layer in chain) % 4,
        flip_x=sum(layer.get("hFlip", False) for layer in chain) % 2 == 1,
        flip_y=sum(layer.get("vFlip", False) for layer in chain) % 2 == 1,
    )


def _rasterise(resvg: ModuleType, icon: _Icon) -> np.ndarray | None:
    """The icon cut to what is visible and fitted into the square raster; None where nothing is visible."""
    box = " ".join(map(str, icon.box))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{_RENDER_SIDE}" height="{_RENDER_SIDE}" viewBox="{box}">{icon.body}</svg>'
    )
    png = bytes(resvg.svg_to_bytes(svg_string=svg, skip_system_fonts=True))  # older releases return a list
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    visible = image.getchannel("A").point([0] * 16 + [255] * 240).getbbox()
    if visible is None:
        return None
    image = image.crop(visible)
    scale = RASTER_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (RASTER_SIDE, RASTER_SIDE))
    square.paste(image, ((RASTER_SIDE - width) // 2, (RASTER_SIDE - height) // 2))
    pixels = np.array(square)
    if icon.flip_x:
        pixels = pixels[:, ::-1]
    if icon.flip_y:
        pixels = pixels[::-1]
    return np.ascontiguousarray(np.rot90(pixels, -icon.turns))
