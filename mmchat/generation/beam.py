"""Beam search: the most probable continuations of a prompt; ids only, as in the decode loop.

Shapes: B beams that go on, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest

import torch
from torch import Tensor

from mmchat.generation.engine import Prefill
from mmchat.model.decoder import Decoder


@dataclass(frozen=True)
class Beam:
    """A continuation, from its first id."""

    ids: tuple[int, ...]
    log_probability: float
    """In nats, summed over the ids; not divided by their number."""
    ended: bool = False
    parent: int = 0
    """The row of the last batch that this one goes on from."""


@torch.inference_mode()
def beam_search(
    decoder: Decoder, prefill: Prefill, width: int, max_new_tokens: int, ends: Callable[[Sequence[int]], bool]
) -> list[Beam]:
    """Keep the `width` most probable continuations at every step; all that go on advance in one forward.

    One that has ended keeps its place until more probable ones push it out: a probability only falls as a beam grows,
    so that none of the open ones can come back past it. None is penalised for its length.

    Args:
        decoder: in evaluation mode.
        prefill: the prompt; left as it is.
        width: how many continuations, at least 1.
        max_new_tokens: at most so many ids each, and no more than the context has room for.
        ends: whether a continuation is finished with its last id.

    Returns:
        `width` beams, or as many as the vocabulary allows, the most probable first.
    """
    logits, cache = prefill.logits[None], prefill.cache.fork()  # B, V
    beams = [Beam((), 0.0)]
    for left in reversed(range(min(max_new_tokens, decoder.context - prefill.length))):
        beams = _extended(beams, logits, width, ends)
        growing = [beam for beam in beams if not beam.ended]
        if not growing or not left:
            break
        cache.select([beam.parent for beam in growing])
        last = torch.tensor([[beam.ids[-1]] for beam in growing], device=decoder.device)  # B, 1
        logits = decoder(decoder.embed(last), cache=cache, logits_to_keep=1)[0][:, -1]
    return beams


def _extended(beams: list[Beam], logits: Tensor, width: int, ends: Callable[[Sequence[int]], bool]) -> list[Beam]:
    """The best `width` of the beams that ended and of those that go on by one id; `logits` (B, V) are of the latter."""
    growing = [beam for beam in beams if not beam.ended]
    best = logits.float().log_softmax(dim=-1).topk(min(width, logits.shape[-1]))
    grown = [
        Beam((*beam.ids, id_), beam.log_probability + nats, parent=row)
        for row, (beam, ids, values) in enumerate(zip(growing, best.indices, best.values, strict=True))
        for id_, nats in zip(ids.tolist(), values.tolist(), strict=True)
    ]
    kept = nlargest(width, [beam for beam in beams if beam.ended] + grown, key=lambda beam: beam.log_probability)
    return [beam if beam.ended else Beam(beam.ids, beam.log_probability, ends(beam.ids), beam.parent) for beam in kept]
