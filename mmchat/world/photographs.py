"""Photographs of things of the world, from a zip of labelled pictures.

The zip holds pictures and a `metadata.jsonl`, one row a picture: `file`, `set`, `label` and `split` (train or test).
`photographs.yaml` says which labels of which set show a thing of the world; all others are left aside.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from PIL import Image

from mmchat.errors import DatasetError
from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split

LABELS_FILE = Path(__file__).parent / "photographs.yaml"


@cache
def _labels() -> dict[str, dict[str, str]]:
    labels: dict[str, dict[str, str]] = yaml.safe_load(LABELS_FILE.read_text(encoding="utf-8"))
    return labels


def thing_of(row: Mapping[str, Any]) -> str | None:
    """The name of the thing that a row's picture shows; None where it is not of the world."""
    return _labels().get(row["set"], {}).get(row["label"])


class Photographs:
    """The photographs of a zip that show a thing of the world."""

    def __init__(self, pack: Path, things: Sequence[Thing]) -> None:
        """Read which pictures there are; each is read when it is wanted.

        Raises:
            DatasetError: `pack` is no such zip, or none of its pictures shows one of `things`.
        """
        by_name = {thing.name: thing for thing in things}
        self._files: dict[Split, dict[str, list[str]]] = {"train": {}, "test": {}}
        try:
            self._zip = zipfile.ZipFile(pack)
            rows = [json.loads(line) for line in self._zip.read("metadata.jsonl").splitlines()]
            for row in rows:
                name = thing_of(row)
                if name in by_name:
                    self._files[row["split"]].setdefault(name, []).append(row["file"])
        except (OSError, zipfile.BadZipFile, LookupError, ValueError, TypeError) as error:
            raise DatasetError(f"{pack} is no zip of photographs with a metadata.jsonl: {error}") from error
        if not self._files["train"] or not self._files["test"]:
            raise DatasetError(f"{pack} has no photographs of things of the world in both of its splits")
        self._things = by_name

    def sample(self, split: Split, rng: Random) -> tuple[Thing, Image.Image]:
        """A thing, each as often as any other, and one of its photographs in RGB.

        Raises:
            DatasetError: the photograph is not in the zip, or is no picture.
        """
        name = rng.choice(sorted(self._files[split]))
        file = rng.choice(self._files[split][name])
        try:
            picture = Image.open(io.BytesIO(self._zip.read(file))).convert("RGB")
        except (OSError, zipfile.BadZipFile, LookupError) as error:
            raise DatasetError(f"{self._zip.filename}: {file} cannot be read as a picture: {error}") from error
        return self._things[name], picture
