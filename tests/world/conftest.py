"""Sets of our own, so that no package and no download is needed: icons of plain shapes, photographs, recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmchat.world import phrasing, talk, text_talk
from mmchat.world.concepts import Thing
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES, Drawings, load_drawings
from tests.world.packs import hum_bytes, picture_bytes, write_pack

SHAPES = {
    "ball": '<circle cx="16" cy="16" r="8" fill="#2040ff"/>',
    "plank": '<rect x="2" y="14" width="28" height="4" fill="#ff7010"/>',
    "tower": '<rect x="13" y="2" width="6" height="28" fill="#208020"/>',
    "tent": '<path d="M16 4 L30 28 L2 28 Z" fill="#d02020"/>',
    "ring": '<circle cx="16" cy="16" r="10" fill="none" stroke="#802090" stroke-width="4"/>',
    "flag": '<path d="M4 2 H26 V14 H8 V30 H4 Z" fill="#10a0a0"/>',
    "kite": '<path d="M16 2 L28 12 L16 30 L4 12 Z" fill="#805020"/>',
    "star": '<path d="M16 1 L20 12 H31 L22 19 L26 30 L16 23 L6 30 L10 19 L1 12 H12 Z" fill="#906010"/>',
    "lemon": '<ellipse cx="16" cy="16" rx="14" ry="9" fill="#b0a000"/>',
    "pizza": '<path d="M2 4 H30 L16 30 Z" fill="#c06030"/>',
}
_CATEGORIES = {"tower": "building", "tent": "building", "lemon": "fruit", "pizza": "food"}


def make_toy(name: str) -> Thing:
    return Thing(
        name=name,
        plural=f"{name}s",
        article="a",
        icons=(name,),
        category=_CATEGORIES.get(name, "toy"),
        colours=("blue",),
        place="lies in a box",
        use="is good for play",
        part="a bright colour",
        sound="rattles",
        facts=(f"A {name} is easy to draw.", f"A {name} does not talk."),
    )


@pytest.fixture(scope="session")
def toys() -> tuple[Thing, ...]:
    return tuple(make_toy(name) for name in SHAPES)


@pytest.fixture(scope="session")
def icon_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as node_modules/@iconify-json; the last training set lacks the flag."""
    folder = tmp_path_factory.mktemp("icons")
    for style in (*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES):
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


@pytest.fixture(scope="session")
def photograph_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of plain colours: two things of the small world, one of the whole one, one of neither."""
    shown = (
        ("grocery", "Lemon", "train", "yellow"),
        ("grocery", "Lemon", "test", "gold"),
        ("caltech101", "pizza", "train", "orange"),
        ("caltech101", "wrench", "train", "grey"),
        ("trashnet", "glass", "test", "green"),
    )
    rows, files = [], {}
    for number, (source, label, split, colour) in enumerate(shown):
        file = f"{number}.webp"
        rows.append({"file": file, "set": source, "label": label, "split": split})
        files[file] = picture_bytes(colour)
    return write_pack(tmp_path_factory.mktemp("photographs") / "photos.zip", rows, files)


@pytest.fixture(scope="session")
def recording_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hums of two people: "ada" is of the training split, "finn" of the test split."""
    said = (
        ("speech_commands_test", "yes", "ada", 200),
        ("speech_commands_30words", "yes", "finn", 300),
        ("ljtext_reader_pm", 'the "old" house; it stood there,', "ada", 400),
        ("fsdd", "seven", "finn", 500),
        ("speech_commands_test", "", "ada", 600),
        ("ljtext_reader_pm", "a sentence that never ends " * 4, "ada", 700),
    )
    rows, files = [], {}
    for number, (source, text, speaker, pitch) in enumerate(said):
        file = f"{number}.flac"
        rows.append({"file": file, "set": source, "text": text, "speaker": speaker})
        files[file] = hum_bytes(pitch)
    return write_pack(tmp_path_factory.mktemp("recordings") / "speech.zip", rows, files)


@pytest.fixture
def first_wordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list of wordings is cut to its first, with no more beside it and none within another sentence, so that a
    transcript hangs on nothing else.
    """
    read = phrasing.read_wordings
    for module in (phrasing, talk, text_talk):
        monkeypatch.setattr(module, "read_wordings", lambda name: _cut(read(name)))
    for name in ("indirect", "more"):
        monkeypatch.setattr(phrasing, name, lambda source, topic: ())


def _cut(wordings: Any) -> Any:
    if isinstance(wordings, dict):
        return {key: _cut(value) for key, value in wordings.items()}
    return [_cut(wordings[0]) if isinstance(wordings[0], dict) else wordings[0]]


def write_icon_set(folder: Path, style: str, content: dict[str, object]) -> None:
    (folder / style).mkdir()
    (folder / style / "icons.json").write_text(json.dumps({"prefix": style, **content}))
    licence = {"title": "Free for all", "url": "https://example.org/licence"}
    info = {"author": {"name": "A. Painter", "url": "https://example.org"}, "license": licence}
    (folder / style / "info.json").write_text(json.dumps(info))
