"""Decoders of well-known sizes with random weights: speed needs no training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from mmchat.model.placement import Placement

SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2"},
    "gpt2-medium": {"model_type": "gpt2", "n_layer": 24, "n_head": 16, "n_embd": 1024},
    "llama-1b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "llama-7b": {"model_type": "llama"},
}
"""transformers configurations: GPT-2 small and medium, Llama 3.2 1B, Llama 2 7B."""


class RandomWeights(Mapping[str, Tensor]):
    """Weights by name, made when they are asked for and the same each time."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], place: Placement) -> None:
        """
        Args:
            shapes: of each weight.
            place: device and type of each.
        """
        self._shapes = shapes
        self._place = place

    def __getitem__(self, name: str) -> Tensor:
        generator = torch.Generator(self._place.device).manual_seed(crc32(name.encode()))
        weight = torch.empty(self._shapes[name], dtype=self._place.dtype, device=self._place.device)
        return weight.normal_(0, 0.02, generator=generator)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
