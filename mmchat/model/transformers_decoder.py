"""A decoder of transformers: of any architecture that it has, to train and, where nothing faster is, to answer.

B rows, T positions, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

# transformers imports torchao where it is installed, and that makes torch warn its own developers.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, PreTrainedConfig  # noqa: E402
from transformers.cache_utils import DynamicLayer  # noqa: E402

from mmchat.errors import ConfigError, OptionError  # noqa: E402
from mmchat.model.decoder import Decoder  # noqa: E402
from mmchat.model.placement import Placement  # noqa: E402


class TransformersCache:
    """transformers' own cache."""

    def __init__(self, config: PreTrainedConfig) -> None:
        """Nothing was read yet."""
        self.cache = DynamicCache(config=config)

    @property
    def length(self) -> int:
        """Positions."""
        return int(self.cache.get_seq_length())

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        kept = (value for layer in self.cache.layers for value in vars(layer).values())
        return sum(value.nbytes for value in kept if isinstance(value, Tensor))

    @property
    def position_bytes(self) -> float:
        """Bytes of one position."""
        return self.nbytes / self.length

    def fork(self) -> TransformersCache:
        """A copy that grows by itself."""
        return copy.deepcopy(self)

    def prefix(self, length: int) -> TransformersCache | None:
        """A copy of the first `length` positions; None where they cannot be had any more."""
        if length < self.length and not self.croppable:
            return None
        other = copy.deepcopy(self)
        other.crop(length)
        return other

    @property
    def croppable(self) -> bool:
        """Unless a layer keeps anything but every key and value, as one does that forgets what left its window."""
        return all(type(layer) is DynamicLayer for layer in self.cache.layers)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` positions."""
        if length < self.length:
            self.cache.crop(length - self.length)  # negative: so many at the end

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order; a row may stand in it more than once."""
        self.cache.reorder_cache(torch.tensor(rows, device=self.cache.layers[0].keys.device))


class TransformersDecoder(Decoder):
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
        # transformers renames the argument from 5.24 on, one architecture after the other.
        self._cache_name = "cache" if "cache" in inspect.signature(self.lm.forward).parameters else "past_key_values"

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in a checkpoint; tied ones once."""
        first: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in self.state_dict(keep_vars=True).items():
            first.setdefault(id(tensor), (name, tensor))
        return {name: tuple(tensor.shape) for name, tensor in first.values()}

    def load_weights(self, weights: Mapping[str, Tensor], place: Placement) -> None:
        """As for every decoder."""
        output = self.lm.get_output_embeddings()
        if place.quantization and not any(
            isinstance(module, nn.Linear) and module is not output for module in self.lm.modules()
        ):
            raise OptionError(f"a decoder of type {self.config.model_type} cannot be quantized: leave --quantize out")
        with without_bar():
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

    @property
    def bytes_read(self) -> int:
        """Bytes of the weights that each pass reads."""
        embedding, head = self.lm.get_input_embeddings().weight, self.lm.get_output_embeddings().weight
        return sum(each.nbytes for each in self.parameters() if each is head or each is not embedding)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids of any shape (…) to embeddings (…, D)."""
        embeddings: Tensor = self.lm.get_input_embeddings()(ids)
        return embeddings

    def forward(
        self,
        embeddings: Tensor,
        cache: TransformersCache | None = None,
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> tuple[Tensor, TransformersCache]:
        """Read embeddings after what the cache holds; as for every decoder."""
        cache = TransformersCache(self.config) if cache is None else cache
        output = self.lm(
            inputs_embeds=embeddings,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=logits_to_keep,
            **{self._cache_name: cache.cache},
        )
        return output.logits, cache

    def attention(self, embeddings: Tensor, asked: Tensor) -> Tensor:
        """As for every decoder.

        Raises:
            OptionError: this architecture does not tell.
        """
        self.lm.set_attn_implementation("eager")  # the others never make the shares
        try:
            layers = self.lm(inputs_embeds=embeddings, use_cache=False, output_attentions=True).attentions
        finally:
            self.lm.set_attn_implementation("sdpa")
        if not layers or any(layer is None for layer in layers):
            raise OptionError(f"a decoder of type {self.config.model_type} does not tell what it pays attention to")
        return torch.stack([layer[0][:, asked].mean(0).float() for layer in layers]).mean(0)


@contextmanager
def without_bar() -> Iterator[None]:
    """transformers draws a bar of its own for each loading and saving."""
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
    if find_spec("torchao") is None:
        raise OptionError("this model needs torchao to be quantized: run pip install 'mmchat[quantize]'")
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig() if place.quantization == "int8" else Int4WeightOnlyConfig())
