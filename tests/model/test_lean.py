"""The lean decoder beside transformers, and what it leaves to transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmchat.errors import ConfigError, OptionError
from mmchat.model.architecture import architecture_of
from mmchat.model.decoder import answering_decoder
from mmchat.model.lean import LeanDecoder
from mmchat.model.linear import DenseLinear, HalfLinear, linear
from mmchat.model.placement import ON_CPU, Placement
from mmchat.model.transformers_decoder import TransformersDecoder

V, D, CONTEXT = 50, 32, 200
COMMON: dict[str, Any] = {"vocab_size": V, "initializer_range": 0.4}
GPT2 = COMMON | {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": D, "n_positions": CONTEXT}
LLAMA = COMMON | {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": D,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
COVERED = {
    "gpt2": GPT2,
    "gpt2-untied": GPT2 | {"tie_word_embeddings": False, "n_inner": 40, "activation_function": "relu"},
    "gpt2-exact-gelu": GPT2 | {"activation_function": "gelu", "layer_norm_epsilon": 1e-3},
    "gpt2-other-names": {key: value for key, value in GPT2.items() if key != "n_embd"} | {"hidden_size": D},
    "llama": LLAMA,
    "llama-tied": LLAMA | {"tie_word_embeddings": True, "rms_norm_eps": 1e-2},
    "llama-biases": LLAMA | {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": None, "head_dim": 6},
    "llama3-rope": LLAMA | {"rope_parameters": LLAMA3},
    "linear-rope": LLAMA | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}},
    "qwen2": LLAMA | {"model_type": "qwen2", "hidden_act": "gelu_pytorch_tanh"},
    "mistral": LLAMA | {"model_type": "mistral", "sliding_window": None, "head_dim": 10},
}
NOT_COVERED = {
    "sliding window": LLAMA | {"model_type": "mistral", "sliding_window": 8},
    "default sliding window": LLAMA | {"model_type": "mistral"},
    "sliding layers": LLAMA | {"model_type": "qwen2", "use_sliding_window": True},
    "scaled by layer": GPT2 | {"scale_attn_by_inverse_layer_idx": True},
    "unscaled": GPT2 | {"scale_attn_weights": False},
    "activation": GPT2 | {"activation_function": "gelu_fast"},
    "frequencies by length": LLAMA | {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    "family": {
        "model_type": "gpt_neox",
        "vocab_size": V,
        "hidden_size": D,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    },
}


@pytest.fixture(scope="module", params=COVERED)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return COVERED[request.param]


@pytest.fixture(scope="module")
def reference(config: dict[str, Any]) -> TransformersDecoder:
    """Every weight is random, also those that begin as ones and zeros: one that is left out would not be missed."""
    torch.manual_seed(0)
    decoder = TransformersDecoder(config).eval().requires_grad_(False)
    for name, weight in decoder.named_parameters():
        if weight.ndim == 1:
            weight.normal_(float(name.endswith("weight")), 0.3)
    return decoder


@pytest.fixture(scope="module")
def lean(config: dict[str, Any], reference: TransformersDecoder) -> LeanDecoder:
    return loaded(config, reference, ON_CPU)


@pytest.fixture(scope="module")
def embeddings() -> Tensor:
    return torch.randn(2, 90, D, generator=torch.Generator().manual_seed(1))


def loaded(config: dict[str, Any], reference: TransformersDecoder, place: Placement) -> LeanDecoder:
    decoder = answering_decoder(config, place)
    assert isinstance(decoder, LeanDecoder)
    decoder.load_weights(reference.state_dict(), place)
    return decoder.eval()


def test_it_asks_for_the_weights_that_transformers_has(lean: LeanDecoder, reference: TransformersDecoder) -> None:
    assert lean.weight_shapes() == reference.weight_shapes()
    assert (lean.width, lean.context, lean.vocab_size) == (reference.width, reference.context, reference.vocab_size)


def test_logits_equal_those_of_transformers(
    lean: LeanDecoder, reference: TransformersDecoder, embeddings: Tensor
) -> None:
    torch.testing.assert_close(lean(embeddings)[0], reference(embeddings)[0], rtol=1e-4, atol=1e-4)
    ids = torch.arange(V)[None]
    torch.testing.assert_close(lean.embed(ids), reference.embed(ids))


@pytest.mark.parametrize("steps", [[1] * 90, [50, 40], [89, 1], [3, 1, 80, 1, 1, 4]], ids=str)
def test_reading_in_steps_equals_transformers_reading_at_once(
    lean: LeanDecoder, reference: TransformersDecoder, embeddings: Tensor, steps: list[int]
) -> None:
    """Steps that outgrow the room of the cache, and several positions after others."""
    cache, pieces = None, []
    for step in embeddings.split(steps, dim=1):
        logits, cache = lean(step, cache=cache)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), reference(embeddings)[0], rtol=1e-4, atol=1e-4)
    assert cache.length == 90


def test_some_logits_alone(lean: LeanDecoder, embeddings: Tensor) -> None:
    every = lean(embeddings)[0]
    kept = torch.tensor([3, 50])
    torch.testing.assert_close(lean(embeddings, logits_to_keep=1)[0], every[:, -1:])
    torch.testing.assert_close(lean(embeddings, logits_to_keep=kept)[0], every[:, kept])


def test_positions_may_be_given(lean: LeanDecoder, reference: TransformersDecoder, embeddings: Tensor) -> None:
    positions = torch.stack([torch.arange(90), torch.arange(7, 97)])
    theirs = reference(embeddings, positions=positions)[0]
    torch.testing.assert_close(lean(embeddings, positions=positions)[0], theirs, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_it_is_as_near_as_transformers_is(
    config: dict[str, Any], reference: TransformersDecoder, embeddings: Tensor
) -> None:
    """To the numbers of float32: two ways to round cannot be compared with each other."""
    exact = reference(embeddings)[0]
    half = TransformersDecoder(config).eval()
    half.load_state_dict(reference.state_dict())
    theirs = (half.bfloat16()(embeddings.bfloat16())[0] - exact).abs().mean()
    place = Placement(dtype=torch.bfloat16)
    ours = (loaded(config, reference, place)(embeddings.bfloat16())[0] - exact).abs().mean()
    assert 0 < ours < 1.2 * theirs


def test_weights_of_a_float16_file_are_kept_in_float16(
    config: dict[str, Any], reference: TransformersDecoder, embeddings: Tensor
) -> None:
    """And multiplied in float32: with the same numbers, the logits are those of float32."""
    rounded = TransformersDecoder(config).eval()
    rounded.load_state_dict({name: weight.half().float() for name, weight in reference.state_dict().items()})
    ours = loaded(config, rounded, ON_CPU)
    torch.testing.assert_close(ours(embeddings)[0], rounded(embeddings)[0], rtol=1e-4, atol=1e-4)
    shapes = ours.weight_shapes()
    matrices = sum(a * b for name, (a, b) in ((n, s) for n, s in shapes.items() if len(s) == 2) if "wpe" not in name)
    untied = any("lm_head" in name for name in shapes)
    expected = matrices - (V * D if untied else 0)
    assert ours.bytes_read == (2 if has_fbgemm() else 4) * expected
    assert loaded(config, reference, ON_CPU).bytes_read == 4 * expected


def has_fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines


def test_forks_and_prefixes_of_a_cache_grow_by_themselves(lean: LeanDecoder, embeddings: Tensor) -> None:
    whole, cache = lean(embeddings)
    part = cache.prefix(40)
    fork = cache.fork()
    part_logits, _ = lean(embeddings[:, 40:], cache=part)
    torch.testing.assert_close(part_logits, whole[:, 40:], rtol=1e-4, atol=1e-4)
    lean(embeddings[:, :5], cache=fork)
    assert (cache.length, part.length, fork.length) == (90, 90, 95)
    again, _ = lean(embeddings[:, :1], cache=cache.fork())
    other, _ = lean(embeddings[:, :1], cache=cache)
    torch.testing.assert_close(again, other)


def test_rows_of_a_cache_may_change_places(lean: LeanDecoder, embeddings: Tensor) -> None:
    _, cache = lean(embeddings)
    cache.select([1, 1, 0])
    step = embeddings[:1, :1].expand(3, 1, D)
    ours = lean(step, cache=cache)[0]
    for row, source in enumerate([1, 1, 0]):
        alone = lean(step[:1], cache=lean(embeddings[source : source + 1])[1])[0]
        torch.testing.assert_close(ours[row], alone[0], rtol=1e-4, atol=1e-4)


def test_the_context_is_the_most(lean: LeanDecoder) -> None:
    _, cache = lean(torch.zeros(1, CONTEXT, D), logits_to_keep=1)
    assert cache.length == CONTEXT
    with pytest.raises(AssertionError, match="position 201 of a context of 200"):
        lean(torch.zeros(1, 1, D), cache=cache)


@pytest.mark.parametrize("name", NOT_COVERED)
def test_what_is_not_covered_goes_through_transformers(name: str) -> None:
    assert architecture_of(NOT_COVERED[name]) is None
    decoder = answering_decoder(NOT_COVERED[name], ON_CPU)
    assert isinstance(decoder, TransformersDecoder)
    assert all(weight.is_meta for weight in decoder.parameters())


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (Placement(torch.device("cuda"), quantization="int4"), {}),
        (Placement(torch.device("cuda"), quantization="int8"), {}),
        (Placement(spread=True), {}),
        (Placement(quantization="int8"), {"n_inner": 40}),
    ],
    ids=["int4", "int8 on a GPU", "spread", "int8 of other sizes than the kernel's"],
)
def test_weights_that_are_not_whole_on_one_device_go_through_transformers(
    place: Placement, changes: dict[str, Any]
) -> None:
    assert isinstance(answering_decoder(GPT2 | changes, place), TransformersDecoder)


@pytest.mark.parametrize("shape", [(50, 32), (7, 96), (3, 64)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_weights_as_whole_numbers_are_nearly_the_same(shape: tuple[int, int], biased: bool) -> None:
    """Each output within what its scale and the rounding of bfloat16 allow."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator) * torch.logspace(-3, 2, shape[0])[:, None]
    bias = torch.randn(shape[0], generator=generator) if biased else None
    rows = torch.randn(2, 5, shape[1], generator=generator)
    ours, exact = linear(weight, bias, "int8")(rows), torch.nn.functional.linear(rows, weight, bias)
    assert ours.shape == exact.shape
    assert ours.dtype == torch.float32
    error = (ours - exact).abs() / weight.norm(dim=1)
    assert 0 < error.max() < 0.05


@pytest.mark.parametrize("config", [GPT2, LLAMA | {"intermediate_size": 64}], ids=["gpt2", "llama"])
def test_a_decoder_of_whole_numbers_says_nearly_the_same(config: dict[str, Any], embeddings: Tensor) -> None:
    """The weights of GPT-2 lie the other way round."""
    torch.manual_seed(0)
    reference = TransformersDecoder(config).eval().requires_grad_(False)
    ours, theirs = loaded(config, reference, Placement(quantization="int8"))(embeddings)[0], reference(embeddings)[0]
    assert not torch.equal(ours, theirs)
    assert float(torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]) > 0.99


def test_an_output_without_weights_stays_zero() -> None:
    weight = torch.zeros(2, 32)
    weight[0] = 1
    assert linear(weight, None, "int8")(torch.ones(1, 32)).tolist() == [[32.0, 0.0]]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"n_layers": 3}, "decoder: unknown key n_layers of gpt2"),
        ({"n_head": 3}, "decoder: "),
        ({"n_embd": "wide"}, "decoder: "),
        ({"n_layer": True}, "decoder: "),
        ({"activation_function": "swoosh"}, "decoder: 'swoosh'"),
    ],
    ids=["key", "heads", "text", "truth", "activation"],
)
def test_wrong_settings_are_judged_by_transformers(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        answering_decoder(GPT2 | changes, ON_CPU)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 2, 5, 48], ids=str)
def test_shares_of_the_threads_are_the_whole_product(outputs: int, threads: int) -> None:
    """Whatever the outputs and the rows, with a bias and without; what few rows give is laid out as any other."""
    weight, bias = torch.randn(32, outputs).t(), torch.randn(outputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for shape in ((32,), (1, 32), (1, 1, 32), (3, 1, 32), (1, 4, 32), (5, 32), (2, 9, 32)):
            rows = torch.randn(shape)
            for biased in (None, bias):
                found = linear(weight, biased)(rows)
                torch.testing.assert_close(found, functional.linear(rows, weight, biased))
                found.view(-1)
    finally:
        torch.set_num_threads(before)


def test_only_what_float16_holds_exactly_is_kept_in_it() -> None:
    """Too many digits, too large, too small."""
    exact = torch.tensor([[1.5, 2.0**-24], [-65504.0, 0.0]])
    assert isinstance(linear(exact, None), HalfLinear if has_fbgemm() else DenseLinear)
    torch.testing.assert_close(linear(exact, None)(torch.eye(2)), exact.t())
    for value in (0.1, 70000.0, 2.0**-26):
        assert isinstance(linear(torch.tensor([[1.5, value]]), None), DenseLinear)


def test_attention_is_that_of_transformers(lean: LeanDecoder, reference: TransformersDecoder) -> None:
    """Shares that sum to one, none of them of what comes later; the reference answers as before afterwards."""
    embeddings = reference.embed(torch.arange(1, 13)[None])
    asked = torch.tensor([3, 11, 7])
    ours, theirs = lean.attention(embeddings, asked), reference.attention(embeddings, asked)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.sum(1), torch.ones(3))
    assert (ours[0, 4:] == 0).all()
    assert reference.lm.config._attn_implementation == "sdpa"


def test_a_decoder_that_does_not_tell_its_attention_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = TransformersDecoder(GPT2)
    monkeypatch.setattr(decoder.lm, "forward", lambda **_: SimpleNamespace(attentions=(None, None)))
    with pytest.raises(OptionError, match="a decoder of type gpt2 does not tell what it pays attention to"):
        decoder.attention(decoder.embed(torch.arange(1, 5)[None]), torch.tensor([2]))
