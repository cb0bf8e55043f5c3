"""Encoder features to cross-modal tokens.

B items, T features, E width of a feature, k neighbours, n tokens (⌈T / k⌉), D width of the decoder
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ProjectorConfig


class Projector(nn.Module):
    """Bring k neighbouring features together, then an MLP into the decoder's space; the same for pictures and voice."""

    def __init__(self, config: ProjectorConfig, features: int, width: int) -> None:
        """A projector from features of width E = `features` to tokens of width D = `width`."""
        super().__init__()
        self.config = config
        reduced = features * config.neighbours if config.reduce == "stack" else features
        self.norm = nn.LayerNorm(reduced)
        self.mlp = nn.Sequential(nn.Linear(reduced, config.hidden), nn.GELU(), nn.Linear(config.hidden, width))
        self.positions = nn.Parameter(torch.zeros(config.positions, width)) if config.positions else None

    def num_tokens(self, features: int) -> int:
        """Tokens that so many features become."""
        return -(-features // self.config.neighbours)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, E) to (B, n, D); n is the number of positions, where there are any."""
        tokens: Tensor = self.mlp(self.norm(self._reduce(features)))
        return tokens if self.positions is None else tokens + self.positions

    def _reduce(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        k = self.config.neighbours
        tokens = self.num_tokens(length)
        x = F.pad(x, (0, 0, 0, tokens * k - length)).view(batch, tokens, k, width)  # B, n, k, E
        if self.config.reduce == "stack":
            return x.flatten(2)  # B, n, kE
        present = x.new_full((tokens, 1), k)
        present[-1] = length - (tokens - 1) * k  # the last token averages the features that are there
        return x.sum(2) / present  # B, n, E
