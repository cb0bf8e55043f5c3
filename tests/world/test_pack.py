"""A pack gives the same world as the sources it was made from, and is smaller."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.concepts import Thing, load_things
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES, load_drawings
from mmchat.world.pack import write_pack
from mmchat.world.photographs import Photographs, thing_of
from mmchat.world.recordings import Recordings
from tests.world import packs

CAT = {"set": "cifar10", "label": "cat"}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Six photographs of a cat, two of them for the test, and one of nothing that is known."""
    rows = [{"file": f"{n}.webp", **CAT, "split": "test" if n < 2 else "train"} for n in range(6)]
    rows.append({"file": "6.webp", "set": "cifar10", "label": "quark", "split": "train"})
    return packs.write_pack(tmp_path / "photos.zip", rows, {row["file"]: packs.picture_bytes("red") for row in rows})


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Words of twenty speakers, and one of a set that is not used."""
    rows = [{"file": f"{n}.flac", "set": "speech_commands_test", "text": "yes", "speaker": str(n)} for n in range(20)]
    rows.append({"file": "20.flac", "set": "fsdd", "text": "one", "speaker": "20"})
    return packs.write_pack(tmp_path / "speech.zip", rows, {row["file"]: packs.hum_bytes(200) for row in rows})


@pytest.fixture
def cat() -> Thing:
    return next(thing for thing in load_things() if thing.name == "cat")


def unpacked(pack: Path, folder: Path) -> Path:
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(folder)
    return folder


def test_icons_of_a_pack_are_drawn_as_those_of_the_sets(
    icon_sets: Path, toys: tuple[Thing, ...], tmp_path: Path
) -> None:
    write_pack(tmp_path / "pack.zip", icons=icon_sets, things=toys[:3])
    names = [icon for thing in toys for icon in thing.icons]
    styles = (*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES)
    whole = load_drawings(icon_sets, names, styles, tmp_path / "whole")
    packed = load_drawings(
        unpacked(tmp_path / "pack.zip", tmp_path / "new") / "icons", names, styles, tmp_path / "some"
    )
    for style in styles:
        assert packed.icons_in(style, names) == [icon for thing in toys[:3] for icon in thing.icons]
        for icon in packed.icons_in(style, names):
            np.testing.assert_array_equal(packed.raster(style, icon), whole.raster(style, icon))


def test_an_alias_takes_what_it_leads_to_with_it(icon_sets: Path, toys: tuple[Thing, ...], tmp_path: Path) -> None:
    path = icon_sets / TRAIN_STYLES[0] / "icons.json"
    icon_set = json.loads(path.read_text(encoding="utf-8"))
    icon_set["icons"]["sphere"] = icon_set["icons"].pop("ball")
    aliases = {"ball-1": {"parent": "globe"}, "globe": {"parent": "sphere"}, "other": {"parent": "plank"}}
    folder = tmp_path / "sets"
    for style in (*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES):
        (folder / style).mkdir(parents=True)
        value = {**icon_set, "aliases": aliases}
        (folder / style / "icons.json").write_text(json.dumps(value), encoding="utf-8")
    write_pack(tmp_path / "pack.zip", icons=folder, things=[thing for thing in toys if thing.name == "ball"])
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        kept = json.loads(archive.read(f"icons/{TRAIN_STYLES[0]}/icons.json"))
    assert (list(kept["icons"]), list(kept["aliases"])) == (["sphere"], ["ball-1", "globe"])


def test_photographs_are_so_many_of_a_thing_in_each_split(
    icon_sets: Path, photographs: Path, cat: Thing, tmp_path: Path
) -> None:
    write_pack(tmp_path / "pack.zip", icons=icon_sets, things=[cat], photographs=photographs, photos_a_thing=3)
    part = unpacked(tmp_path / "pack.zip", tmp_path / "new") / "photographs.zip"
    with zipfile.ZipFile(part) as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        assert sorted(archive.namelist()) == sorted(["metadata.jsonl", *(row["file"] for row in rows)])
    assert sorted(row["split"] for row in rows) == ["test", "test", "train", "train", "train"]
    assert {thing_of(row) for row in rows} == {"cat"}
    assert Photographs(part, [cat]).sample("train", Random(0))[0] is cat


def test_recordings_are_those_that_may_be_used(icon_sets: Path, recordings: Path, cat: Thing, tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.zip", icons=icon_sets, things=[cat], recordings=recordings)
    part = unpacked(tmp_path / "pack.zip", tmp_path / "new") / "voices.zip"
    with zipfile.ZipFile(part) as archive:
        assert "20.flac" not in archive.namelist()
    whole, packed = (Recordings(source).sample("test", Random(0)) for source in (recordings, part))
    assert (packed[0], packed[2]) == (whole[0], whole[2])
    np.testing.assert_array_equal(packed[1], whole[1])


def test_what_stands_there_is_kept(icon_sets: Path, cat: Thing, tmp_path: Path) -> None:
    (tmp_path / "pack.zip").write_text("mine", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"pack\.zip exists already"):
        write_pack(tmp_path / "pack.zip", icons=icon_sets, things=[cat])
    assert (tmp_path / "pack.zip").read_text(encoding="utf-8") == "mine"


def test_a_missing_set_and_a_zip_of_something_else_are_one_line_and_leave_nothing(
    icon_sets: Path, cat: Thing, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="is not an iconify icon set: run `npm install @iconify-json/noto`"):
        write_pack(tmp_path / "pack.zip", icons=tmp_path, things=[cat])
    (tmp_path / "other.zip").write_bytes(b"no zip")
    with pytest.raises(DatasetError, match=r"other\.zip is no zip with a metadata\.jsonl"):
        write_pack(tmp_path / "pack.zip", icons=icon_sets, things=[cat], photographs=tmp_path / "other.zip")
    assert [path.name for path in tmp_path.iterdir() if "pack" in path.name] == []
