"""The architectures that the lean decoder covers, read from a transformers configuration without transformers.

GPT-2 (Radford et al. 2019) and the Llama family (Touvron et al. 2023): Llama, Qwen2, Mistral. Defaults and names are
those of `transformers/models/<type>/configuration_<type>.py`. What is not covered to the letter, an unknown key
included, is left to transformers.

D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Activation = Literal["gelu_tanh", "gelu", "silu", "relu"]

_ACTIVATIONS: dict[Any, Activation] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}
_NO_MATTER = {
    "architectures", "attention_dropout", "attn_implementation", "attn_pdrop", "bos_token_id", "dtype", "embd_pdrop",
    "eos_token_id", "initializer_range", "max_window_layers", "model_type", "pad_token_id", "pretraining_tp",
    "resid_pdrop", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj", "torch_dtype", "transformers_version", "use_cache",
}  # fmt: skip
"""Settings of training, of transformers' own generation, and of heads that a causal language model has not."""
_GPT2_NAMES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
"""transformers takes these names for GPT-2 too."""
_GPT2: dict[str, Any] = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
}
_LLAMA: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_parameters": None,
    "attention_bias": False,
    "mlp_bias": False,
}
_QWEN2 = {
    **{key: value for key, value in _LLAMA.items() if key not in ("attention_bias", "mlp_bias", "head_dim")},
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "layer_types": None,
}
_MISTRAL = {
    **{key: value for key, value in _LLAMA.items() if key not in ("attention_bias", "mlp_bias")},
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}
_DEFAULTS = {"gpt2": _GPT2, "llama": _LLAMA, "qwen2": _QWEN2, "mistral": _MISTRAL}
_DEFAULT_THETA = 10_000.0


@dataclass(frozen=True)
class Architecture:
    """A decoder of pre-normalised blocks; each field is a number or a choice that its forward pass needs."""

    family: Literal["gpt2", "llama"]
    """Of the names of its weights, its norm (layer, RMS) and its positions (learnt, rotary)."""
    vocab_size: int
    width: int
    context: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    """Width of the hidden layer of the MLP."""
    activation: Activation
    eps: float
    tied: bool
    """Whether the output layer is the embedding."""
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    rope: Mapping[str, Any]
    """`rope_parameters` of transformers; empty where positions are learnt."""

    @property
    def gated(self) -> bool:
        """Whether the hidden layer of the MLP is the activation of one half of it times the other half."""
        return self.family == "llama"

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in transformers, after `lm.`; tied ones once."""
        return _gpt2_shapes(self) if self.family == "gpt2" else _llama_shapes(self)


def architecture_of(config: Mapping[str, Any]) -> Architecture | None:
    """The architecture of a transformers configuration with its `model_type`, or None where it is not covered."""
    model_type = config.get("model_type")
    defaults = _DEFAULTS.get(str(model_type))
    if defaults is None:
        return None
    names = _GPT2_NAMES if model_type == "gpt2" else {}
    given = {names.get(key, key): value for key, value in config.items() if key not in _NO_MATTER}
    if not given.keys() <= defaults.keys():
        return None
    settings = defaults | given
    try:
        return _gpt2(settings) if model_type == "gpt2" else _llama(settings, str(model_type))
    except _NotCoveredError:
        return None


class _NotCoveredError(Exception):
    """A value that transformers has to judge."""


def _gpt2(settings: Mapping[str, Any]) -> Architecture:
    width, heads = _count(settings, "n_embd"), _count(settings, "n_head")
    _require(width % heads == 0 and settings["scale_attn_weights"] is True)
    _require(not settings["scale_attn_by_inverse_layer_idx"] and not settings["add_cross_attention"])
    return Architecture(
        family="gpt2",
        vocab_size=_count(settings, "vocab_size"),
        width=width,
        context=_count(settings, "n_positions"),
        layers=_count(settings, "n_layer"),
        heads=heads,
        kv_heads=heads,
        head_width=width // heads,
        inner=4 * width if settings["n_inner"] is None else _count(settings, "n_inner"),
        activation=_activation(settings["activation_function"]),
        eps=_positive(settings["layer_norm_epsilon"]),
        tied=settings["tie_word_embeddings"] is True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        rope={},
    )


def _llama(settings: Mapping[str, Any], model_type: str) -> Architecture:
    width, heads = _count(settings, "hidden_size"), _count(settings, "num_attention_heads")
    kv_heads = heads if settings["num_key_value_heads"] is None else _count(settings, "num_key_value_heads")
    _require(width % heads == 0 and heads % kv_heads == 0)
    windowed = settings.get("use_sliding_window", True) and settings.get("sliding_window") is not None
    _require(not windowed and not settings.get("layer_types"))
    bias = settings.get("attention_bias") is True
    return Architecture(
        family="llama",
        vocab_size=_count(settings, "vocab_size"),
        width=width,
        context=_count(settings, "max_position_embeddings"),
        layers=_count(settings, "num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads if settings.get("head_dim") is None else _count(settings, "head_dim"),
        inner=_count(settings, "intermediate_size"),
        activation=_activation(settings["hidden_act"]),
        eps=_positive(settings["rms_norm_eps"]),
        tied=settings["tie_word_embeddings"] is True,
        qkv_bias=bias or model_type == "qwen2",
        out_bias=bias,
        mlp_bias=settings.get("mlp_bias") is True,
        rope=_rope(settings["rope_parameters"]),
    )


def _rope(parameters: Any) -> dict[str, Any]:
    """Rotary frequencies that do not depend on how long a sequence is; all but the plain ones are transformers' own."""
    values = dict(parameters or {})
    kind = values.setdefault("rope_type", "default")
    values.setdefault("rope_theta", _DEFAULT_THETA)
    _require(kind in ("default", "linear", "llama3") and values.get("partial_rotary_factor", 1.0) == 1.0)
    return values


def _gpt2_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    """`Conv1D` has its weight the other way round: inputs first."""
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (a.vocab_size, a.width),
        "transformer.wpe.weight": (a.context, a.width),
    }
    linears = {
        "attn.c_attn": (a.width, 3 * a.width),
        "attn.c_proj": (a.width, a.width),
        "mlp.c_fc": (a.width, a.inner),
        "mlp.c_proj": (a.inner, a.width),
    }
    norms = [f"transformer.h.{layer}.{norm}" for layer in range(a.layers) for norm in ("ln_1", "ln_2")]
    shapes |= {f"{norm}.{key}": (a.width,) for norm in [*norms, "transformer.ln_f"] for key in ("weight", "bias")}
    for layer in range(a.layers):
        for name, (inputs, outputs) in linears.items():
            shapes[f"transformer.h.{layer}.{name}.weight"] = (inputs, outputs)
            shapes[f"transformer.h.{layer}.{name}.bias"] = (outputs,)
    return shapes if a.tied else {**shapes, "lm_head.weight": (a.vocab_size, a.width)}


def _llama_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (a.vocab_size, a.width)}
    queries, keys = a.heads * a.head_width, a.kv_heads * a.head_width
    linears = {
        "self_attn.q_proj": (queries, a.width, a.qkv_bias),
        "self_attn.k_proj": (keys, a.width, a.qkv_bias),
        "self_attn.v_proj": (keys, a.width, a.qkv_bias),
        "self_attn.o_proj": (a.width, queries, a.out_bias),
        "mlp.gate_proj": (a.inner, a.width, a.mlp_bias),
        "mlp.up_proj": (a.inner, a.width, a.mlp_bias),
        "mlp.down_proj": (a.width, a.inner, a.mlp_bias),
    }
    for layer in range(a.layers):
        for name, (outputs, inputs, biased) in linears.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = (outputs, inputs)
            if biased:
                shapes[f"model.layers.{layer}.{name}.bias"] = (outputs,)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{norm}.weight"] = (a.width,)
    shapes["model.norm.weight"] = (a.width,)
    return shapes if a.tied else {**shapes, "lm_head.weight": (a.vocab_size, a.width)}


def _count(settings: Mapping[str, Any], key: str) -> int:
    value = settings[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _NotCoveredError(key)
    return value


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or value <= 0:
        raise _NotCoveredError(value)
    return float(value)


def _activation(name: Any) -> Activation:
    if name not in _ACTIVATIONS:
        raise _NotCoveredError(name)
    return _ACTIVATIONS[name]


def _require(holds: bool) -> None:
    if not holds:
        raise _NotCoveredError
