"""AdamW, or Muon: a matrix moves by its gradient made orthogonal, all else by AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmchat.errors import ConfigError
from mmchat.model.heard import HeardWords
from mmchat.training.settings import OptimizerConfig

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
                        self._move(weight, weight.grad, group["lr"], group["weight_decay"])
                        weight.grad = None  # AdamW passes it over
        return super().step(closure)

    def _move(self, weight: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))  # AdamW wants a step of each state
        state["step"] += 1
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(momentum, _MOMENTUM)
        weight.mul_(1 - rate * decay)
        weight.add_(orthogonal(ahead), alpha=-0.2 * rate * max(weight.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The (M, N) matrix with all singular values near one, by five Newton-Schulz steps.

    "Near" is from 0.7 to 1.2: the quintic trades exactness for few steps.
    """
    wide: Tensor = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    a, b, c = _QUINTIC
    for _ in range(_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if len(matrix) <= matrix.shape[1] else wide.T


def build_optimizer(module: nn.Module, parts: Mapping[str, nn.Module], config: OptimizerConfig) -> Muon:
    """An optimizer whose groups say with which `share` of the rate they learn.

    Vectors, biases and norms are not decayed.

    Args:
        module: what learns, as far as it requires a gradient.
        parts: the components in it.
        config: rates and decay.

    Raises:
        ConfigError: a rate of a component that is not among the parts.
    """
    if absent := config.rates.keys() - parts.keys():
        raise ConfigError(f"optimizer.rates: this stage has no {' and no '.join(sorted(absent))}")
    shares = {weight: share for name, share in config.rates.items() for weight in parts[name].parameters()}
    turned = set(_matrices(parts)) if config.matrices == "muon" else set()
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for weight in module.parameters():
        if weight.requires_grad:
            decay = config.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((shares.get(weight, 1.0), decay, weight in turned), []).append(weight)
    return Muon(
        [
            {"params": weights, "weight_decay": decay, "share": share, "orthogonal": orthogonal}
            for (share, decay, orthogonal), weights in groups.items()
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
    )


def _matrices(parts: Mapping[str, nn.Module]) -> Iterator[nn.Parameter]:
    """Weights of linear layers; those with a row for each word, as a decoder's embedding, are none."""
    modules = [module for part in parts.values() for module in part.modules()]
    embeddings = {module.weight for module in modules if isinstance(module, nn.Embedding)}
    embeddings |= {module.words.weight for module in modules if isinstance(module, HeardWords)}
    for module in modules:
        for name, weight in module.named_parameters(recurse=False):
            if name == "weight" and weight.ndim == 2 and weight not in embeddings:
                yield weight
