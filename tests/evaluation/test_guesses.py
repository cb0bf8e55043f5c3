"""Several guesses, begun as the reference begins."""

from __future__ import annotations

from typing import cast

import pytest

from mmchat.assistant import Assistant
from mmchat.evaluation.guesses import guesses, opening
from tests.evaluation.watcher import Watcher, outcome


@pytest.mark.parametrize(
    ("reference", "accept", "begun"),
    [
        ("This is a cat.", ["cat"], "This is"),
        ("This is an owl.", ["owl"], "This is"),
        ("I see some corn on a table.", ["corn"], "I see"),
        ("A camera is at the top.", ["camera"], ""),
        ("The background is red.", ["red"], "The background is"),
        ("Yes, it is.", ["yes"], ""),
        ("Tell Anna the answer is two.", ["two"], "Tell Anna the answer is"),
        ("Visit Alabama, cats.", ["cats"], "Visit Alabama,"),
        ("A kitten or a cat.", ["cat", "kitten"], "A kitten or"),
        ("A kitten.", ["cat", "kitten"], ""),
    ],
)
def test_the_opening_ends_before_the_answer_and_its_article(reference: str, accept: list[str], begun: str) -> None:
    assert opening(reference, accept) == begun


def test_a_reference_without_an_accepted_phrase_gives_no_guesses() -> None:
    assert opening("It is a bobcat.", ["cat"]) is None
    watcher = Watcher(guesses=["a cat"])
    question = outcome(reference="It is a bobcat.", accept=("cat",)).question
    assert guesses(cast(Assistant, watcher), question, 5) is None
    assert watcher.begun == []


def test_so_many_guesses_are_asked_for() -> None:
    watcher = Watcher(guesses=["a dog", "a cat", "a cow"])
    question = outcome(reference="It is a cat.", accept=("cat",)).question
    assert guesses(cast(Assistant, watcher), question, 2) == ["a dog", "a cat"]
    assert watcher.begun == [("It is", 2)]
