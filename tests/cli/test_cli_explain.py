"""`mmchat explain` with the tiny model: whole transcripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_assistant import Run
from PIL import Image


def test_a_map_is_drawn(run: Run, tiny_checkpoint: Path, cat: Path, question: Path, tmp_path: Path) -> None:
    screen = run(
        "explain", "-i", str(cat), "-a", str(question), "what is this?", "--model", str(tiny_checkpoint), "--device",
        "cpu", "--answer", "it is a cat", "--word", "cat", "--grid", "2", "--out", "map.png",
    )  # fmt: skip
    assert (screen.code, screen.out) == (0, "it is a cat\n")
    assert re.fullmatch(
        r"cat\.png: hiding its best part costs \d+\.\d\d nats\n"
        r"question\.wav: hiding its best part costs \d+\.\d\d nats\n"
        r"map\.png: red is what the answer depends on; a part that another one repeats stays pale\n"
        r"blue is where the decoder looks while it answers, which may be of no use to it\n",
        screen.err,
    )
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.size == (512 + 8 + 512, 384 + 8 + 128)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["what?", "--out", "map.png"], "there is nothing to look at: give a picture or a clip"),
        (["-i", "cat.png", "what?", "--out", "map.xyz"], "map.xyz: no picture ends in '.xyz': use .png, .jpg or .webp"),
        (["-i", "none.png", "what?"], "none.png: no such file"),
        (["-i", "cat.png", "--answer", "a dog", "--word", "cat"], 'the answer "a dog" does not say "cat"'),
        (["-i", "cat.png", "what?", "--grid", "2", "--out", "no/map.png"], "no/map.png: cannot be written"),
        ([], "the user message is empty: give it text, a picture or a clip"),
    ],
)
def test_mistakes_are_one_line(run: Run, tiny_checkpoint: Path, cat: Path, arguments: list[str], told: str) -> None:
    screen = run("explain", *arguments, "--model", str(tiny_checkpoint), "--device", "cpu")
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith(f"mmchat: {told}")
    assert screen.err.count("\n") == 1
