"""A decoder for answering alone: the forward passes of GPT-2 and of the Llama family, with nothing around them.

The definitions are those of `modeling_gpt2.py` and `modeling_llama.py` in `transformers/models`; tests compare the
logits. What makes it faster: no dispatch by configuration, one matrix for queries, keys and values, weights laid out
for the machine (`linear.py`) and a cache that is written in place (`cache.py`).

B rows, T positions, D width of the decoder, V size of the vocabulary, H query heads, W width of a head
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from mmchat.model.architecture import Activation, Architecture
from mmchat.model.cache import BatchCache, KeyValueCache, Sizes, Span
from mmchat.model.decoder import Decoder
from mmchat.model.graphs import FixedCache, Graphs
from mmchat.model.linear import DenseLinear, Int8Linear, Linear, linear
from mmchat.model.placement import ON_CPU, Placement

Norm = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu": functional.gelu,
    "silu": functional.silu,
    "relu": functional.relu,
}


@dataclass(frozen=True)
class _Block:
    """One layer of the decoder."""

    attention_norm: Norm
    qkv: Linear
    """Queries, keys and values of all heads, side by side."""
    out: Linear
    mlp_norm: Norm
    up: Linear
    """Gate and hidden layer side by side, where it is gated."""
    down: Linear


class LeanDecoder(Decoder):
    """GPT-2 and Llama from the weights of transformers, for inference."""

    def __init__(self, architecture: Architecture) -> None:
        """It answers once weights were loaded."""
        super().__init__()
        self.architecture = architecture
        self.width = architecture.width
        self.context = architecture.context
        self.vocab_size = architecture.vocab_size
        self._sizes = Sizes(architecture.layers, architecture.kv_heads, architecture.head_width, architecture.context)
        self._activation = _ACTIVATIONS[architecture.activation]
        self._place = ON_CPU
        self._blocks: list[_Block] = []

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._place.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and activations."""
        return self._place.dtype

    @property
    def bytes_read(self) -> int:
        """Bytes of the weights that each pass reads."""
        return sum(each.nbytes for block in self._blocks for each in (block.qkv, block.out, block.up, block.down)) + (
            self._head.nbytes
        )

    def takes(self, place: Placement) -> bool:
        """Whether weights can be loaded there: whole on one device, or as int8 on a CPU where the sizes allow it."""
        if place.quantization is None:
            return not place.spread
        a = self.architecture
        inputs = (a.width, a.heads * a.head_width, a.inner)
        fits = all(size % Int8Linear.multiple == 0 for size in inputs)
        return place.device.type == "cpu" and place.quantization == "int8" and fits

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in a checkpoint; tied ones once."""
        return {f"lm.{name}": shape for name, shape in self.architecture.weight_shapes().items()}

    def load_weights(self, weights: Mapping[str, Tensor], place: Placement) -> None:
        """As for every decoder; each weight is laid out for the device as it is read."""
        assert self.takes(place), place
        self._place = place
        read = _Reader(weights, self.architecture, place)
        gpt2 = self.architecture.family == "gpt2"
        self._blocks = [(read.gpt2_block if gpt2 else read.llama_block)(layer) for layer in range(self._sizes.layers)]
        self._norm = read.norm("transformer.ln_f" if gpt2 else "model.norm")
        embedding = read.weight("transformer.wte" if gpt2 else "model.embed_tokens")
        self._head = linear(embedding if self.architecture.tied else read.weight("lm_head"), None)
        # A tied head that keeps the numbers as they are keeps them once.
        self._embedding = (
            self._head.weight if isinstance(self._head, DenseLinear) and self.architecture.tied else embedding
        )
        self._positions = read.weight("transformer.wpe") if gpt2 else None
        self._rope = None if gpt2 else _rope(self.architecture, place.device)

    def new_cache(self, rows: int) -> KeyValueCache:
        """A cache in which nothing was read yet.

        Args:
            rows: B.
        """
        return KeyValueCache(self._sizes, rows, self.dtype, self.device)

    def new_batch(self) -> LeanBatch:
        """For rows that are read on together."""
        return LeanBatch(self, BatchCache(self._sizes, self.dtype, self.device), recorded=self.device.type == "cuda")

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids of any shape (…) to embeddings (…, D)."""
        return functional.embedding(ids, self._embedding)

    def forward(
        self,
        embeddings: Tensor,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> tuple[Tensor, KeyValueCache]:
        """Read embeddings after what the cache holds; as for every decoder."""
        cache = self.new_cache(embeddings.shape[0]) if cache is None else cache
        return self.read(embeddings, cache, positions, logits_to_keep), cache

    def read(
        self,
        embeddings: Tensor,
        cache: KeyValueCache | BatchCache | FixedCache,
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> Tensor:
        """Logits (B, T, V) or (B, K, V), as of `forward`."""
        span = cache.extend(embeddings.shape[1])
        positions = span.positions if positions is None else positions
        hidden = (
            embeddings if self._positions is None else embeddings + functional.embedding(positions, self._positions)
        )
        rotation = self._rotation(positions)
        for layer, block in enumerate(self._blocks):
            qkv = block.qkv(block.attention_norm(hidden))
            hidden = hidden + block.out(self._attend(qkv, rotation, cache, layer, span))
            hidden = hidden + block.down(self._activate(block.up(block.mlp_norm(hidden))))
        kept = hidden[:, -logits_to_keep:] if isinstance(logits_to_keep, int) else hidden[:, logits_to_keep]
        return self._head(self._norm(kept))

    def _attend(
        self,
        qkv: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        cache: KeyValueCache | BatchCache | FixedCache,
        layer: int,
        span: Span,
    ) -> Tensor:
        """(B, T, H · W): each position's queries answered from the positions that it sees."""
        a = self.architecture
        queries, keys, values = self._heads(qkv, rotation)
        all_keys, all_values = cache.write(layer, span, keys, values)
        attended = functional.scaled_dot_product_attention(
            queries,
            all_keys,
            all_values,
            attn_mask=span.mask,
            is_causal=span.causal,
            enable_gqa=a.heads != a.kv_heads,
        )
        return attended.transpose(1, 2).flatten(2)

    def _heads(self, qkv: Tensor, rotation: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, W), keys and values (B, key heads, T, W)."""
        a = self.architecture
        heads = qkv.view(*qkv.shape[:2], -1, a.head_width).transpose(1, 2)  # B, all heads, T, W
        turned, values = heads[:, : a.heads + a.kv_heads], heads[:, a.heads + a.kv_heads :]
        if rotation is not None:
            turned = _rotated(turned, *rotation)
        return turned[:, : a.heads], turned[:, a.heads :], values

    def attention(self, embeddings: Tensor, asked: Tensor) -> Tensor:
        """As for every decoder; `read` with its attention written out, for one row that begins anew."""
        a, length = self.architecture, embeddings.shape[1]
        positions = torch.arange(length, device=self.device)[None]
        hidden = (
            embeddings if self._positions is None else embeddings + functional.embedding(positions, self._positions)
        )
        rotation = self._rotation(positions)
        later = torch.ones(length, length, dtype=torch.bool, device=self.device).triu(1)
        total = torch.zeros(len(asked), length, device=self.device)
        for block in self._blocks:
            queries, keys, values = self._heads(block.qkv(block.attention_norm(hidden)), rotation)
            keys, values = (each.repeat_interleave(a.heads // a.kv_heads, dim=1) for each in (keys, values))
            scores = queries @ keys.transpose(2, 3) / a.head_width**0.5  # 1, H, T, T
            shares = scores.masked_fill(later, float("-inf")).softmax(dim=-1)
            total += shares[0][:, asked].mean(0).float()
            hidden = hidden + block.out((shares @ values).transpose(1, 2).flatten(2))
            hidden = hidden + block.down(self._activate(block.up(block.mlp_norm(hidden))))
        return total / len(self._blocks)

    def _activate(self, hidden: Tensor) -> Tensor:
        if not self.architecture.gated:
            return self._activation(hidden)
        gate, up = hidden.chunk(2, dim=-1)
        return self._activation(gate) * up

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine (B or 1, 1, T, W) of the angles by which positions turn queries and keys."""
        if self._rope is None:
            return None
        frequencies, scale = self._rope
        angles = positions.view(-1, 1, positions.shape[-1], 1).float() * frequencies  # …, T, W / 2
        angles = torch.cat([angles, angles], dim=-1)
        return (angles.cos() * scale).to(self.dtype), (angles.sin() * scale).to(self.dtype)


class LeanBatch:
    """Rows of different lengths that are read on in one pass."""

    def __init__(self, decoder: LeanDecoder, cache: BatchCache, *, recorded: bool = False) -> None:
        """
        Args:
            decoder: that reads them.
            cache: without a row.
            recorded: whether passes are recorded, as CUDA graphs.
        """
        self._decoder = decoder
        self._cache = cache
        self._graphs = Graphs(self._read, cache) if recorded else None

    def add(self, cache: KeyValueCache) -> None:
        """A new last row."""
        self._cache.add(cache)

    def take(self, row: int) -> KeyValueCache:
        """Remove a row; what was read of it."""
        return self._cache.take(row)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The logits (B, V) after the next id of each row."""
        if self._graphs is not None:
            return self._graphs.read(ids)
        return self._read(torch.tensor(ids, device=self._decoder.device)[:, None], self._cache)

    def _read(self, ids: Tensor, cache: BatchCache | FixedCache) -> Tensor:
        return self._decoder.read(self._decoder.embed(ids), cache)[:, -1]


class _Reader:
    """Makes layers of weights, under the names of transformers."""

    def __init__(self, weights: Mapping[str, Tensor], architecture: Architecture, place: Placement) -> None:
        self._weights = weights
        self._place = place
        self._a = architecture

    def weight(self, name: str, key: str = "weight") -> Tensor:
        return self._weights[f"lm.{name}.{key}"].to(device=self._place.device, dtype=self._place.dtype)

    def norm(self, name: str) -> Norm:
        shape = (self._a.width,)
        if self._a.family == "gpt2":
            weight, bias = self.weight(name), self.weight(name, "bias")
            return partial(functional.layer_norm, normalized_shape=shape, weight=weight, bias=bias, eps=self._a.eps)
        return partial(functional.rms_norm, normalized_shape=shape, weight=self.weight(name), eps=self._a.eps)

    def gpt2_block(self, layer: int) -> _Block:
        """Its `Conv1D` has the weight the other way round."""
        name = f"transformer.h.{layer}"

        def conv1d(part: str) -> Linear:
            return self._linear(self.weight(f"{name}.{part}").t(), self.weight(f"{name}.{part}", "bias"))

        return _Block(
            self.norm(f"{name}.ln_1"),
            conv1d("attn.c_attn"),
            conv1d("attn.c_proj"),
            self.norm(f"{name}.ln_2"),
            conv1d("mlp.c_fc"),
            conv1d("mlp.c_proj"),
        )

    def llama_block(self, layer: int) -> _Block:
        name = f"model.layers.{layer}"

        def joined(bias: bool, *parts: str) -> Linear:
            weight = torch.cat([self.weight(f"{name}.{part}") for part in parts])
            biases = torch.cat([self.weight(f"{name}.{part}", "bias") for part in parts]) if bias else None
            return self._linear(weight, biases)

        return _Block(
            self.norm(f"{name}.input_layernorm"),
            joined(self._a.qkv_bias, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            joined(self._a.out_bias, "self_attn.o_proj"),
            self.norm(f"{name}.post_attention_layernorm"),
            joined(self._a.mlp_bias, "mlp.gate_proj", "mlp.up_proj"),
            joined(self._a.mlp_bias, "mlp.down_proj"),
        )

    def _linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        return linear(weight, bias, self._place.quantization)


def _rotated(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): (B, heads, T, W), the first half of each head paired with its second."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat([-second, first], dim=-1) * sine


def _rope(architecture: Architecture, device: torch.device) -> tuple[Tensor, float]:
    """(W / 2,) radians a position, and the factor of cosine and sine."""
    rope, width = dict(architecture.rope), architecture.head_width
    if rope["rope_type"] == "default":
        return 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2, device=device).float() / width), 1.0
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(
        head_dim=width, max_position_embeddings=architecture.context, rope_parameters=rope, hidden_size=width,
        num_attention_heads=1,
    )  # fmt: skip
    frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, device)
    return frequencies, float(scale)
