"""Rows of a dataset folder, and the order in which training meets them.

A dataset folder holds JSONL files; paths in them are relative to the folder.

    regions.jsonl       {"image": "images/…", "regions": [{"name": "…", "box": [left, top, right, bottom]}, …]}
    captions.jsonl      {"image": "images/…", "text": "…"}
    transcripts.jsonl   {"audio": "audio/…", "text": "…"}
    dialogues.jsonl     {"messages": [{"role": …, "content": …}, …], "kind": "…", "transcripts": ["…", …]}
    texts.jsonl         {"text": "…"}

The `kind` of a dialogue and the `transcripts` of its clips, in their order, may be missing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmchat.encoders.resize import fit
from mmchat.errors import DatasetError
from mmchat.inputs.image import load_image
from mmchat.inputs.rows import numbered_rows

MODALITIES = {"text": "text", "image": "image", "image_url": "image", "audio": "audio", "input_audio": "audio"}
"""What a part of a message is, by its type in the chat format."""

_ROOM = 5 * 2**30  # bytes of pictures kept by each process; reading one again takes a tenth of learning from it


def read_rows(path: Path, *keys: str) -> list[dict[str, Any]]:
    """All rows of a JSONL file.

    Args:
        path: the file.
        keys: what every row must have.

    Raises:
        DatasetError: the file is missing or empty, or a line is not a JSON object with these keys; says which.
    """
    rows = [_with_keys(path, number, row, keys) for number, row in numbered_rows(path)]
    if not rows:
        raise DatasetError(f"{path} has no rows")
    return rows


def read_dialogues(path: Path) -> list[dict[str, Any]]:
    """All rows of a file of dialogues.

    Raises:
        DatasetError: as for `read_rows`, or messages are not in the chat format; says in which line.
    """
    rows = []
    for number, row in numbered_rows(path):
        messages = _with_keys(path, number, row, ("messages",))["messages"]
        if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
            raise DatasetError(f'{path} line {number}: each message needs a "role" and a "content" of text or parts')
        unknown = {part["type"] for part in parts_of(row)} - MODALITIES.keys()
        if unknown:
            raise DatasetError(f"{path} line {number} has parts of unknown type {', '.join(sorted(map(str, unknown)))}")
        rows.append(row)
    if not rows:
        raise DatasetError(f"{path} has no rows")
    return rows


def parts_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All parts of a dialogue, in order; a content that is text alone is one part."""
    contents = (message["content"] for message in row["messages"])
    lists = ([{"type": "text", "text": each}] if isinstance(each, str) else each for each in contents)
    return [part for parts in lists for part in parts]


def shuffled(size: int, seed: int, start: int = 0) -> Iterator[int]:
    """Endless indices below `size`: each epoch a new order, known from the seed alone.

    Args:
        size: number of rows.
        seed: of the order.
        start: how many indices were used before, so that a resumed run goes on where it stopped.
    """
    epoch, position = divmod(start, size)
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(size)
        for index in order[position:]:
            yield int(index)
        epoch, position = epoch + 1, 0


def step_random(seed: int, step: int) -> random.Random:
    """Randomness of one step, the same after a resume."""
    return random.Random(f"{seed}-{step}")


class PictureCache:
    """The pictures of a dataset folder as inference would see them, (3, S, S) bytes, kept while there is room."""

    def __init__(self, folder: Path, side: int) -> None:
        """Pictures of `folder`, brought to S = `side` pixels."""
        self._folder = folder
        self._side = side
        self._pixels: dict[str, Tensor] = {}
        self._kept = _ROOM // (3 * side * side)

    def __getitem__(self, name: str) -> Tensor:
        """The picture of that file.

        Raises:
            ImageError: it cannot be read.
        """
        if name in self._pixels:
            return self._pixels[name]
        image = fit(load_image(self._folder / name).image, self._side)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        if len(self._pixels) < self._kept:
            self._pixels[name] = pixels
        return pixels


def _is_message(value: object) -> bool:
    match value:
        case {"role": str(), "content": str()}:
            return True
        case {"role": str(), "content": list(parts)}:
            return all(_is_part(part) for part in parts)
    return False


def _is_part(value: object) -> bool:
    match value:
        case {"type": "text", **rest}:
            return isinstance(rest.get("text"), str)
        case {"type": str()}:
            return True
    return False


def _with_keys(path: Path, number: int, row: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    missing = [key for key in keys if key not in row]
    if missing:
        raise DatasetError(f"{path} line {number} has no {' and no '.join(missing)}")
    return row
