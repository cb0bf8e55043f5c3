"""Icon sets as rasters: what the iconify format says of aliases, boxes and missing icons, and the cache."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.drawings import RASTER_SIDE, load_drawings

HALF = RASTER_SIDE // 2
# Red in the upper left quarter of its box, grey in the lower right one.
CORNER = '<rect width="8" height="8" fill="red"/><rect x="8" y="8" width="8" height="8" fill="grey"/>'


def write_set(folder: Path, content: dict[str, object]) -> None:
    (folder / "set").mkdir()
    (folder / "set" / "icons.json").write_text(json.dumps(content))


def red_quarter(raster: np.ndarray) -> tuple[str, str]:
    """Where the red of CORNER went."""
    red = (raster[..., 0] > 200) & (raster[..., 1] < 50) & (raster[..., 3] > 200)
    rows, columns = np.nonzero(red)
    return "top" if rows.mean() < HALF else "bottom", "left" if columns.mean() < HALF else "right"


@pytest.mark.parametrize(
    ("alias", "quarter"),
    [
        ({"parent": "corner"}, ("top", "left")),
        ({"parent": "corner", "hFlip": True}, ("top", "right")),
        ({"parent": "corner", "vFlip": True}, ("bottom", "left")),
        ({"parent": "corner", "rotate": 1}, ("top", "right")),
        ({"parent": "corner", "rotate": 3}, ("bottom", "left")),
        ({"parent": "turned", "hFlip": True, "rotate": 1}, ("bottom", "left")),
    ],
)
def test_an_alias_is_its_parent_turned_and_flipped(
    tmp_path: Path, alias: dict[str, object], quarter: tuple[str, str]
) -> None:
    aliases = {"other": alias, "turned": {"parent": "corner", "rotate": 1}}
    write_set(tmp_path, {"icons": {"corner": {"body": CORNER}}, "aliases": aliases})
    drawings = load_drawings(tmp_path, ["other"], ["set"], tmp_path / "cache")
    assert red_quarter(drawings.raster("set", "other")) == quarter


def test_a_set_may_call_an_icon_by_names_of_its_own(tmp_path: Path) -> None:
    """The best that it knows; an icon for which no name is told is not drawn."""
    write_set(tmp_path, {"icons": {name: {"body": CORNER} for name in ("corner", "edge-1", "plain")}})
    called = {"set": {"quarter": ("gone", "edge", "corner"), "none": ("gone",), "empty": ()}}
    drawings = load_drawings(tmp_path, ["plain"], ["set"], tmp_path / "cache", called)
    assert drawings.icons_in("set", ("quarter", "none", "empty", "plain", "corner")) == ["quarter"]


def test_a_drawing_touches_the_edges_along_its_longer_side_and_keeps_its_shape(tmp_path: Path) -> None:
    body = '<rect x="30" y="10" width="20" height="5" fill="blue"/>'
    write_set(tmp_path, {"icons": {"bar": {"body": body, "left": 20, "width": 40, "height": 30}}})
    raster = load_drawings(tmp_path, ["bar"], ["set"], tmp_path / "cache").raster("set", "bar")
    rows, columns = np.nonzero(raster[..., 3] > 128)
    assert np.ptp(columns) + 1 == RASTER_SIDE
    assert (np.ptp(rows) + 1) / RASTER_SIDE == pytest.approx(1 / 4, abs=0.04)
    assert rows.mean() == pytest.approx(HALF, abs=1.5)


def test_icons_that_a_set_lacks_or_that_show_nothing_are_left_out(tmp_path: Path) -> None:
    write_set(tmp_path, {"icons": {"corner": {"body": CORNER}, "void": {"body": '<g fill="none"/>'}}})
    drawings = load_drawings(tmp_path, ["corner", "void", "missing"], ["set"], tmp_path / "cache")
    assert drawings.icons_in("set", ("missing", "void", "corner")) == ["corner"]
    assert not drawings.has("other-set", "corner")


def test_the_mean_colour_counts_only_what_is_visible(tmp_path: Path) -> None:
    write_set(tmp_path, {"icons": {"spot": {"body": '<circle cx="8" cy="8" r="3" fill="#204080"/>'}}})
    drawings = load_drawings(tmp_path, ["spot"], ["set"], tmp_path / "cache")
    assert drawings.mean_colour("set", "spot") == pytest.approx((0x20, 0x40, 0x80), abs=2)


def test_a_second_load_takes_the_rasters_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, {"icons": {"corner": {"body": CORNER}}})
    first = load_drawings(tmp_path, ["corner"], ["set"], tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    again = load_drawings(tmp_path, ["corner"], ["set"], tmp_path / "cache")
    np.testing.assert_array_equal(again.raster("set", "corner"), first.raster("set", "corner"))


def test_a_missing_rasteriser_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, {"icons": {"corner": {"body": CORNER}}})
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DatasetError, match=r"pip install 'mmchat\[train\]'"):
        load_drawings(tmp_path, ["corner"], ["set"], tmp_path / "cache")


def test_a_missing_set_names_its_npm_package(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="npm install @iconify-json/noto"):
        load_drawings(tmp_path, ["cat"], ["noto"], tmp_path / "cache")


@pytest.mark.parametrize("content", ["not json", "[]", "{}"])
def test_a_file_that_is_no_icon_set_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "icons.json").write_text(content)
    with pytest.raises(DatasetError, match="is not an iconify icon set"):
        load_drawings(tmp_path, ["cat"], ["set"], tmp_path / "cache")


def test_an_alias_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, {"icons": {}, "aliases": {"a": {"parent": "b"}, "b": {"parent": "a"}}})
    with pytest.raises(DatasetError, match="an alias leads to"):
        load_drawings(tmp_path, ["a"], ["set"], tmp_path / "cache")
