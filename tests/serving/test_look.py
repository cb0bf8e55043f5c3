"""Where an answer looked, as the page draws it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmchat import Assistant
from mmchat.serving.look import look, words_of
from mmchat.serving.transcript import Draft, Exchange

CAT = Path(__file__).parents[2] / "assets" / "cat.png"


def test_words_that_can_be_asked_about_are_those_of_the_answer_each_once() -> None:
    assert words_of("This is a cat. A cat's tail, isn't it?") == [
        "This", "is", "a", "cat", "A", "cat's", "tail", "isn't", "it",
    ]  # fmt: skip


def test_the_map_is_of_the_answer_under_its_system_prompt() -> None:
    """The model is asked as it was: with another prompt before it, each part of the picture weighs otherwise."""
    assistant = Assistant.load()
    draft = Draft("what is this?", (str(CAT),))
    transcript = (Exchange(draft, draft.to_message(), "This is a cat."),)
    plain, again, under = (
        np.asarray(look(assistant, transcript, "cat", system)) for system in ("", " ", "Answer in one word.")
    )
    assert np.array_equal(plain, again), "an empty prompt is none"
    assert plain.shape == under.shape
    assert not np.array_equal(plain, under)
