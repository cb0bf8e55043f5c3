"""The GPT decoder: a causal language model over one mixed sequence of embeddings.

`transformers_decoder.py` is the reference and what learns; `lean.py` answers faster from the same weights.

B rows, T positions, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmchat.model.architecture import architecture_of
from mmchat.model.cache import Cache
from mmchat.model.placement import Placement


class Decoder(nn.Module, ABC):
    """A causal language model that is fed embeddings and hands back logits and what it keeps of them."""

    width: int
    """D."""
    context: int
    """The most positions of a row."""
    vocab_size: int
    """V."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type of activations, and of weights that are not quantized."""

    @property
    @abstractmethod
    def bytes_read(self) -> int:
        """Bytes of the weights that each pass reads: all but the embeddings of other tokens and positions."""

    @abstractmethod
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in a checkpoint; tied ones once."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor], place: Placement) -> None:
        """Take other weights than those it was built with, which may be on the meta device; from then on it answers.

        Args:
            weights: all of `weight_shapes`; they may be views of files, and are read one by one.
            place: where they go and what they become.

        Raises:
            OptionError: the weights of this kind of decoder cannot be quantized.
        """

    def new_batch(self) -> Batch | None:
        """For rows that are read on together; None where this decoder reads one conversation at a time."""
        return None

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Token ids of any shape (…) to embeddings (…, D)."""

    @abstractmethod
    def forward(
        self,
        embeddings: Tensor,
        cache: Any = None,
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> tuple[Tensor, Cache]:
        """Read embeddings after what the cache holds.

        Args:
            embeddings: (B, T, D).
            cache: what this decoder read before; it grows in place. None begins a new one.
            positions: (B, T) position of each embedding; by default they follow the cache.
            logits_to_keep: of how many positions at the end, or of which (K,) positions, logits are computed; 0 is all.

        Returns:
            Logits (B, T, V), or (B, K, V) of the K positions that are kept, and the cache.
        """

    @abstractmethod
    def attention(self, embeddings: Tensor, asked: Tensor) -> Tensor:
        """How much of their attention some positions pay to each position, mean over layers and heads.

        Args:
            embeddings: (1, T, D), from the first position on.
            asked: (K,) positions.

        Returns:
            (K, T) shares that sum to 1; those of later positions are 0.
        """


class Batch(Protocol):
    """Conversations of different lengths, B rows, that are read on together, an id of each at a time."""

    def add(self, cache: Any) -> None:
        """A new last row, with a copy of what this decoder read of one conversation."""
        ...

    def take(self, row: int) -> Cache:
        """Remove a row; what was read of it. The last row takes its place."""
        ...

    def read(self, ids: Sequence[int]) -> Tensor:
        """The logits (B, V) after the next id of each row."""
        ...


def answering_decoder(config: dict[str, Any], place: Placement) -> Decoder:
    """The fastest decoder for a transformers configuration with its `model_type`; its weights are still to be loaded.

    Raises:
        ConfigError: transformers knows no such model type or setting, or does not accept a value.
    """
    architecture = architecture_of(config)
    if architecture is not None:
        from mmchat.model.lean import LeanDecoder

        decoder = LeanDecoder(architecture)
        if decoder.takes(place):
            return decoder
    from mmchat.model.transformers_decoder import TransformersDecoder

    with torch.device("meta"):  # shapes alone, so that no memory is taken twice
        return TransformersDecoder(config)
