"""`mmchat eval`: a small dataset, scored against the fake assistant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_assistant import FakeAssistant, Run, Screen

import mmchat.evaluation
from mmchat.errors import DatasetError
from mmchat.evaluation import Evaluation, Score


def test_table_then_a_json_line(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    def score(assistant: FakeAssistant, dataset: Path, **given: object) -> Evaluation:
        del given["progress"]
        calls.append({"assistant": assistant, "dataset": dataset, **given})
        wrong = {"row": 4, "kind": "fact", "answer": "a dog", "accept": ["cat", "kitten"]}
        scores = (Score("fact", 8, 6, 0, 0), Score("picture name", 1000, 1000, 1000, 25))
        return Evaluation("fake", str(dataset), scores, (wrong,))

    monkeypatch.setattr(mmchat.evaluation, "evaluate", score)
    options = ("--limit", "9", "--kind", "fact", "--kind", "picture name", "--file", "more.jsonl", "--wrong", "1")
    screen = run("eval", "data/test", *options, "--model", "m", "--device", "cpu")
    table, _, last = screen.out.rstrip("\n").rpartition("\n")
    assert screen.code == 0
    assert table == (
        "kind           asked   right   blind\nfact               8   75.0%\npicture name    1000  100.0%    2.5%"
    )
    assert json.loads(last)["scores"]["fact"]["accuracy"] == 0.75
    assert screen.err == "row 4, fact: 'a dog' has none of cat, kitten\n"
    assert fake.loaded == [("m", "cpu")]
    assert calls == [
        {
            "assistant": fake,
            "dataset": Path("data/test"),
            "file": "more.jsonl",
            "kinds": ("fact", "picture name"),
            "limit": 9,
            "show_wrong": 1,
        }
    ]


def test_missing_dataset_is_one_line(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> Evaluation:
        raise DatasetError("data/test/dialogues.jsonl: no such file")

    monkeypatch.setattr(mmchat.evaluation, "evaluate", missing)
    assert run("eval", "data/test") == Screen(2, "", "mmchat: data/test/dialogues.jsonl: no such file\n")
