"""A whole dataset of a small world: files and rows that belong together, the same for any number of workers."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.errors import DatasetError
from mmchat.inputs.messages import Message
from mmchat.world import items
from mmchat.world.build import build_world
from mmchat.world.concepts import Thing
from mmchat.world.scenes import PICTURE_SIDE
from mmchat.world.speech import EVALUATION_VOICES, VOICES, Voice

Toys = tuple[Thing, ...]
Build = Callable[..., dict[str, int]]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def tone(text: str, voice: Voice, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A clip as long as its text, without a speech program."""
    time = np.arange(len(text) * 800) / 16_000
    return (0.5 * np.sin(time * rng.uniform(1_000, 3_000))).astype(np.float32), 16_000


@pytest.fixture(scope="module")
def build(toys: Toys, icon_sets: Path, cache: Path) -> Build:
    def run(out: Path, **changes: Any) -> dict[str, int]:
        sizes = {"seed": 5, "pictures": 20, "spoken": 0, "texts": 20}
        return build_world(out, icons=icon_sets, things=toys, cache=cache, **(sizes | changes))

    return run


@pytest.fixture(scope="module")
def world(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with clips, which are tones."""
    out = tmp_path_factory.mktemp("data") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "speak", tone)
        build(out, spoken=40)
    return out


def test_counts_are_those_of_the_files(build: Build, tmp_path: Path) -> None:
    counts = build(tmp_path / "world")
    assert counts == {name: len(rows(tmp_path / "world" / name)) for name in counts}
    assert (counts["train/captions.jsonl"], counts["test/captions.jsonl"]) == (20, 2)
    assert counts["test/captions_reserved.jsonl"] == 2
    assert 40 <= counts["train/dialogues.jsonl"] <= 60


def test_every_row_leads_to_its_media_and_every_file_has_a_row(world: Path) -> None:
    for split in ("train", "test"):
        named = set()
        for path in (world / split).glob("*.jsonl"):
            for row in rows(path):
                parts = [part for message in row.get("messages", [row]) for part in message.get("content", [row])]
                named |= {part[kind] for part in parts for kind in ("image", "audio") if kind in part}
        media = {str(path) for path in files(world / split) if path.suffix != ".jsonl"}
        assert named == media


def test_dialogues_are_conversations_that_end_with_an_accepted_answer(world: Path) -> None:
    for path in world.glob("*/dialogues*.jsonl"):
        for row in rows(path):
            messages = [Message.from_dict(message, base=path.parent) for message in row["messages"]]
            assert [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2)
            assert any(word.lower() in messages[-1].text.lower() for word in row["accept"])


def test_pictures_and_clips_are_small_and_of_one_format(world: Path) -> None:
    for path in world.rglob("*.webp"):
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((PICTURE_SIDE, PICTURE_SIDE), "RGB")
    for path in world.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")


def test_a_spoken_question_is_not_written_beside_its_clip(world: Path) -> None:
    transcripts = {row["audio"]: row["text"] for row in rows(world / "train" / "transcripts.jsonl")}
    spoken = 0
    for row in rows(world / "train" / "dialogues.jsonl"):
        for message in row["messages"]:
            clips = [part["audio"] for part in message["content"] if part["type"] == "audio"]
            texts = [part["text"] for part in message["content"] if part["type"] == "text"]
            spoken += len(clips)
            assert not {transcripts[clip] for clip in clips} & set(texts)
            assert not texts or not clips or row["kind"] == "transcribe"
    assert spoken == len(transcripts) == 40


def test_splits_share_no_voice(world: Path) -> None:
    voices = {split: {row["voice"] for row in rows(world / split / "transcripts.jsonl")} for split in ("train", "test")}
    assert voices["train"] <= set(map(str, VOICES))
    assert voices["test"] <= set(map(str, EVALUATION_VOICES))


def test_the_card_credits_every_icon_set(world: Path) -> None:
    card = (world / "README.md").read_text(encoding="utf-8")
    assert "| openmoji | [A. Painter](https://example.org) | [Free for all](https://example.org/licence) |" in card
    assert "| `train/captions.jsonl` | 20 |" in card
    assert "about 6 things" in card


def test_the_number_of_workers_changes_nothing(build: Build, tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    _, different, unread = filecmp.cmpfiles(
        tmp_path / "one", tmp_path / "two", map(str, files(tmp_path / "one")), shallow=False
    )
    assert (different, unread) == ([], [])


def test_another_seed_makes_another_dataset(build: Build, tmp_path: Path) -> None:
    for seed in (1, 2):
        build(tmp_path / str(seed), seed=seed)
    one, two = (rows(tmp_path / seed / "train" / "captions.jsonl") for seed in ("1", "2"))
    assert one != two


def test_progress_reaches_its_end(build: Build, tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    build(tmp_path / "world", progress=lambda what, done, total: seen.update({what: (done, total)}))
    assert seen["icon sets"] == (9, 9)
    assert seen["items"][0] == seen["items"][1] > 40


def test_a_folder_in_use_is_left_alone(build: Build, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        build(tmp_path)
    assert files(tmp_path) == [Path("notes.txt")]


def test_a_build_that_fails_leaves_nothing(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatasetError("flite is not installed")

    monkeypatch.setattr(items, "speak", fail)
    with pytest.raises(DatasetError, match="flite"):
        build(tmp_path / "world", spoken=3)
    assert list(tmp_path.iterdir()) == []


def test_a_thing_that_no_training_set_draws_is_named(build: Build, toys: Toys, icon_sets: Path, tmp_path: Path) -> None:
    unseen = toys[0].model_copy(update={"name": "unicorn", "icons": ("unicorn",)})
    with pytest.raises(DatasetError, match="no training set has an icon for unicorn"):
        build_world(
            tmp_path / "world",
            icons=icon_sets,
            seed=0,
            pictures=1,
            spoken=0,
            texts=0,
            things=[*toys, unseen],
            cache=tmp_path / "cache",
        )
    assert not (tmp_path / "world").exists()


@pytest.mark.parametrize(
    ("sizes", "message"), [({"pictures": -1}, "pictures must be 0 or more"), ({"workers": 0}, "workers must be 1")]
)
def test_impossible_sizes_are_refused(build: Build, tmp_path: Path, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        build(tmp_path / "world", **sizes)
