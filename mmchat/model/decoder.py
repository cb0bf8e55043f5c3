"""The GPT decoder: a causal language model of transformers over one mixed sequence of embeddings.

B rows, T positions, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

# transformers imports torchao where it is installed, and that makes torch warn its own developers.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache  # noqa: E402

from mmchat.errors import ConfigError, OptionError  # noqa: E402
from mmchat.model.placement import Placement  # noqa: E402


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

    def load_weights(self, weights: Mapping[str, Tensor], place: Placement) -> None:
        """Take other weights than those it was built with, which may be on the meta device; from then on it answers.

        Args:
            weights: all of `state_dict`, tied ones once; they may be views of files, and are read one by one.
            place: where they go and what they become.

        Raises:
            OptionError: the weights of this kind of decoder cannot be quantized.
        """
        output = self.lm.get_output_embeddings()
        if place.quantization and not any(
            isinstance(module, nn.Linear) and module is not output for module in self.lm.modules()
        ):
            raise OptionError(f"a decoder of type {self.config.model_type} cannot be quantized: leave --quantize out")
        with _without_bar():
            self.lm = type(self.lm).from_pretrained(
                None,
                config=self.config,
                state_dict={name.removeprefix("lm."): tensor for name, tensor in weights.items()},
                attn_implementation="sdpa",
                dtype=place.dtype,
                device_map=_device_map(place),
                quantization_config=_quantization(place),
            )

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


@contextmanager
def _without_bar() -> Iterator[None]:
    """transformers draws a bar of its own for each loading."""
    from transformers.utils import logging as bars

    enabled = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            bars.enable_progress_bar()


def _device_map(place: Placement) -> str | dict[str, Any] | None:
    if place.spread:
        return "auto"
    return None if place.device.type == "cpu" else {"": place.device}


def _quantization(place: Placement) -> Any:
    """What transformers is told of it."""
    if place.quantization is None:
        return None
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig() if place.quantization == "int8" else Int4WeightOnlyConfig())
