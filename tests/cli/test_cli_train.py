"""`mmchat train`, `mmchat world build` and `mmchat web`: what they hand to the layers below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_assistant import Run, Screen

import mmchat.serving.web
import mmchat.training
import mmchat.world.build
from mmchat.errors import TrainingError


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
    sizes = ("--seed", "3", "--pictures", "10", "--spoken", "5", "--texts", "0", "--workers", "2")
    screen = run("world", "build", "--out", "data", "--icons", "icons", *sizes)
    assert screen.out == "test/captions.jsonl 120 rows\ntrain/captions.jsonl 1,200 rows\n"
    assert screen.err == ""
    expected = {"icons": Path("icons"), "seed": 3, "pictures": 10, "spoken": 5, "texts": 0, "workers": 2}
    assert calls == [{"out": Path("data"), **expected}]


def test_web_listens_on_this_machine_unless_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(mmchat.serving.web, "launch", lambda *given: calls.append(given))
    run("web")
    run("web", "--model", "m", "--host", "0.0.0.0", "--port", "80", "--device", "cpu")
    assert calls == [(None, "127.0.0.1", 7860, "auto"), ("m", "0.0.0.0", 80, "cpu")]
