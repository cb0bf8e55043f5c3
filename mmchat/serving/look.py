"""Where an answer on the page looked, as a picture."""

from __future__ import annotations

import re

from PIL import Image

from mmchat.assistant import Assistant
from mmchat.explain.drawing import draw
from mmchat.explain.occlusion import explain
from mmchat.serving.transcript import Transcript, to_messages

WHOLE = ""
"""In the place of a word: all of the answer."""


def words_of(answer: str) -> list[str]:
    """Words of an answer that can be asked about, each once."""
    return list(dict.fromkeys(re.findall(r"\w[\w'-]*", answer)))


def look(assistant: Assistant, transcript: Transcript, word: str = WHOLE) -> Image.Image:
    """What of the pictures and clips of a conversation its last answer depends on, or a word of it.

    Raises:
        UserError: as for `explain.occlusion.explain`.
    """
    answer = transcript[-1].answer
    return draw(explain(assistant, to_messages(transcript), answer, word=word or None))
