"""Figures over outcomes."""

from __future__ import annotations

import json
import math

import pytest

from mmchat.evaluation.scores import Evaluation, Score, Share, worst
from tests.evaluation.watcher import outcome


def test_a_share_is_of_those_that_were_asked() -> None:
    assert Share.among([True, None, False, True]) == Share(2, 3)
    assert Share.among([None, None]) is None
    assert Share.among([False]) == Share(0, 1)
    assert Share(3, 4).value == 0.75


def test_each_share_is_of_its_own_mark() -> None:
    """Each mark is right in another number of six outcomes, so that none can stand in the place of another."""
    marks = ["exact", "accepted", "majority", "removed", "exchanged", "refused"]
    score = Score.of("all", [outcome(**{mark: row < n for n, mark in enumerate(marks, 1)}) for row in range(6)])
    assert [getattr(score, mark) for mark in marks] == [Share(n, 6) for n in range(1, 7)]
    twins = [outcome(typed=True, agrees=False, guessed=row < 2) for row in range(3)]
    score = Score.of("all", [*twins, outcome()])
    assert (score.typed, score.agrees, score.guessed) == (Share(3, 3), Share(0, 3), Share(2, 3))
    assert (score.removed, score.asked) == (None, 4)


def test_perplexity_is_over_tokens_and_not_over_rows() -> None:
    score = Score.of("all", [outcome(nats=-1.0, tokens=1), outcome(nats=-8.0, tokens=9)])
    assert score.perplexity == pytest.approx(math.exp(9 / 10))


def test_words_are_counted_where_they_are_to_be_written_down() -> None:
    """Against the last transcript; other kinds, and clips without one, are left out."""
    heard = outcome(kind="transcribe", transcripts=("I am Ann", "A cat sleeps."), answer='You said: "a hat sleeps"')
    unknown = outcome(kind="transcribe", answer="nothing")
    wordless = outcome(kind="transcribe", transcripts=("?",), answer="nothing")
    asked = outcome(kind="name", transcripts=("what is this?",), answer="nothing")
    assert Score.of("all", [heard, unknown, wordless, asked]).word_error_rate == pytest.approx(1 / 3)
    assert Score.of("all", [unknown, wordless, asked]).word_error_rate is None


def test_groups_are_by_label_and_by_the_styles_that_rows_have() -> None:
    outcomes = [
        outcome(label="name", style="noto"),
        outcome(label="name, spoken", style="photograph", accepted=False),
        outcome(label="name", style="noto", accepted=False),
        outcome(label="echo"),
    ]
    result = Evaluation.of("toy", "data/test", outcomes, 0)
    assert [(score.name, score.accepted) for score in result.kinds] == [
        ("echo", Share(1, 1)),
        ("name", Share(1, 2)),
        ("name, spoken", Share(0, 1)),
    ]
    assert [(score.name, score.accepted) for score in result.styles] == [
        ("noto", Share(1, 2)),
        ("photograph", Share(0, 1)),
    ]
    assert (result.total.name, result.total.accepted) == ("all", Share(2, 4))


def test_the_answers_are_compared_with_their_references() -> None:
    rows = [
        outcome(answer="the big cat sleeps here", reference="the big cat sleeps here"),
        outcome(answer="x", reference="y"),
    ]
    assert Evaluation.of("toy", "data", rows, 0).overlap.rouge_l == pytest.approx(50)


def test_the_worst_answers_are_of_all_kinds_and_the_least_probable_references_first() -> None:
    outcomes = [
        outcome(1, label="a", accepted=False, nats=-1.0),
        outcome(2, label="a", accepted=False, nats=-3.0),
        outcome(3, label="a", accepted=True, nats=-9.0),
        outcome(4, label="b", accepted=False, nats=-2.0),
        outcome(5, label="a", accepted=False, nats=-6.0, tokens=3),
    ]
    assert [each.question.row for each in worst(outcomes, 9)] == [2, 4, 5, 1]
    assert [each.question.row for each in worst(outcomes, 2)] == [2, 4]
    assert worst(outcomes, 0) == []


def test_the_json_line_holds_every_figure() -> None:
    wrong = outcome(7, "größer", label="größe", kind="größe", accepted=False, style="noto", exchanged=True, nats=-2e9)
    value = json.loads(Evaluation.of("toy", "data/test", [wrong], 1).to_json(), parse_constant=pytest.fail)
    none = dict.fromkeys(("removed", "typed", "agrees", "guessed", "word_error_rate", "perplexity"))
    figures = {
        **none,
        "asked": 1,
        "exact": {"right": 0, "of": 1, "share": 0.0},
        "accepted": {"right": 0, "of": 1, "share": 0.0},
        "refused": {"right": 0, "of": 1, "share": 0.0},
        "majority": {"right": 0, "of": 1, "share": 0.0},
        "exchanged": {"right": 1, "of": 1, "share": 1.0},
    }
    assert value.pop("chrf") > 0
    assert value == {
        "model": "toy",
        "dataset": "data/test",
        **figures,
        "bleu": 0.0,
        "rouge_l": 0.0,
        "kinds": {"größe": figures},
        "styles": {"noto": figures},
        "wrong": [{"row": 7, "kind": "größe", "answer": "größer", "accept": ["red"]}],
    }


def test_the_json_is_one_line() -> None:
    assert "\n" not in Evaluation.of("toy", "data", [outcome(answer="a\nb", accepted=False)], 1).to_json()
