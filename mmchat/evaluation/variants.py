"""The same question without its media, with other media, and typed instead of spoken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from mmchat.errors import MessageError
from mmchat.evaluation.tasks import Question
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

Media = ImagePart | AudioPart
Conversation = tuple[Message, ...]
Pool = Mapping[type[Media], Sequence[Media]]


def media_pool(questions: Iterable[Question]) -> Pool:
    """Every picture and every clip of the questions once."""
    found: dict[type[Media], dict[str, Media]] = {ImagePart: {}, AudioPart: {}}
    for part in (part for question in questions for message in question.messages for part in message.media):
        found[type(part)][part.digest] = part
    return {kind: list(parts.values()) for kind, parts in found.items()}


def without_media(question: Question) -> Conversation | None:
    """The words alone.

    None when the question holds no media, or a turn with nothing else: no conversation can hold an empty turn.
    """
    if not _has_media(question):
        return None
    try:
        return tuple(
            Message(message.role, tuple(part for part in message.content if isinstance(part, TextPart)))
            for message in question.messages
        )
    except MessageError:
        return None


def with_other_media(question: Question, pool: Pool, rng: Random) -> Conversation | None:
    """Each picture and clip exchanged for another of its kind.

    None when the question holds no media, or some that there is no other to exchange for.
    """
    media = [part for message in question.messages for part in message.media]
    if not media or any(len(pool[type(part)]) < 2 for part in media):
        return None

    def other(part: Part) -> Part:
        if isinstance(part, TextPart):
            return part
        return rng.choice([each for each in pool[type(part)] if each.digest != part.digest])

    return tuple(Message(message.role, tuple(other(part) for part in message.content)) for message in question.messages)


def typed(question: Question) -> Conversation | None:
    """Every clip replaced by its transcript.

    None unless the last turn is a question that is spoken, with no word typed beside it, and all transcripts are known.
    """
    last = question.messages[-1]
    spoken = any(isinstance(part, AudioPart) for part in last.media) and not last.text.strip()
    if not spoken or not question.transcripts or not all(text.strip() for text in question.transcripts):
        return None
    words = iter(question.transcripts)
    return tuple(
        Message(
            message.role,
            tuple(TextPart(next(words)) if isinstance(part, AudioPart) else part for part in message.content),
        )
        for message in question.messages
    )


def _has_media(question: Question) -> bool:
    return any(message.media for message in question.messages)
