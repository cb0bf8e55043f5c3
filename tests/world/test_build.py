"""A whole dataset of a small world: files and rows that belong together, the same for any number of workers."""

from __future__ import annotations

import filecmp
import json
from collections import Counter
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
from mmchat.world.build import Sizes, build_world
from mmchat.world.concepts import Thing
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES
from mmchat.world.rendering import PICTURE_SIDE
from mmchat.world.voices import EVALUATION_VOICES, VOICES, Voice
from tests.world.small_world import holds_phrase

Toys = tuple[Thing, ...]
Build = Callable[..., dict[str, int]]
Parts = list[dict[str, str]]

SMALL = Sizes(pictures=20, texts=20)
WHOLE = Sizes(
    **{"pictures": 20, "regions": 20, "photos": 10, "albums": 20, "series": 30, "quizzes": 20, "told": 20},
    **{"shifts": 40, "spoken": 40, "dictations": 30, "recordings": 10, "texts": 20},
)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def tone(text: str, voice: Voice, rng: np.random.Generator, styles: Path | None = None) -> tuple[np.ndarray, int]:
    """A clip as long as its text, without a speech program."""
    assert styles is not None
    assert styles.parts[-2:] == ("kokoro-js", "voices")
    time = np.arange(len(text) * 800) / 16_000
    return (0.5 * np.sin(time * rng.uniform(1_000, 3_000))).astype(np.float32), 16_000


@pytest.fixture(scope="module")
def build(toys: Toys, icon_sets: Path, cache: Path) -> Build:
    def run(out: Path, **changes: Any) -> dict[str, int]:
        given = {"seed": 5, "sizes": SMALL, "icons": icon_sets, "things": toys, "cache": cache, **changes}
        return build_world(out, **given)

    return run


@pytest.fixture(scope="module")
def packs(photograph_pack: Path, recording_pack: Path) -> dict[str, Path]:
    return {"photographs": photograph_pack, "recordings": recording_pack}


@pytest.fixture(scope="module")
def world(build: Build, packs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of everything, in which tones are spoken."""
    out = tmp_path_factory.mktemp("data") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "speak", tone)
        build(out, sizes=WHOLE, **packs)
    return out


def dialogue_rows(world: Path) -> list[dict[str, Any]]:
    """Those of all files and splits."""
    return [row for path in world.rglob("*.jsonl") for row in rows(path) if "messages" in row]


def parts_of(row: dict[str, Any], kind: str) -> Parts:
    return [part for message in row["messages"] for part in message["content"] if part["type"] == kind]


def test_counts_are_those_of_the_files(build: Build, packs: dict[str, Path], tmp_path: Path) -> None:
    sizes = Sizes(pictures=20, regions=11, photos=9, albums=3, recordings=10, texts=20)
    counts = build(tmp_path / "world", sizes=sizes, **packs)
    assert counts == {name: len(rows(tmp_path / "world" / name)) for name in counts}
    # A photograph has a region and a caption too, a clip of a person a transcript. The test has a tenth, rounded up.
    assert (counts["train/captions.jsonl"], counts["test/captions.jsonl"]) == (29, 3)
    assert (counts["train/regions.jsonl"], counts["test/regions.jsonl"]) == (20, 3)
    assert (counts["train/photographs.jsonl"], counts["test/photographs.jsonl"]) == (9, 1)
    assert (counts["train/recordings.jsonl"], counts["test/recordings.jsonl"]) == (10, 1)
    assert (counts["train/transcripts.jsonl"], counts["test/transcripts.jsonl"]) == (10, 1)
    assert (counts["test/captions_reserved.jsonl"], counts["test/regions_reserved.jsonl"]) == (2, 2)
    assert 20 + 20 + 3 <= counts["train/dialogues.jsonl"] <= 40 + 20 + 3
    assert not [name for name in counts if name.startswith("train/") and "reserved" in name]


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
    for row in dialogue_rows(world):
        roles = [message["role"] for message in row["messages"]]
        assert roles[roles[0] == "system" :] == ["user", "assistant"] * (len(roles) // 2)
        (answer,) = row["messages"][-1]["content"]
        assert holds_phrase(answer["text"], row["accept"])


def test_every_dialogue_can_be_read(world: Path) -> None:
    """A clip that is too quiet to be let in would stop a training."""
    for row, folder in ((row, path.parent) for path in world.rglob("*.jsonl") for row in rows(path)):
        messages = [Message.from_dict(message, base=folder) for message in row.get("messages", ())]
        assert [message.role for message in messages] == [each["role"] for each in row.get("messages", ())]


def test_pictures_and_clips_are_small_and_of_the_usual_formats(world: Path) -> None:
    for path in world.rglob("*.webp"):
        with Image.open(path) as picture:
            side = (24, 16) if path.name.startswith("photo-") else (PICTURE_SIDE, PICTURE_SIDE)
            assert (picture.size, picture.mode) == (side, "RGB")
    rates = set()
    for path in world.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.channels, info.subtype) == (1, "PCM_16")
        rates.add(info.samplerate)
    assert 16_000 in rates
    assert rates <= {8_000, 16_000, 22_050, 44_100, 48_000}


def test_regions_are_names_and_boxes_inside_the_picture(world: Path, toys: Toys) -> None:
    names = {thing.name for thing in toys}
    crowds = set()
    for path in world.glob("*/regions*.jsonl"):
        for row in rows(path):
            crowds.add(len(row["regions"]))
            for region in row["regions"]:
                left, top, right, bottom = region["box"]
                assert 0 <= left < right <= 1
                assert 0 <= top < bottom <= 1
                assert region["name"] in names
    assert crowds == {1, 4, 6, 9}


def test_a_style_is_named_where_all_that_is_seen_is_of_one(world: Path) -> None:
    """Of the sets for interfaces in training alone."""
    drawn, sketched = {*TRAIN_STYLES, *RESERVED_STYLES}, set[str]()
    for path in world.rglob("*.jsonl"):
        wanted = set(RESERVED_STYLES) if path.stem.endswith("_reserved") else {*TRAIN_STYLES, "photograph"}
        if path.parent.name == "train":
            wanted |= {*SKETCH_STYLES}
        styles = {row["style"] for row in rows(path) if "style" in row}
        assert styles <= wanted
        sketched |= styles & {*SKETCH_STYLES}
        assert styles & drawn or path.stem not in ("captions", "regions_reserved")
        assert path.stem != "photographs" or styles == {"photograph"}
    assert sketched


def test_a_spoken_question_is_not_written_beside_its_clip(world: Path) -> None:
    spoken = silent = 0
    for path in world.glob("*/transcripts.jsonl"):
        transcripts = {row["audio"]: row["text"] for row in rows(path)}
        others = [other for other in path.parent.glob("*.jsonl") if other.stem != "echoes"]
        for row in (row for other in others for row in rows(other) if "messages" in row):
            clips = [part["audio"] for part in parts_of(row, "audio")]
            said = [transcripts[clip] for clip in clips if transcripts[clip]]
            asked = [message for message in row["messages"] if message["role"] == "user"]
            assert not set(said) & {part["text"] for message in asked for part in message["content"] if "text" in part}
            assert row.get("transcripts", []) == (said if row["kind"] != "no_speech" else [])
            spoken += len(said)
            silent += len(clips) - len(said)
            assert len(clips) == len(said) or row["kind"] == "no_speech"
        assert set(transcripts) <= {str(name) for name in files(path.parent)}
    assert spoken + silent == sum(len(rows(path)) for path in world.glob("*/transcripts.jsonl"))
    assert spoken + silent == 40 + 4 + 30 + 3 + 10 + 1


def test_what_a_dialogue_asks_aloud_is_written_down_too(world: Path) -> None:
    """For training alone: each clip of a dialogue that is not itself about writing down."""
    assert not (world / "test/echoes.jsonl").exists()
    echoes = rows(world / "train/echoes.jsonl")
    told = [
        part["audio"]
        for row in rows(world / "train/dialogues.jsonl")
        if row["kind"] not in ("transcribe", "no_speech")
        for part in parts_of(row, "audio")
    ]
    assert [part["audio"] for row in echoes for part in parts_of(row, "audio")] == told
    said = {row["audio"]: row["text"] for row in rows(world / "train/transcripts.jsonl")}
    for row in echoes:
        (clip,) = parts_of(row, "audio")
        assert row["kind"] == "transcribe"
        assert row["accept"] == [said[clip["audio"]].rstrip("?.!")]
        assert said[clip["audio"]].rstrip("?.!") in row["messages"][-1]["content"][0]["text"]


def test_dictations_are_written_down_word_for_word(world: Path) -> None:
    for split, number in (("train", 30), ("test", 3)):
        dictations = rows(world / split / "dictations.jsonl")
        assert len(dictations) == number
        said = {row["audio"]: row["text"] for row in rows(world / split / "transcripts.jsonl")}
        for row in dictations:
            (clip,) = parts_of(row, "audio")
            assert row["kind"] == "transcribe"
            assert row["transcripts"] == [said[clip["audio"]]]
            assert said[clip["audio"]] in row["messages"][-1]["content"][0]["text"]


def test_what_is_dictated_is_written_twice_in_training(world: Path) -> None:
    """Once heard and once read, with the same wish and the same answer."""
    assert not (world / "test/repeats.jsonl").exists()
    heard = [row for name in ("dictations", "recordings") for row in rows(world / f"train/{name}.jsonl")]
    said = [row["accept"] for row in heard]
    read = [row for row in rows(world / "train/repeats.jsonl") if row["accept"] in said]
    assert len(read) == len(heard) == 40
    for spoken, written in zip(heard, read, strict=True):
        parts = spoken["messages"][0]["content"]
        asked = " ".join(part.get("text", *spoken["transcripts"]) for part in parts)
        assert written["messages"][0]["content"] == [{"type": "text", "text": asked}]
        assert written["messages"][1] == spoken["messages"][1]
        assert (written["kind"], written["accept"]) == ("repeat", spoken["accept"])


def test_beside_each_dictation_words_in_no_order_are_to_be_repeated(world: Path) -> None:
    read = {row["accept"][0]: row["messages"] for row in rows(world / "train/repeats.jsonl")}
    heard = {row["accept"][0] for name in ("dictations", "recordings") for row in rows(world / f"train/{name}.jsonl")}
    jumbles = read.keys() - heard
    assert len(jumbles) == 30
    for words in jumbles:
        question, reply = read[words]
        assert f"{words}." in question["content"][0]["text"]
        assert f"{words}." in reply["content"][0]["text"]


def test_voices_of_recordings_are_as_many_as_wanted_though_others_are_more(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "speak", tone)
    build(tmp_path / "world", sizes=Sizes(dictations=400))
    voices = [row["voice"] for row in rows(tmp_path / "world/train/transcripts.jsonl")]
    engines = Counter(voice.partition(":")[0] for voice in voices)
    assert 0.23 < (engines["flite"] + engines["pico"]) / len(voices) < 0.37
    assert 0.13 < engines["piper"] / len(voices) < 0.27
    assert 0.03 < engines["kokoro"] / len(voices) < 0.1
    assert len(set(voices)) > 80


def test_clips_without_speech_are_among_the_spoken_dialogues(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "speak", tone)
    monkeypatch.setattr(items, "_SPOKEN_SHARES", {split: {"sound": 1} for split in ("train", "test")})
    build(tmp_path / "world", sizes=Sizes(spoken=12))
    clips = [row for row in rows(tmp_path / "world/train/dialogues.jsonl") if parts_of(row, "audio")]
    assert len(clips) == 12
    assert {row["kind"] for row in clips} == {"no_speech"}
    heard = [{"audio": part["audio"], "text": ""} for row in clips for part in parts_of(row, "audio")]
    assert rows(tmp_path / "world/train/transcripts.jsonl") == heard


def test_albums_show_two_pictures_or_one_and_talk_of_something_else(world: Path) -> None:
    albums = [row for row in dialogue_rows(world) if row["kind"] in ("compare", "earlier")]
    assert len(albums) == 20 + 2
    for row in albums:
        pictures = [part["image"] for part in parts_of(row, "image")]
        assert [name.removesuffix(".webp")[-1] for name in pictures] in (["0", "1"], ["0"])
        assert len(pictures) == 2 or row["kind"] == "earlier"


def test_series_show_two_pictures_at_once_or_one_after_the_other(world: Path) -> None:
    series = [row for row in dialogue_rows(world) if row["kind"] in ("one_of_two", "latest")]
    assert len(series) == 30 + 3
    for row in series:
        pictures = [part["image"].removesuffix(".webp")[-1] for part in parts_of(row, "image")]
        assert pictures in ((["0", "1"],) if row["kind"] == "one_of_two" else (["0", "2"], ["0", "1", "2"]))


def test_a_quiz_asks_much_about_one_picture_and_is_answered_in_a_word_or_two(world: Path) -> None:
    quizzes = [row for split in ("train", "test") for row in rows(world / split / "quizzes.jsonl")]
    assert len(quizzes) == 20 + 2
    assert {"quiz", "are_there"} <= {row["kind"] for row in quizzes} <= {"quiz", "are_there", "position_all"}
    for row in quizzes:
        in_turn = row["kind"] == "quiz"
        assert (row["messages"][0]["role"] == "system") == in_turn
        turns = row["messages"][in_turn:]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert len(turns) >= 4 if in_turn else len(turns) == 2
        pictures = [[part["type"] for part in turn["content"]].count("image") for turn in turns]
        assert pictures == [1, *[0] * (len(turns) - 1)]


def test_a_picture_that_is_told_is_not_shown(world: Path) -> None:
    told = [row for split in ("train", "test") for row in rows(world / split / "told.jsonl")]
    assert len(told) == 20 + 2
    for row in told:
        assert row["kind"] == "told"
        assert not parts_of(row, "image")
        assert not parts_of(row, "audio")


def test_a_dialogue_that_changes_its_subject_shows_its_pictures_where_it_speaks_of_them(world: Path) -> None:
    shifts = [row for split in ("train", "test") for row in rows(world / split / "shifts.jsonl")]
    assert len(shifts) == 40 + 4
    numbers = set()
    for row in shifts:
        assert row["kind"].startswith("shift_")
        assert not parts_of(row, "audio")
        pictures = [[part["type"] for part in turn["content"]].count("image") for turn in row["messages"]]
        assert max(pictures) <= 1
        numbers.add(sum(pictures))
    assert numbers == {0, 1, 2}


def test_splits_share_no_voice_but_that_of_people_who_are_split_too(world: Path) -> None:
    heard = {split: rows(world / split / "transcripts.jsonl") for split in ("train", "test")}
    voices = {split: {row["voice"] for row in heard[split] if row["text"]} for split in heard}
    assert voices["train"] <= {*map(str, VOICES), "person"}
    assert voices["test"] <= {*map(str, EVALUATION_VOICES), "person"}


def test_splits_share_no_question_wording(world: Path) -> None:
    """Of what is asked in the same words of every thing."""
    kinds = ("name", "describe", "background", "use", "place", "fact")
    asked = {}
    for split in ("train", "test"):
        found = [row for path in (world / split).glob("*.jsonl") for row in rows(path) if row.get("kind") in kinds]
        texts = [part["text"] for row in found for part in row["messages"][-2]["content"] if part["type"] == "text"]
        asked[split] = {text.lower().rstrip(".?") for text in texts}
    assert len(asked["train"]) > 10
    assert asked["train"] & asked["test"] == set()


def test_splits_share_no_picture_and_no_clip(world: Path) -> None:
    """Tones may be as alike as two short sentences, so pictures are compared."""
    pictures = {
        split: {path.read_bytes() for path in (world / split).rglob("*.webp") if not path.name.startswith("photo-")}
        for split in ("train", "test")
    }
    assert pictures["train"] & pictures["test"] == set()


def test_the_card_stands_beside_the_splits(world: Path) -> None:
    card = (world / "README.md").read_text(encoding="utf-8")
    assert "| openmoji | [A. Painter](https://example.org) | [Free for all](https://example.org/licence) |" in card
    assert "| `train/regions.jsonl` | 30 |" in card
    assert "about 10 things" in card
    assert "## Photographs" in card
    assert "## Recordings of people" in card


def test_the_number_of_workers_changes_nothing(build: Build, packs: dict[str, Path], tmp_path: Path) -> None:
    sizes = Sizes(pictures=20, regions=10, albums=10, recordings=10, texts=20)
    build(tmp_path / "one", sizes=sizes, **packs)
    build(tmp_path / "two", sizes=sizes, **packs, workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    _, different, unread = filecmp.cmpfiles(
        tmp_path / "one", tmp_path / "two", map(str, files(tmp_path / "one")), shallow=False
    )
    assert (different, unread) == ([], [])


def test_more_of_one_kind_changes_nothing_of_the_others(build: Build, tmp_path: Path) -> None:
    build(tmp_path / "few", sizes=Sizes(pictures=5))
    build(tmp_path / "many", sizes=Sizes(pictures=8, regions=5, texts=4))
    few, many = (rows(tmp_path / name / "train" / "captions.jsonl") for name in ("few", "many"))
    assert few == many[:5]


def test_another_seed_makes_another_dataset(build: Build, tmp_path: Path) -> None:
    for seed in (1, 2):
        build(tmp_path / str(seed), seed=seed)
    one, two = (rows(tmp_path / seed / "train" / "captions.jsonl") for seed in ("1", "2"))
    assert one != two


def test_progress_reaches_its_end(build: Build, tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    build(tmp_path / "world", progress=lambda what, done, total: seen.update({what: (done, total)}))
    assert seen["icon sets"] == (20, 20)
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
        build(tmp_path / "world", sizes=Sizes(spoken=3))
    assert list(tmp_path.iterdir()) == []


def test_a_thing_that_no_training_set_draws_is_named(build: Build, toys: Toys, tmp_path: Path) -> None:
    unseen = toys[0].model_copy(update={"name": "unicorn", "icons": ("unicorn",)})
    with pytest.raises(DatasetError, match="no training set has an icon for unicorn"):
        build(tmp_path / "world", things=[*toys, unseen], cache=tmp_path / "cache")
    assert not (tmp_path / "world").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": Sizes(pictures=-1)}, "pictures must be 0 or more"),
        ({"sizes": Sizes(albums=-1)}, "albums must be 0 or more"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"sizes": Sizes(photos=1)}, "rows about photographs need --photographs FILE"),
        ({"sizes": Sizes(recordings=1)}, "rows about recordings need --voices FILE"),
    ],
)
def test_impossible_sizes_are_refused(build: Build, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        build(tmp_path / "world", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_item_is_as_many_as_its_size() -> None:
    speech = {"spoken": 5, "dictations": 6, "recordings": 7}
    sizes = Sizes(
        pictures=1, regions=2, photos=3, albums=4, series=9, quizzes=10, told=11, shifts=12, **speech, texts=8
    )
    expected = {
        "picture": 1,
        "region": 2,
        "photo": 3,
        "album": 4,
        "series": 9,
        "quiz": 10,
        "told": 11,
        "shift": 12,
        "spoken": 5,
        "dictation": 6,
        "recording": 7,
        "text": 8,
    }
    assert sizes.by_kind() == expected
    assert set(Sizes().by_kind().values()) == {0}
