"""To which parts of a picture or clip the decoder pays attention while it chooses an answer.

It tells where information is taken from, not what it is good for: a part may get attention and change nothing, and what
was read once is passed on from token to token, which needs no attention any more (Jain and Wallace 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmchat.assistant import Assistant
from mmchat.explain.heat import Heat, Media, media_of, part_of_answer
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message


def attention(
    assistant: Assistant, conversation: Sequence[Message], answer: str, *, word: str | None = None
) -> list[Heat]:
    """For each picture and clip of a conversation, the share of attention that each of its cross-modal tokens has.

    Args:
        assistant: whose answer it is.
        conversation: all before the answer.
        answer: what is explained.
        word: of the answer; only its tokens count then.

    Returns:
        The mean over layers, heads and tokens of the answer; of a picture as its tokens lie in it where they are a
        square, else in a row, of a clip in time. A clip that was written down for the model has none, and is left out.

    Raises:
        OptionError: the conversation holds no media, the answer has no such word, or the decoder does not tell.
        UserError: as for `Assistant.reply`.
    """
    media_of(conversation)
    texts, paid = assistant.token_attention(conversation, answer)
    counted = np.array(part_of_answer(texts, answer, word))
    parts = [part for message in conversation for part in message.media]
    seen = parts if len(paid) == len(parts) else [part for part in parts if isinstance(part, ImagePart)]
    return [
        Heat(part, _laid_out(part, shares.numpy()[counted].mean(0))) for part, shares in zip(seen, paid, strict=True)
    ]


def _laid_out(part: Media, shares: np.ndarray) -> np.ndarray:
    """(R, C) or (T,)"""
    if not isinstance(part, ImagePart):
        return shares
    side = math.isqrt(len(shares))
    return shares.reshape(side, side) if side * side == len(shares) else shares[None]
