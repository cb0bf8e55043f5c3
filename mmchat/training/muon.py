"""Muon: a matrix moves by its gradient made orthogonal, all else by AdamW."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95
_STEPS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.AdamW):
    """AdamW, but for the groups of matrices that say `"orthogonal": True` (Jordan et al. 2024).

    As in `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"` (Liu et al. 2025): a rate that suits AdamW suits it.
    That one multiplies in bfloat16, which a CPU without instructions for it does seventy times slower than in float32.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all weights that have a gradient; those of orthogonal groups have none afterwards."""
        for group in self.param_groups:
            if group.get("orthogonal"):
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._move(weight, group["lr"], group["weight_decay"])
                        weight.grad = None  # AdamW passes it over
        return super().step(closure)

    def _move(self, weight: Tensor, rate: float, decay: float) -> None:
        momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        momentum.lerp_(weight.grad, 1 - _MOMENTUM)
        ahead = weight.grad.lerp(momentum, _MOMENTUM)
        weight.mul_(1 - rate * decay)
        weight.add_(orthogonal(ahead), alpha=-0.2 * rate * max(weight.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The (M, N) matrix with all singular values near one, by five Newton-Schulz steps.

    "Near" is from 0.7 to 1.2: the quintic trades exactness for few steps.
    """
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    a, b, c = _QUINTIC
    for _ in range(_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if len(matrix) <= matrix.shape[1] else wide.T
