"""A small world of our own: nine icon sets of plain shapes and six things, so that no npm package is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmchat.world.concepts import Thing
from mmchat.world.drawings import RESERVED_STYLES, TRAIN_STYLES, Drawings, load_drawings

SHAPES = {
    "ball": '<circle cx="16" cy="16" r="8" fill="#2040ff"/>',
    "plank": '<rect x="2" y="14" width="28" height="4" fill="#ff7010"/>',
    "tower": '<rect x="13" y="2" width="6" height="28" fill="#208020"/>',
    "tent": '<path d="M16 4 L30 28 L2 28 Z" fill="#d02020"/>',
    "ring": '<circle cx="16" cy="16" r="10" fill="none" stroke="#802090" stroke-width="4"/>',
    "flag": '<path d="M4 2 H26 V14 H8 V30 H4 Z" fill="#10a0a0"/>',
}


def make_thing(name: str) -> Thing:
    return Thing(
        name=name,
        plural=f"{name}s",
        article="a",
        icons=(name,),
        category="toy" if name in ("ball", "plank", "ring") else "building",
        colours=("blue",),
        place="lies in a box",
        use="is good for play",
        part="a bright colour",
        sound="rattles",
        facts=(f"A {name} is easy to draw.", f"A {name} does not talk."),
    )


@pytest.fixture(scope="session")
def toys() -> tuple[Thing, ...]:
    return tuple(make_thing(name) for name in SHAPES)


@pytest.fixture(scope="session")
def icon_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as node_modules/@iconify-json; the last training set lacks the flag."""
    folder = tmp_path_factory.mktemp("icons")
    for style in (*TRAIN_STYLES, *RESERVED_STYLES):
        icons = {name: {"body": body} for name, body in SHAPES.items()}
        if style == TRAIN_STYLES[-1]:
            del icons["flag"]
        write_icon_set(folder, style, {"icons": icons, "width": 32, "height": 32})
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def drawings(icon_sets: Path, cache: Path) -> Drawings:
    return load_drawings(icon_sets, SHAPES, TRAIN_STYLES, cache)


def write_icon_set(folder: Path, style: str, content: dict[str, object]) -> None:
    (folder / style).mkdir()
    (folder / style / "icons.json").write_text(json.dumps({"prefix": style, **content}))
    licence = {"title": "Free for all", "url": "https://example.org/licence"}
    info = {"author": {"name": "A. Painter", "url": "https://example.org"}, "license": licence}
    (folder / style / "info.json").write_text(json.dumps(info))
