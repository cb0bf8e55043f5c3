"""What counts as a right answer."""

from __future__ import annotations

import pytest

from mmchat.evaluation.metrics import is_accepted


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("This is a cat.", ["cat"]),
        ("Cat!", ["cat"]),
        ("a CAT", ["cat"]),
        ("It is a kitten.", ["cat", "kitten"]),
        ("a hot-dog", ["dog"]),
        ("It is a hot air balloon, I think.", ["hot air balloon"]),
        ("'cat'", ["cat"]),
        ("That is C++ (the language).", ["C++"]),
        ("Die Straße ist lang.", ["straße"]),
        ("3 cats", ["3"]),
    ],
)
def test_right(answer: str, accept: list[str]) -> None:
    assert is_accepted(answer, accept)


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("This is a caterpillar.", ["cat"]),
        ("These are cats.", ["cat"]),
        ("a bobcat", ["cat"]),
        ("a hot balloon", ["hot air balloon"]),
        ("13 cats", ["3"]),
        ("cat_1", ["cat"]),
        ("abc", ["a.c"]),
        ("", ["cat"]),
        ("This is a cat.", []),
    ],
)
def test_wrong(answer: str, accept: list[str]) -> None:
    assert not is_accepted(answer, accept)
