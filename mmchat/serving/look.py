"""Where an answer on the page looked, as a picture."""

from __future__ import annotations

import re

from PIL import Image

from mmchat.assistant import Assistant
from mmchat.errors import OptionError
from mmchat.explain.attention import attention
from mmchat.explain.drawing import draw
from mmchat.explain.occlusion import explain
from mmchat.inputs.messages import Message
from mmchat.serving.transcript import Transcript, to_messages

WHOLE = ""
"""In the place of a word: all of the answer."""


def words_of(answer: str) -> list[str]:
    """Words of an answer that can be asked about, each once."""
    return list(dict.fromkeys(re.findall(r"\w[\w'-]*", answer)))


def look(assistant: Assistant, transcript: Transcript, word: str = WHOLE, system: str = "") -> Image.Image:
    """What of the pictures and clips of a conversation its last answer, or a word of it, depends on and attends to.

    Args:
        assistant: whose answer it is.
        transcript: the conversation.
        word: of the answer, or all of it.
        system: the prompt that the answer was given under; an empty one is none.

    Raises:
        UserError: as for `explain.occlusion.explain`.
    """
    prompt = [Message.system(system.strip())] if system.strip() else []
    conversation, answer = prompt + to_messages(transcript), transcript[-1].answer
    hidden = explain(assistant, conversation, answer, word=word or None)
    try:
        attended = attention(assistant, conversation, answer, word=word or None)
    except OptionError:  # not every decoder tells
        attended = []
    return draw(hidden, attended)
