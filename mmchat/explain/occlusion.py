"""What hiding a part of a picture or clip does to the probability of an answer (Zeiler and Fergus 2014, section 4.2).

It tells what the answer depends on: a part that is hidden while another says the same changes nothing, and an answer
that would have come without any media depends on none of it.

R rows and C columns of the parts of a picture, T parts of a clip in time
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageStat

from mmchat.assistant import Assistant
from mmchat.explain.heat import Heat, Media, media_of, part_of_answer
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message

CLIP_STEP_S = 0.2
"""Length of a part of a clip."""


def explain(
    assistant: Assistant,
    conversation: Sequence[Message],
    answer: str,
    *,
    word: str | None = None,
    grid: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Heat]:
    """For each picture and clip of a conversation, what its parts do for an answer: by how many nats its
    log-probability falls when a part is hidden; negative where it rises.

    Args:
        assistant: whose answer it is.
        conversation: all before the answer.
        answer: what is explained, whoever wrote it.
        word: of the answer; only its tokens count then. Where it stands more than once, the first.
        grid: R and C.
        progress: told how many parts are done, of how many.

    Raises:
        OptionError: the conversation holds no media, or the answer has no such word.
        UserError: as for `Assistant.reply`.
    """
    media = media_of(conversation)

    def score(messages: Sequence[Message]) -> float:
        tokens = assistant.token_log_likelihoods(messages, answer)
        counted = part_of_answer([text for text, _ in tokens], answer, word)
        return sum(nats for (_, nats), counts in zip(tokens, counted, strict=True) if counts)

    whole = score(conversation)
    parts = [conversation[turn].content[place] for turn, place in media]
    hidden = [list(_hidden(part, grid)) for part in parts if isinstance(part, Media)]
    total, done = sum(map(len, hidden)), 0
    heats = []
    for (turn, place), part, others in zip(media, parts, hidden, strict=True):
        fallen = []
        for other in others:
            fallen.append(whole - score(_exchanged(conversation, turn, place, other)))
            done += 1
            progress(done, total)
        assert isinstance(part, Media)
        shape = (grid, grid) if isinstance(part, ImagePart) else (len(fallen),)
        heats.append(Heat(part, np.array(fallen).reshape(shape)))
    return heats


def _hidden(part: Media, grid: int) -> Iterator[Media]:
    """The picture with one of its parts in its mean colour, or the clip with one of its parts silent, for each part."""
    if isinstance(part, ImagePart):
        width, height = part.image.size
        mean = tuple(round(value) for value in ImageStat.Stat(part.image).mean)
        for row in range(grid):
            for column in range(grid):
                box = (width * column // grid, height * row // grid,
                       max(width * (column + 1) // grid, width * column // grid + 1),
                       max(height * (row + 1) // grid, height * row // grid + 1))  # fmt: skip
                image = part.image.copy()
                image.paste(Image.new("RGB", (box[2] - box[0], box[3] - box[1]), mean), box)
                yield replace(part, image=image)
        return
    step = round(CLIP_STEP_S * SAMPLE_RATE)
    for start in range(0, len(part.waveform), step):
        waveform = part.waveform.copy()
        waveform[start : start + step] = 0
        yield replace(part, waveform=waveform)


def _exchanged(conversation: Sequence[Message], turn: int, place: int, part: Media) -> list[Message]:
    """The conversation with another picture or clip in one place."""
    messages = list(conversation)
    content = list(messages[turn].content)
    content[place] = part
    messages[turn] = replace(messages[turn], content=tuple(content))
    return messages
