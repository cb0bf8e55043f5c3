"""Zips of labelled pictures and of transcribed clips, made from numbers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


def write_pack(path: Path, rows: Sequence[object], files: Mapping[str, bytes]) -> Path:
    """A zip with its `metadata.jsonl`."""
    with zipfile.ZipFile(path, "w") as pack:
        pack.writestr("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        for name, data in files.items():
            pack.writestr(name, data)
    return path


def picture_bytes(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (24, 16), colour).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def hum_bytes(pitch: int, rate: int = 8_000) -> bytes:
    """Half a second of a tone of `pitch` Hz, in stereo."""
    tone = 0.4 * np.sin(2 * np.pi * pitch * np.arange(rate // 2) / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone, tone], axis=1), rate, format="FLAC")
    return buffer.getvalue()
