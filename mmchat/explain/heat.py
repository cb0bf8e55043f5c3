"""What the parts of a picture or clip have to do with an answer, however that is measured.

R rows and C columns of the parts of a picture, T parts of a clip in time
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmchat.errors import OptionError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message

Media = ImagePart | AudioPart


@dataclass(frozen=True)
class Heat:
    """A picture or clip with a figure for each of its parts."""

    part: Media
    values: np.ndarray
    """(R, C) or (T,): the more, the more the part has to do with the answer."""


def media_of(conversation: Sequence[Message]) -> list[tuple[int, int]]:
    """The turn and place of each picture and clip.

    Raises:
        OptionError: there is none.
    """
    media = [
        (turn, place)
        for turn, message in enumerate(conversation)
        for place, part in enumerate(message.content)
        if isinstance(part, Media)
    ]
    if not media:
        raise OptionError("there is nothing to look at: give a picture or a clip")
    return media


def part_of_answer(tokens: Sequence[str], answer: str, word: str | None) -> list[bool]:
    """Which tokens of an answer say a word of it, the first where it stands more than once; without one, all that say
    anything.

    Args:
        tokens: their texts; the last is the end of the turn and says nothing.
        answer: all of it.
        word: upper or lower case.

    Raises:
        OptionError: the answer does not say it.
    """
    begin, end = 0, len(answer)
    if word is not None:
        begin = answer.lower().find(word.strip().lower())
        if begin < 0 or not word.strip():
            raise OptionError(f'the answer "{answer}" does not say "{word}"')
        end = begin + len(word.strip())
    counted, start = [], 0
    for text in tokens:
        counted.append(start < end and begin < start + len(text))
        start += len(text)
    return counted
