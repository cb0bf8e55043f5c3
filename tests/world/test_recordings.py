"""Recordings from a zip: whose are used, how their words are written, who is heard where, and zips that are none."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.phrasing import Split
from mmchat.world.recordings import SETS, Recordings
from tests.world.packs import hum_bytes, write_pack

YES = [{"file": f"{speaker}.flac", "set": SETS[0], "text": "yes", "speaker": speaker} for speaker in ("ada", "finn")]
FILES = {"ada.flac": hum_bytes(200), "finn.flac": hum_bytes(300)}


def texts(recordings: Recordings, split: Split) -> set[str]:
    return {recordings.sample(split, Random(seed))[0] for seed in range(30)}


def pitch(recordings: Recordings, split: Split, text: str) -> float:
    """The strongest frequency in Hz of a clip that says `text`."""
    samples = (recordings.sample(split, Random(seed)) for seed in range(30))
    waveform, rate = next((waveform, rate) for said, waveform, rate in samples if said == text)
    return float(np.abs(np.fft.rfft(waveform)).argmax() * rate / len(waveform))


def test_texts_are_written_as_sentences_and_long_or_empty_ones_and_other_sets_are_left_aside(
    recording_pack: Path,
) -> None:
    recordings = Recordings(recording_pack)
    assert texts(recordings, "train") == {"Yes.", "The old house it stood there."}
    assert texts(recordings, "test") == {"Yes."}


def test_nobody_is_heard_in_both_splits(recording_pack: Path) -> None:
    recordings = Recordings(recording_pack)
    assert pitch(recordings, "train", "Yes.") == 200
    assert pitch(recordings, "test", "Yes.") == 300


def test_a_clip_is_one_channel_of_samples_and_its_rate(recording_pack: Path) -> None:
    _, waveform, rate = Recordings(recording_pack).sample("test", Random(0))
    assert (waveform.dtype, waveform.shape, rate) == (np.dtype(np.float32), (4_000,), 8_000)
    assert np.abs(waveform).max() == pytest.approx(0.4, abs=0.01)


def test_about_one_speaker_in_eight_is_for_the_test(tmp_path: Path) -> None:
    rows = [{"file": "a.flac", "set": SETS[0], "text": f"word {n}", "speaker": f"speaker {n}"} for n in range(400)]
    recordings = Recordings(write_pack(tmp_path / "speech.zip", rows, {"a.flac": hum_bytes(200)}))
    heard = {recordings.sample("test", Random(seed))[0] for seed in range(200)}
    assert 30 <= len(heard) <= 70


@pytest.mark.parametrize("row", [{"set": SETS[0]}, [1], {**YES[0], "text": 7}])
def test_a_malformed_row_is_one_line(tmp_path: Path, row: object) -> None:
    pack = write_pack(tmp_path / "speech.zip", [*YES, row], FILES)
    with pytest.raises(DatasetError) as caught:
        Recordings(pack)
    assert str(caught.value).startswith(f"{pack} is no zip of recordings with a metadata.jsonl: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_zip_or_has_no_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    for name in ("text.zip", "missing.zip"):
        with pytest.raises(DatasetError, match=f"{name} is no zip of recordings with a metadata.jsonl: "):
            Recordings(tmp_path / name)


def test_a_zip_of_one_person_is_refused(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "speech.zip", YES[:1], FILES)
    with pytest.raises(DatasetError, match=r"has no recordings of .* in both of its splits"):
        Recordings(pack)


@pytest.mark.parametrize("files", [{}, {"ada.flac": b"not a clip"}])
def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    recordings = Recordings(write_pack(tmp_path / "speech.zip", YES, files))
    with pytest.raises(DatasetError, match=r"speech\.zip: ada\.flac cannot be read as a clip: "):
        recordings.sample("train", Random(0))
