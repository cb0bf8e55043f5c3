"""Words and sentences that people recorded, from a zip of transcribed clips.

The zip holds clips and a `metadata.jsonl`, one row a clip: `file`, `set`, `text` and `speaker`. The speakers are split:
nobody is heard in training and in test.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import soundfile

from mmchat.errors import DatasetError
from mmchat.world.phrasing import Split, capitalise
from mmchat.world.speech import Waveform

SETS = ("speech_commands_test", "speech_commands_30words", "ljtext_reader_pm")
"""The sets whose licences ask for no more than to be named (see the dataset card)."""
_LONGEST = 80  # characters: about 6 s
_TEST_STRIDE = 8  # every so many speakers are for the test


class Recordings:
    """The recordings of a zip, by split and by what is said."""

    def __init__(self, pack: Path) -> None:
        """Read which clips there are; each is read when it is wanted.

        Raises:
            DatasetError: `pack` is no such zip, or has no clips of these sets in both splits.
        """
        self._files: dict[Split, dict[str, list[str]]] = {"train": {}, "test": {}}
        try:
            self._zip = zipfile.ZipFile(pack)
            rows = [json.loads(line) for line in self._zip.read("metadata.jsonl").splitlines()]
            for row in rows:
                if is_usable(row):
                    self._files[_split(str(row["speaker"]))].setdefault(_written(row["text"]), []).append(row["file"])
        except (OSError, zipfile.BadZipFile, LookupError, ValueError, TypeError) as error:
            raise DatasetError(f"{pack} is no zip of recordings with a metadata.jsonl: {error}") from error
        if not self._files["train"] or not self._files["test"]:
            raise DatasetError(f"{pack} has no recordings of {', '.join(SETS)} in both of its splits")

    def sample(self, split: Split, rng: Random) -> tuple[str, Waveform, int]:
        """What is said, each text as often as any other, and a clip of it: (samples,) float32 and its rate in Hz.

        Raises:
            DatasetError: the clip is not in the zip, or is no sound file.
        """
        text = rng.choice(sorted(self._files[split]))
        file = rng.choice(self._files[split][text])
        try:
            waveform, rate = soundfile.read(io.BytesIO(self._zip.read(file)), dtype="float32", always_2d=True)
        except (zipfile.BadZipFile, LookupError, soundfile.SoundFileError) as error:
            raise DatasetError(f"{self._zip.filename}: {file} cannot be read as a clip: {error}") from error
        return text, waveform.mean(1), rate


def is_usable(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a set that may be used and says something of a length that is wanted."""
    return row["set"] in SETS and 0 < len(row["text"]) <= _LONGEST


def _split(speaker: str) -> Split:
    number = int(hashlib.sha256(speaker.encode()).hexdigest(), 16)
    return "test" if number % _TEST_STRIDE == 0 else "train"


def _written(text: str) -> str:
    """A text as the world writes sentences: "Yes.", "The cat sat there." """
    plain = " ".join("".join(c if c.isalnum() or c in "' ,-" else " " for c in text).split()).strip(" ,-")
    return f"{capitalise(plain)}."
