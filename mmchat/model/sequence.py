"""The one mixed sequence: ids with placeholder runs, spans that say which media fills which run, labels for training.

T positions of a sequence, n cross-modal tokens of one picture or clip, D width of the decoder
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmchat.errors import ContextError, FusionError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.model.tokenizer import ChatTokenizer

IGNORED = -100
"""The label of a position that teaches nothing; the default of torch's cross entropy."""


@dataclass(frozen=True)
class Span:
    """A run of placeholders and the picture or clip that fills it."""

    media: ImagePart | AudioPart
    turn: int
    start: int
    length: int


@dataclass(frozen=True)
class MixedSequence:
    """A conversation as the decoder reads it."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The id itself where an assistant speaks or ends its turn, `IGNORED` elsewhere."""
    spans: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.ids)


def build_sequence(
    messages: Sequence[Message],
    tokenizer: ChatTokenizer,
    num_tokens: Callable[[ImagePart | AudioPart], int],
    *,
    answer_next: bool = True,
) -> MixedSequence:
    """Lay out a conversation, part by part.

    Args:
        messages: the conversation, oldest first.
        tokenizer: text to ids, and the chat template.
        num_tokens: how many cross-modal tokens a picture or clip becomes.
        answer_next: end with the opening of an assistant turn.

    Raises:
        FusionError: the chat template has not one placeholder for each picture and clip, in order.
    """
    media = [(part, turn) for turn, message in enumerate(messages) for part in message.media]
    ids: list[int] = []
    labels: list[int] = []
    spans: list[Span] = []
    ends_answer = False
    for token in tokenizer.render(messages, answer_next):
        index, length, label = token.id, 1, IGNORED
        if token.turn is not None:
            ends_answer = messages[token.turn].role == "assistant"
            label = token.id if ends_answer else IGNORED
        elif token.id in (tokenizer.image_id, tokenizer.audio_id):
            part, turn = _next_media(media, len(spans), token.id, tokenizer)
            index, length = tokenizer.fill_id(token.id), num_tokens(part)
            spans.append(Span(part, turn, len(ids), length))
        elif token.id == tokenizer.end_id and ends_answer:
            ends_answer, label = False, token.id
        ids += [index] * length
        labels += [label] * length
    if len(spans) != len(media):
        raise FusionError(
            f"the conversation has {len(media)} pictures and clips, its layout {len(spans)} places for them"
        )
    return MixedSequence(tuple(ids), tuple(labels), tuple(spans))


def check_fits(sequence: MixedSequence, context: int) -> None:
    """Nothing is cut: what does not fit, with room for one token of an answer, is an error.

    Raises:
        ContextError: the sequence is too long; says by what.
    """
    if len(sequence) < context:
        return
    parts = [f"{span.media.name} {span.length}" for span in sequence.spans]
    text = len(sequence) - sum(span.length for span in sequence.spans)
    raise ContextError(
        f"the conversation needs {len(sequence)} tokens ({', '.join([*parts, f'text {text}'])}), "
        f"the model reads {context - 1}: shorten it or start a new one"
    )


def fuse(embeddings: Tensor, sequence: MixedSequence, features: Sequence[Tensor]) -> Tensor:
    """Write cross-modal tokens over the embeddings of their placeholders.

    Scattering features over a mask would run silently past a difference in number or length and give each token a wrong
    neighbour; so each run is compared with what fills it before anything is written.

    Args:
        embeddings: (T, D) embeddings of `sequence.ids`.
        sequence: where each picture and clip goes.
        features: for each span, in order, its (n, D) cross-modal tokens.

    Returns:
        (T, D), a new tensor.

    Raises:
        FusionError: runs and features differ in number or length; names the file, the turn and the two numbers.
    """
    if len(features) != len(sequence.spans):
        raise FusionError(f"{len(sequence.spans)} runs of placeholders, but {len(features)} encoded pictures and clips")
    pieces: list[Tensor] = []
    position = 0
    for span, tokens in zip(sequence.spans, features, strict=True):
        if len(tokens) != span.length:
            raise FusionError(
                f"{span.media.name} in turn {span.turn + 1}: {span.length} placeholders, "
                f"but {len(tokens)} cross-modal tokens"
            )
        pieces += [embeddings[position : span.start], tokens.to(embeddings)]
        position = span.start + span.length
    return torch.cat([*pieces, embeddings[position:]])


def _next_media(
    media: list[tuple[ImagePart | AudioPart, int]], index: int, token: int, tokenizer: ChatTokenizer
) -> tuple[ImagePart | AudioPart, int]:
    if index >= len(media):
        raise FusionError(
            f"the chat template has a place for {index + 1} pictures and clips, the conversation {len(media)}"
        )
    part, turn = media[index]
    if isinstance(part, ImagePart) != (token == tokenizer.image_id):
        raise FusionError(
            f"the chat template puts a place of the wrong kind where {part.name} stands in turn {turn + 1}"
        )
    return part, turn
