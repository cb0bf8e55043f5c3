"""The GPT decoder: a causal language model of transformers over one mixed sequence of embeddings.

B rows, T positions, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from mmchat.errors import ConfigError


class Decoder(nn.Module):
    """A transformers causal language model that is fed embeddings and hands back logits and its key/value cache."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the decoder with fresh weights.

        Args:
            config: a transformers configuration as a dict, with its `model_type`.

        Raises:
            ConfigError: transformers knows no such model type or setting, or does not accept a value.
        """
        super().__init__()
        values = dict(config)
        model_type = values.pop("model_type")
        try:
            defaults = AutoConfig.for_model(model_type)
            unknown = [key for key in values if not hasattr(defaults, key)]  # transformers would keep and ignore them
            if unknown:
                raise ConfigError(f"decoder: unknown key {', '.join(unknown)} of {model_type}")
            self.config = AutoConfig.for_model(model_type, **values)
            self.lm = AutoModelForCausalLM.from_config(self.config, attn_implementation="sdpa")
        except (ValueError, TypeError, LookupError, StrictDataclassError) as error:
            raise ConfigError(f"decoder: {shorten(str(error), 200, placeholder=' …')}") from error
        self.width = int(self.config.hidden_size)
        self.context = int(self.config.max_position_embeddings)
        self.vocab_size = int(self.config.vocab_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids of any shape (…) to embeddings (…, D)."""
        embeddings: Tensor = self.lm.get_input_embeddings()(ids)
        return embeddings

    def forward(
        self,
        embeddings: Tensor,
        cache: DynamicCache | None = None,
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> tuple[Tensor, DynamicCache]:
        """Read embeddings after what the cache holds.

        Args:
            embeddings: (B, T, D).
            cache: what was read before; it grows in place. None begins a new one.
            positions: (B, T) position of each embedding; by default they follow the cache.
            logits_to_keep: of how many positions at the end, or of which (K,) positions, logits are computed; 0 is all.

        Returns:
            Logits (B, T, V), or (B, K, V) of the K positions that are kept, and the cache.
        """
        cache = DynamicCache(config=self.config) if cache is None else cache
        output = self.lm(
            inputs_embeds=embeddings,
            past_key_values=cache,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=logits_to_keep,
        )
        return output.logits, cache
