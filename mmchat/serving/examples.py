"""What an empty chat offers to ask: in writing, about a picture, by voice; the bundled model can answer all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmchat.assistant import AssistantInfo
from mmchat.checkpoints.bundled import SAMPLES, sample
from mmchat.errors import CheckpointError
from mmchat.serving.transcript import Draft
from mmchat.serving.words import Phrases

QUESTION = "where does a penguin live?"
ABOUT_PICTURE = "what is this?"
BY_VOICE = ""


def example(text: str) -> Draft:
    """The message behind an example, by its text.

    Raises:
        CheckpointError: its picture or clip is not in this install.
    """
    if text == ABOUT_PICTURE:
        return Draft(text, (str(sample("cat.png")),))
    if text == BY_VOICE:
        return Draft(text, (str(sample("sailboat.png")), str(sample("question.wav"))))
    return Draft(text)


def samples() -> list[str]:
    """The files behind all examples; none in an install without the bundled model."""
    try:
        return [str(sample(name)) for name in SAMPLES]
    except CheckpointError:
        return []


def examples_for(info: AssistantInfo, phrases: Phrases) -> list[dict[str, Any]]:
    """The examples as `gradio.Chatbot` takes them: of what the assistant can see and hear."""
    return list(_shown(info, phrases))


def _shown(info: AssistantInfo, phrases: Phrases) -> Iterator[dict[str, Any]]:
    yield {"text": QUESTION}
    try:
        if info.tokens_per_image is not None:
            yield {"text": ABOUT_PICTURE, "icon": example(ABOUT_PICTURE).files[0]}
            if info.tokens_per_second is not None:
                yield {"text": BY_VOICE, "display_text": phrases.by_voice, "icon": example(BY_VOICE).files[0]}
    except CheckpointError:  # an install without the bundled model has not its samples either
        return
