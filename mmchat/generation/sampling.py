"""Drawing ids from logits.

What happens to logits are pure functions. They follow the logits processors of transformers
(`transformers/generation/logits_process.py`) in definition and in order: repetition penalty, temperature,
top-k, top-p.

Shapes: B answers, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmchat.config import GenerationOptions
from mmchat.errors import FailureError

GREEDY_BELOW = 1e-6
"""Temperatures below count as 0: float32 logits near 10 lie 1e-6 apart, so only rounding would decide."""


class Sampler:
    """How the ids of one answer are drawn, with random numbers of its own."""

    def __init__(
        self, options: GenerationOptions, seed: int, prompt_ids: Sequence[int], vocab_size: int, device: torch.device
    ) -> None:
        """
        Args:
            options: `temperature`, `top_k`, `top_p` and `repetition_penalty` are read.
            seed: of its random numbers.
            prompt_ids: ids that count as seen.
            vocab_size: V.
            device: of the logits.
        """
        self.options = options
        self.generator = seeded_generator(seed, device)
        self.seen = seen_mask(prompt_ids, vocab_size, device)
        self.greedy = options.temperature < GREEDY_BELOW

    def draw(self, logits: Tensor) -> int:
        """The next id, given logits (V,).

        Raises:
            FailureError: the best logit is not a finite number, so no choice would mean anything.
        """
        (drawn,) = draw_each(logits[None], [self])
        if isinstance(drawn, FailureError):
            raise drawn
        return drawn


def draw_each(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | FailureError]:
    """The next id of each answer, or why there is none: the best at temperature 0 (the lowest of equals), else drawn.

    One operation over all answers at a time, and one look at what came out.

    Args:
        logits: (B, V), any float type; worked on in float32.
        samplers: of the B answers; what is drawn counts as seen from then on.
    """
    options = [sampler.options for sampler in samplers]
    scores = logits.float()
    if any(each.repetition_penalty != 1 for each in options):
        penalties = _column([each.repetition_penalty for each in options], scores)
        scores = penalise_repetition(scores, torch.stack([sampler.seen for sampler in samplers]), penalties)
    best, ids = scores.max(dim=-1)
    if not all(sampler.greedy for sampler in samplers):
        temperatures = _column([1.0 if each.greedy else each.options.temperature for each in samplers], scores)
        scores = scores / temperatures
        if any(each.top_k for each in options):
            scores = keep_top_k(scores, torch.tensor([[each.top_k] for each in options], device=scores.device))
        if any(each.top_p < 1 for each in options):
            scores = keep_top_p(scores, _column([each.top_p for each in options], scores))
        greedy = torch.tensor([sampler.greedy for sampler in samplers], device=scores.device)
        ids = torch.where(greedy, ids, _multinomial(scores, samplers))
    drawn = ids.tolist()
    for sampler, id_ in zip(samplers, drawn, strict=True):
        if sampler.options.repetition_penalty != 1:
            sampler.seen[id_] = True
    return [id_ if math.isfinite(value) else _no_number() for value, id_ in zip(best.tolist(), drawn, strict=True)]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """(B, 1)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]


def _multinomial(scores: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """An id (B,) of each row of scores (B, V), as `torch.multinomial` draws one: the first of races that are as fast as
    the ids are probable."""
    noise = torch.ones_like(scores)
    for row, sampler in zip(noise, samplers, strict=True):
        if not sampler.greedy:
            row.exponential_(generator=sampler.generator)
    return scores.softmax(dim=-1).div_(noise).argmax(dim=-1)


def _no_number() -> FailureError:
    return FailureError("the model's output is not a number: its weights are damaged or overflow in this number format")


def seeded_generator(seed: int, device: torch.device) -> torch.Generator:
    """A generator of its own, so that nothing else in the process moves its draws nor is moved by them."""
    return torch.Generator(device).manual_seed(seed)


def seen_mask(ids: Sequence[int], vocab_size: int, device: torch.device) -> Tensor:
    """Which ids of the vocabulary occur in `ids`; ids outside it (placeholders of media may be) are skipped.

    Returns:
        (V,) bool.
    """
    mask = torch.zeros(vocab_size, dtype=torch.bool, device=device)
    mask[[id_ for id_ in set(ids) if 0 <= id_ < vocab_size]] = True
    return mask


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float | Tensor) -> Tensor:
    """Make seen ids less probable (Keskar et al. 2019, section 4.1), each once however often it occurs.

    Positive logits (…, V) are divided by `penalty`, (…, 1) or one for all, negative ones multiplied: either way they
    fall.
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(scores: Tensor, k: Tensor) -> Tensor:
    """Set all but the `k` (…, 1) best scores (…, V) to -inf; equals of the k-th stay, 0 keeps all."""
    most = min(int(k.max()), scores.shape[-1])
    kth = scores.topk(most).values.gather(-1, k.clamp(1, most) - 1)
    return scores.masked_fill((scores < kth) & (k > 0), -math.inf)


def keep_top_p(scores: Tensor, p: Tensor) -> Tensor:
    """Set all scores (…, V) to -inf but the fewest best that hold the share `p` (…, 1) of the probability, one or more;
    1 keeps all."""
    ascending, order = scores.sort()
    drop = (ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p) & (p < 1)
    drop[..., -1] = False
    return scores.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -math.inf)
