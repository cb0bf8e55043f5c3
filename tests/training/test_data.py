"""Rows of a dataset folder and the order they come in."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from mmchat.errors import DatasetError, ImageError
from mmchat.training.data import PictureCache, parts_of, read_dialogues, read_rows, shuffled, step_random
from training.conftest import draw_square, write_rows


def test_rows_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "zwei – \u2028 drei", "more": [1]}\r\n', encoding="utf-8")
    assert read_rows(path, "text") == [{"text": "one"}, {"text": "zwei – \u2028 drei", "more": [1]}]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no rows"),
        (b"\n \n", "has no rows"),
        (b'{"text": "a"}\n{"text"\n', "line 2 is not JSON: Expecting ':' delimiter: line 1 column 8 (char 7)"),
        (b'{"text": "a"}\n\n["b"]\n', "line 3 is not a JSON object"),
        (b'{"text": "a", "image": "b"}\n{"txt": "b"}\n', "line 2 has no text and no image"),
        (b'{"image": "a", "text": "b"}\n{"text": "b"}\n', "line 2 has no image"),
        (b"\xff\xfe{}\n", "is not UTF-8 text"),
    ],
)
def test_malformed_files_are_named_with_their_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_bytes(content)
    keys = ("text", "image") if b"image" in content else ("text",)
    with pytest.raises(DatasetError) as caught:
        read_rows(path, *keys)
    assert str(caught.value) == f"{path} {complaint}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*texts\.jsonl: No such file or directory"):
        read_rows(tmp_path / "texts.jsonl")


def test_the_parts_of_a_dialogue_come_in_order(tmp_path: Path) -> None:
    clip = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [clip, {"type": "text", "text": "and this?"}]},
    ]
    write_rows(tmp_path / "dialogues.jsonl", [{"messages": messages}])
    (row,) = read_dialogues(tmp_path / "dialogues.jsonl")
    said = [{"type": "text", "text": text} for text in ("be brief", "and this?")]
    assert parts_of(row) == [said[0], clip, said[1]]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"text": "hello"}, " line 2 has no messages"),
        ({"messages": {}}, ' line 2: each message needs a "role" and a "content" of text or parts'),
        ({"messages": ["hello"]}, ' line 2: each message needs a "role" and a "content" of text or parts'),
        ({"messages": [{"role": "user"}]}, ' line 2: each message needs a "role" and a "content" of text or parts'),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]},
         ' line 2: each message needs a "role" and a "content" of text or parts'),
        ({"messages": [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}]},
         " line 2 has parts of unknown type video"),
    ],
)  # fmt: skip
def test_a_dialogue_that_would_be_misread_is_named_with_its_line(
    tmp_path: Path, row: dict[str, Any], complaint: str
) -> None:
    """Rows with a part of an unknown type were once left out in silence."""
    path = tmp_path / "dialogues.jsonl"
    write_rows(path, [{"messages": [{"role": "user", "content": "hello"}]}, row])
    with pytest.raises(DatasetError) as caught:
        read_dialogues(path)
    assert str(caught.value) == f"{path}{complaint}"


def test_a_file_without_dialogues_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "dialogues.jsonl", [])
    with pytest.raises(DatasetError, match=r"dialogues\.jsonl has no rows"):
        read_dialogues(tmp_path / "dialogues.jsonl")


def test_a_picture_is_read_once_as_inference_would_see_it(tmp_path: Path) -> None:
    draw_square(tmp_path / "wide.png", (230, 20, 20), 4, side=64)
    pictures = PictureCache(tmp_path, 32)
    first = pictures["wide.png"]
    assert (first.shape, first.dtype) == ((3, 32, 32), torch.uint8)
    assert first[:, 16, 16].tolist() == [230, 20, 20]
    (tmp_path / "wide.png").unlink()
    assert pictures["wide.png"] is first
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        pictures["gone.png"]


def test_every_row_once_an_epoch_in_a_new_order() -> None:
    indices = list(islice(shuffled(50, seed=0), 150))
    epochs = [indices[:50], indices[50:100], indices[100:]]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_known_from_the_seed() -> None:
    assert list(islice(shuffled(50, seed=3), 80)) == list(islice(shuffled(50, seed=3), 80))
    assert list(islice(shuffled(50, seed=3), 50)) != list(islice(shuffled(50, seed=4), 50))


@pytest.mark.parametrize("used", [0, 1, 6, 7, 8, 14, 100])
def test_the_order_goes_on_where_it_was_left(used: int) -> None:
    whole = list(islice(shuffled(7, seed=1), used + 20))
    assert list(islice(shuffled(7, seed=1, start=used), 20)) == whole[used:]


def test_a_step_draws_the_same_again_and_no_other_step_does() -> None:
    assert step_random(0, 12).random() == step_random(0, 12).random()
    drawn = {step_random(seed, step).random() for seed in range(13) for step in range(13)}
    assert len(drawn) == 169
