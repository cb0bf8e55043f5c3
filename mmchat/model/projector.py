"""Encoder features to cross-modal tokens.

B items, T features, E width of a feature, k neighbours, n tokens (⌈T / k⌉), D width of the decoder, V size of
its vocabulary
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import Norm, ProjectorConfig
from mmchat.model.heard import HeardWords

_RMS_EPSILON = 1e-6


class Projector(nn.Module):
    """Bring k neighbouring features together, then an MLP into the decoder's space; the same for pictures and voice.

    What stands between the layers is a setting, so that the projectors of LLaVA (an MLP), Qwen2-Audio (one linear
    layer), Voxtral (stacked features, no biases) and Ultravox (SwiGLU between RMSNorms) are values of this one.
    """

    def __init__(self, config: ProjectorConfig, features: int, width: int, vocabulary: int) -> None:
        """From features of width E = `features` to tokens of width D = `width`, which may be heard as V words."""
        super().__init__()
        self.config = config
        reduced = features * config.neighbours if config.reduce == "stack" else features
        self.norm = _norm(config.norm, reduced)
        self.mlp = nn.Sequential(*_layers(config, reduced, width))
        self.positions = nn.Parameter(torch.zeros(config.positions, width)) if config.positions else None
        self.heard = HeardWords(width, vocabulary) if config.heard == "words" else None

    def num_tokens(self, features: int) -> int:
        """Tokens that so many features become."""
        k = self.config.neighbours
        return max(1, features // k) if self.config.remainder == "drop" else -(-features // k)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, E) to (B, n, D), in time; n is the number of positions, where there are any."""
        tokens: Tensor = self.mlp(self.norm(self._reduce(features)))
        return tokens if self.positions is None else tokens + self.positions

    def read(self, tokens: Tensor, words: Callable[[], Tensor]) -> Tensor:
        """The (n, D) tokens of a picture or clip as the decoder reads them, whose embeddings `words` gives: (V, D)."""
        return tokens if self.heard is None else self.heard.read(tokens, words())

    def order(self, tokens: Tensor) -> Tensor:
        """(n,) the places, among the (n, D) tokens of a picture or clip, of what the decoder reads first, second, …"""
        return torch.arange(len(tokens), device=tokens.device) if self.heard is None else self.heard.order(tokens)

    def _reduce(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        k = self.config.neighbours
        tokens = self.num_tokens(length)
        x = F.pad(x, (0, 0, 0, tokens * k - length)).view(batch, tokens, k, width)  # B, n, k, E; may cut the remainder
        if self.config.reduce == "stack":
            return x.flatten(2)  # B, n, kE
        present = x.new_full((tokens, 1), k)
        present[-1] = min(k, length - (tokens - 1) * k)  # the last token averages the features that are there
        return x.sum(2) / present  # B, n, E


class SwiGLU(nn.Module):
    """(…, 2H) to (…, H): the first half, gated by the second (Shazeer 2020, in the order of Ultravox)."""

    def forward(self, x: Tensor) -> Tensor:
        """The first half times the SiLU of the second."""
        value, gate = x.chunk(2, dim=-1)
        return value * F.silu(gate)


_ACTIVATIONS = {"gelu": nn.GELU, "silu": nn.SiLU, "swiglu": SwiGLU}


def _layers(config: ProjectorConfig, features: int, width: int) -> Iterator[nn.Module]:
    if config.hidden is not None:
        yield nn.Linear(features, config.hidden, bias=config.bias)
        yield _ACTIVATIONS[config.activation]()
        features = config.hidden // 2 if config.activation == "swiglu" else config.hidden
        if config.hidden_norm != "none":
            yield _norm(config.hidden_norm, features)
    yield nn.Linear(features, width, bias=config.bias)
    if config.out_norm != "none":
        yield _norm(config.out_norm, width)


def _norm(kind: Norm, width: int) -> nn.Module:
    match kind:
        case "layer":
            return nn.LayerNorm(width)
        case "rms":
            return nn.RMSNorm(width, eps=_RMS_EPSILON)
        case "none":
            return nn.Identity()
