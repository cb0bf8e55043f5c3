"""`mmchat eval`: a small dataset, scored against the fake assistant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_assistant import FakeAssistant, Run, Screen

import mmchat.evaluation.run
from mmchat.errors import DatasetError
from mmchat.evaluation.scores import Evaluation, Outcome
from mmchat.evaluation.tasks import Question
from mmchat.inputs.messages import Message

RIGHT, WRONG = "It is a cat.", "a dog"


def outcome(row: int, kind: str, answer: str, **marks: bool) -> Outcome:
    accepted = answer == RIGHT
    question = Question(row, kind, kind, (Message.user("what?"),), RIGHT, ("cat", "kitten"), commonest="cat")
    return Outcome(question, answer, accepted, accepted, refused=False, majority=True, nats=-3.0, tokens=3, **marks)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the evaluation was asked to do; it finds one wrong answer of three."""
    calls: list[dict[str, Any]] = []

    def score(assistant: FakeAssistant, dataset: Path, **given: Any) -> Evaluation:
        del given["progress"]
        calls.append({"assistant": assistant, "dataset": dataset, **given})
        outcomes = [outcome(4, "fact", WRONG), outcome(5, "fact", RIGHT), outcome(6, "name", RIGHT, exchanged=False)]
        return Evaluation.of("fake", str(dataset), outcomes, given["show_wrong"])

    monkeypatch.setattr(mmchat.evaluation.run, "evaluate", score)
    return calls


def test_tables_then_a_json_line(fake: FakeAssistant, run: Run, calls: list[dict[str, Any]]) -> None:
    screen = run("eval", "data/test")
    shown, _, last = screen.out.rstrip("\n").rpartition("\n")
    assert screen.code == 0
    assert shown == (
        "kind  asked   exact  accepted  refused  exchanged  majority\n"
        "fact      2   50.0%     50.0%     0.0%               100.0%\n"
        "name      1  100.0%    100.0%     0.0%       0.0%    100.0%\n"
        "all       3   66.7%     66.7%     0.0%       0.0%    100.0%\n"
        "\n"
        "BLEU 74.0, chrF 71.1, ROUGE-L 77.8, perplexity 2.72"
    )
    assert json.loads(last)["kinds"]["fact"]["accepted"] == {"right": 1, "of": 2, "share": 0.5}
    assert screen.err == "line 4, fact: 'a dog' has none of cat, kitten\n"


def test_without_options_everything_is_asked(fake: FakeAssistant, run: Run, calls: list[dict[str, Any]]) -> None:
    run("eval", "data/test")
    assert fake.loaded == [(None, "auto", "auto", None, None)]
    assert calls == [
        {
            "assistant": fake,
            "dataset": Path("data/test"),
            "file": "dialogues.jsonl",
            "kinds": (),
            "limit": None,
            "blind": True,
            "n_guesses": 0,
            "show_wrong": 10,
        }
    ]


def test_every_option_reaches_the_evaluation(fake: FakeAssistant, run: Run, calls: list[dict[str, Any]]) -> None:
    chosen = ("--limit", "9", "--kind", "fact", "--kind", "picture name", "--file", "more.jsonl")
    how = ("--no-blind", "--guesses", "5", "--wrong", "0")
    screen = run("eval", "data/test", *chosen, *how, "--model", "m", "--device", "cpu")
    assert (screen.code, screen.err) == (0, "")
    assert fake.loaded == [("m", "cpu", "auto", None, None)]
    assert calls == [
        {
            "assistant": fake,
            "dataset": Path("data/test"),
            "file": "more.jsonl",
            "kinds": ("fact", "picture name"),
            "limit": 9,
            "blind": False,
            "n_guesses": 5,
            "show_wrong": 0,
        }
    ]


def test_a_page_is_written_beside_the_tables(
    fake: FakeAssistant, run: Run, calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    without, screen = run("eval", "data/test"), run("eval", "data/test", "--html", "report.html")
    assert screen == without
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert WRONG in html


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_asked(
    fake: FakeAssistant, run: Run, calls: list[dict[str, Any]]
) -> None:
    screen = run("eval", "data/test", "--html", "gone/report.html")
    assert (screen.code, screen.out) == (2, "")
    assert "there is no folder gone" in screen.err
    assert screen.err.count("\n") == 1
    assert (fake.loaded, calls) == ([], [])


def test_a_missing_dataset_is_one_line(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> Evaluation:
        raise DatasetError("data/test/dialogues.jsonl: no such file")

    monkeypatch.setattr(mmchat.evaluation.run, "evaluate", missing)
    assert run("eval", "data/test") == Screen(2, "", "mmchat: data/test/dialogues.jsonl: no such file\n")


@pytest.mark.parametrize("package", ["jiwer", "sacrebleu", "rouge_score"])
def test_without_the_extra_it_says_what_to_install(
    fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """Before a model is loaded."""
    for name in [name for name in sys.modules if name.startswith(("mmchat.evaluation", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    line = f"mmchat: mmchat eval needs {package}: run pip install 'mmchat[eval]'\n"
    assert run("eval", "data/test") == Screen(2, "", line)
    assert fake.loaded == []
