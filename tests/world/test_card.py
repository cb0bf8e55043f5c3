"""The card of a dataset: whom it credits, and when."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mmchat.world.card import PHOTOGRAPH_CREDITS, RECORDING_CREDITS, dataset_card
from mmchat.world.photographs import LABELS_FILE
from mmchat.world.recordings import SETS

COUNTS = {"train/captions.jsonl": 1200, "train/dialogues.jsonl": 2400, "test/regions_reserved.jsonl": 7}


def card(icons: Path, **counts: int) -> str:
    files = {f"train/{name}.jsonl": rows for name, rows in counts.items()}
    return dataset_card(COUNTS | files, seed=5, things=690, side=128, icons=icons)


def test_the_card_says_what_was_built_and_what_each_file_holds(icon_sets: Path) -> None:
    text = card(icon_sets)
    assert "dialogues about 690 things, made by `mmchat world build` with seed 5" in text
    captions = "a picture, what it shows in a few words, and the names of its things"
    assert f"| `train/captions.jsonl` | 1,200 | {captions} |" in text
    unseen = "as `regions.jsonl`, in styles that training never sees"
    assert f"| `test/regions_reserved.jsonl` | 7 | {unseen} |" in text


def test_every_icon_set_is_credited_and_called_unknown_where_it_says_nothing(icon_sets: Path, tmp_path: Path) -> None:
    credit = "[A. Painter](https://example.org) | [Free for all](https://example.org/licence)"
    assert f"| noto | {credit} | training and test |" in card(icon_sets)
    assert f"| tabler | {credit} | training alone |" in card(icon_sets)
    assert f"| openmoji | {credit} | test alone |" in card(icon_sets)
    assert "| noto | [unknown]() | [unknown]() | training and test |" in card(tmp_path)


def test_photographs_and_people_are_credited_where_they_are_in(icon_sets: Path) -> None:
    photographs, people = "## Photographs", "## Recordings of people"
    for counts in ({}, {"photographs": 5}, {"recordings": 5}, {"photographs": 5, "recordings": 5}):
        text = card(icon_sets, **counts)
        assert (photographs in text, people in text) == ("photographs" in counts, "recordings" in counts)


@pytest.mark.parametrize(
    "words",
    [
        ("caltech101", "CC-BY-4.0"),
        ("grocery", "marcusklasson/GroceryStoreDataset", "MIT"),
        ("clothing", "alexeygrigorev/clothing-dataset-small", "CC0-1.0"),
        ("cifar10", "none stated by its authors"),
        ("speech_commands_test", "Speech Commands", "CC-BY-4.0"),
        ("ljtext_reader_pm", "PhilippMatthes/dc_tts", "Apache-2.0"),
    ],
)
def test_a_set_is_named_with_its_licence(icon_sets: Path, words: tuple[str, ...]) -> None:
    lines = card(icon_sets, photographs=1, recordings=1).splitlines()
    assert [line for line in lines if line.startswith(f"| {words[0]} |") and all(word in line for word in words)]


def test_every_set_that_may_be_in_is_credited() -> None:
    assert set(PHOTOGRAPH_CREDITS) == set(yaml.safe_load(LABELS_FILE.read_text(encoding="utf-8")))
    assert set(RECORDING_CREDITS) == set(SETS)
