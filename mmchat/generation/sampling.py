"""Drawing ids from logits.

What happens to the logits of one position are pure functions. They follow the logits processors of transformers
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
    """Draws the ids of one answer, with random numbers of its own."""

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
        self._options = options
        self._generator = seeded_generator(seed, device)
        self._seen = seen_mask(prompt_ids, vocab_size, device)
        self.takes_best = options.temperature < GREEDY_BELOW and options.repetition_penalty == 1
        """Whether the next id is that of the best logit, whatever was drawn before."""

    def draw(self, logits: Tensor) -> int:
        """The next id, given logits (V,).

        Raises:
            FailureError: as for `next_id`.
        """
        token = next_id(logits, self._seen, self._options, self._generator)
        self._seen[token] = True
        return token


def draw_each(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | FailureError]:
    """The next id of each answer, or why there is none, given logits (B, V); one operation where all take the best."""
    if all(sampler.takes_best for sampler in samplers):
        best, ids = logits.max(dim=-1)
        return [
            id_ if math.isfinite(value) else _no_number()
            for value, id_ in zip(best.tolist(), ids.tolist(), strict=True)
        ]
    return [_drawn(row, sampler) for row, sampler in zip(logits, samplers, strict=True)]


def _drawn(logits: Tensor, sampler: Sampler) -> int | FailureError:
    try:
        return sampler.draw(logits)
    except FailureError as error:
        return error


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


def next_id(logits: Tensor, seen: Tensor, options: GenerationOptions, generator: torch.Generator) -> int:
    """The next id: the best one at temperature 0 (the lowest of equals), else drawn with `generator`.

    Args:
        logits: (V,), any float type; worked on in float32.
        seen: (V,) bool, the ids of the prompt and of the answer so far.
        options: `temperature`, `top_k`, `top_p` and `repetition_penalty` are read.
        generator: on the device of the logits; left alone when the choice is greedy.

    Raises:
        FailureError: the best logit is not a finite number, so no choice would mean anything.
    """
    scores = penalise_repetition(logits.float(), seen, options.repetition_penalty)
    best, best_id = scores.max(dim=-1)
    if not math.isfinite(best):
        raise _no_number()
    if options.temperature < GREEDY_BELOW:
        return int(best_id)
    scores = keep_top_p(keep_top_k(scores / options.temperature, options.top_k), options.top_p)
    return int(torch.multinomial(scores.softmax(dim=-1), num_samples=1, generator=generator))


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make seen ids less probable (Keskar et al. 2019, section 4.1), each once however often it occurs.

    Positive logits are divided by `penalty`, negative ones multiplied: either way they fall.
    """
    if penalty == 1:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Set all but the `k` best scores to -inf; equals of the k-th stay, 0 keeps all."""
    if k == 0:
        return scores
    kth = scores.topk(min(k, scores.shape[-1])).values[-1]
    return scores.masked_fill(scores < kth, -math.inf)


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """Set all to -inf but the fewest best scores that hold the share `p` of the probability, at least one."""
    if p >= 1:
        return scores
    ascending, order = scores.sort()
    drop = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    drop[-1] = False
    return scores.masked_fill(torch.zeros_like(drop).scatter(0, order, drop), -math.inf)
