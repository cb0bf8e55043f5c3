"""`mmchat train`, `mmchat world build` and `mmchat web`: what they hand to the layers below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_assistant import Run, Screen

import mmchat.serving.web
import mmchat.training
import mmchat.world.build
import mmchat.world.pack
from mmchat.errors import TrainingError
from mmchat.serving.web import Door
from mmchat.world.build import Sizes


def test_train_hands_on_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path, dict[str, str]]] = []
    monkeypatch.setattr(mmchat.training, "run", lambda path, overrides, console: calls.append((path, overrides)))
    run("train", "chat.yaml", "--set", "optimizer.learning_rate=1e-4", "--set", "name=a=b")
    run("train", "chat.yaml")
    settings = {"optimizer.learning_rate": "1e-4", "name": "a=b"}
    assert calls == [(Path("chat.yaml"), settings), (Path("chat.yaml"), {})]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["--set", "seed"], "--set seed: write it as KEY=VALUE"),
        (["--set", "=1"], "--set =1: write it as KEY=VALUE"),
        (["--set", "seed=1", "--set", "seed=2"], "--set gives seed twice"),
    ],
)
def test_malformed_settings_are_one_line(run: Run, settings: list[str], complaint: str) -> None:
    assert run("train", "chat.yaml", *settings) == Screen(2, "", f"mmchat: {complaint}\n")


def test_failed_training_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise TrainingError("the loss is not a number at step 3")

    monkeypatch.setattr(mmchat.training, "run", fail)
    assert run("train", "chat.yaml") == Screen(1, "", "mmchat: the loss is not a number at step 3\n")


def test_world_build_hands_on_sizes_and_shows_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def build(out: Path, *, progress: Any, **given: Any) -> dict[str, int]:
        progress("items", 1, 2)
        progress("items", 2, 2)
        calls.append({"out": out, **given})
        return {"train/captions.jsonl": 1200, "test/captions.jsonl": 120}

    monkeypatch.setattr(mmchat.world.build, "build_world", build)
    sizes = (
        "--pictures",
        "10",
        "--regions",
        "7",
        "--photos",
        "2",
        "--albums",
        "1",
        "--series",
        "8",
        "--quizzes",
        "9",
        "--told",
        "3",
        "--shifts",
        "11",
        "--spoken",
        "5",
        "--dictations",
        "6",
        "--texts",
        "0",
    )
    packs = ("--photographs", "photos.zip", "--voices", "speech.zip", "--recordings", "4")
    screen = run("world", "build", "--out", "data", "--icons", "icons", "--seed", "3", "--workers", "2", *sizes, *packs)
    assert screen.out == "test/captions.jsonl 120 rows\ntrain/captions.jsonl 1,200 rows\n"
    assert screen.err == ""
    assert calls == [
        {
            "out": Path("data"),
            "icons": Path("icons"),
            "seed": 3,
            "sizes": Sizes(
                **{"pictures": 10, "regions": 7, "photos": 2, "albums": 1, "series": 8, "quizzes": 9, "told": 3},
                **{"shifts": 11, "spoken": 5, "dictations": 6, "recordings": 4, "texts": 0},
            ),
            "photographs": Path("photos.zip"),
            "recordings": Path("speech.zip"),
            "workers": 2,
        }
    ]


def test_world_build_needs_no_photographs_and_no_recordings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(mmchat.world.build, "build_world", lambda out, **given: calls.append(given) or {})
    assert run("world", "build", "--out", "data", "--icons", "icons").err == ""
    (given,) = calls
    assert (given["sizes"].photos, given["sizes"].recordings) == (0, 0)
    assert (given["photographs"], given["recordings"]) == (None, None)
    assert min(given["sizes"].pictures, given["sizes"].albums, given["sizes"].series, given["sizes"].texts) > 0


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("--photos", "rows about photographs need --photographs FILE, a zip of labelled photographs"),
        ("--recordings", "rows about recordings need --voices FILE, a zip of transcribed clips"),
    ],
)
def test_world_build_without_the_zip_that_is_needed_is_one_line(run: Run, wanted: str, complaint: str) -> None:
    assert run("world", "build", "--out", "data", "--icons", "icons", wanted, "5").err == f"mmchat: {complaint}\n"


def test_world_pack_hands_on_its_sources_and_says_how_large_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def write(out: Path, *, things: Any, **given: Any) -> int:
        calls.append({"out": out, **given})
        return 47_512_000

    monkeypatch.setattr(mmchat.world.pack, "write_pack", write)
    packs = ("--photographs", "photos.zip", "--voices", "speech.zip", "--photos-a-thing", "80")
    screen = run("world", "pack", "--out", "pack.zip", "--icons", "icons", *packs)
    assert screen == Screen(0, "pack.zip           47.5 MB\n", "")
    assert calls == [
        {
            "out": Path("pack.zip"),
            "icons": Path("icons"),
            "photographs": Path("photos.zip"),
            "recordings": Path("speech.zip"),
            "photos_a_thing": 80,
        }
    ]


def test_web_listens_on_this_machine_unless_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(mmchat.serving.web, "launch", lambda *given, **placed: calls.append((*given, placed)))
    run("web")
    run("web", "--model", "m", "--model", "n", "--host", "0.0.0.0", "--port", "80", "--device", "cpu", "--dtype",
        "bfloat16", "--auth", "ada:x", "--no-history", "--a-minute", "5", "--shared")  # fmt: skip
    door = Door("0.0.0.0", 80, ("ada:x",), keep=False, a_minute=5, shared=True)
    assert calls == [
        ([], Door("127.0.0.1", 7860), {"device": "auto", "dtype": "auto", "quantize": None, "transcriber": None}),
        (["m", "n"], door, {"device": "cpu", "dtype": "bfloat16", "quantize": None, "transcriber": None}),
    ]
