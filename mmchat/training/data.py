"""Rows of a dataset folder, and the order in which training meets them.

A dataset folder holds JSONL files; paths in them are relative to the folder.

    captions.jsonl      {"image": "images/…", "text": "…"}
    transcripts.jsonl   {"audio": "audio/…", "text": "…"}
    dialogues.jsonl     {"messages": [{"role": …, "content": …}, …]}
    texts.jsonl         {"text": "…"}
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmchat.errors import DatasetError
from mmchat.inputs.rows import numbered_rows


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


def _with_keys(path: Path, number: int, row: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    missing = [key for key in keys if key not in row]
    if missing:
        raise DatasetError(f"{path} line {number} has no {' and no '.join(missing)}")
    return row
