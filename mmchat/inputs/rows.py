"""Rows of a JSONL file of a dataset, each with the number of its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmchat.errors import DatasetError


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each line that is not blank, counted from 1, and its JSON object.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, or a line is not a JSON object; says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would also split inside JSON, at U+2028
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _row(path, number, line)


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} line {number} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} line {number} is not a JSON object")
    return value
