"""Photographs from a zip: which labels show which thing, the split of the zip, and zips that are none."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import yaml

from mmchat.errors import DatasetError
from mmchat.world.concepts import Thing, load_things
from mmchat.world.photographs import LABELS_FILE, Photographs
from mmchat.world.phrasing import Split
from tests.world.packs import picture_bytes, write_pack

Toys = tuple[Thing, ...]
LEMONS = [{"file": f"{split}.webp", "set": "grocery", "label": "Lemon", "split": split} for split in ("train", "test")]
FILES = {"train.webp": picture_bytes("yellow"), "test.webp": picture_bytes("gold")}


def test_labels_lead_only_to_things_of_the_world() -> None:
    names = {thing.name for thing in load_things()}
    for labels in yaml.safe_load(LABELS_FILE.read_text(encoding="utf-8")).values():
        assert set(labels.values()) <= names


def test_only_photographs_of_the_things_that_are_wanted_are_sampled(toys: Toys, photograph_pack: Path) -> None:
    photographs = Photographs(photograph_pack, toys)
    assert {photographs.sample("train", Random(seed))[0].name for seed in range(30)} == {"lemon", "pizza"}
    assert {photographs.sample("test", Random(seed))[0].name for seed in range(30)} == {"lemon"}


def test_a_photograph_keeps_to_its_split_and_is_rgb(toys: Toys, photograph_pack: Path) -> None:
    photographs = Photographs(photograph_pack, [thing for thing in toys if thing.name == "lemon"])
    colours: dict[Split, tuple[int, int, int]] = {"train": (255, 255, 0), "test": (255, 215, 0)}
    for split, colour in colours.items():
        _, picture = photographs.sample(split, Random(0))
        assert (picture.mode, picture.size) == ("RGB", (24, 16))
        assert picture.getpixel((5, 5)) == colour


def test_the_same_seed_takes_the_same_photograph(toys: Toys, photograph_pack: Path) -> None:
    one, same = (Photographs(photograph_pack, toys).sample("train", Random(4)) for _ in range(2))
    assert one[0] == same[0]
    assert one[1].tobytes() == same[1].tobytes()


@pytest.mark.parametrize("row", [{"set": "grocery"}, [1], {**LEMONS[0], "split": "dev"}, {**LEMONS[0], "label": []}])
def test_a_malformed_row_is_one_line(toys: Toys, tmp_path: Path, row: object) -> None:
    pack = write_pack(tmp_path / "photos.zip", [*LEMONS, row], FILES)
    with pytest.raises(DatasetError) as caught:
        Photographs(pack, toys)
    assert str(caught.value).startswith(f"{pack} is no zip of photographs with a metadata.jsonl: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_zip_or_has_no_metadata_is_refused(toys: Toys, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    for name in ("text.zip", "missing.zip"):
        with pytest.raises(DatasetError, match=f"{name} is no zip of photographs with a metadata.jsonl: "):
            Photographs(tmp_path / name, toys)


def test_a_zip_without_things_of_the_world_in_both_splits_is_refused(toys: Toys, tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "photos.zip", LEMONS[:1], FILES)
    with pytest.raises(DatasetError, match="no photographs of things of the world in both of its splits"):
        Photographs(pack, toys)


@pytest.mark.parametrize("files", [{}, {"train.webp": b"not a picture"}])
def test_a_photograph_that_cannot_be_read_is_named(toys: Toys, tmp_path: Path, files: dict[str, bytes]) -> None:
    photographs = Photographs(write_pack(tmp_path / "photos.zip", LEMONS, files), toys)
    with pytest.raises(DatasetError, match=r"photos\.zip: train\.webp cannot be read as a picture: "):
        photographs.sample("train", Random(0))
