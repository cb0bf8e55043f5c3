"""The decoder: with its cache and without, beside transformers, and the settings that it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmchat.errors import ConfigError
from mmchat.model.transformers_decoder import TransformersDecoder

V, D, CONTEXT = 50, 32, 24
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": D,
    "n_positions": CONTEXT,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": None,
}
LLAMA = {
    "model_type": "llama",
    "vocab_size": V,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": D,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture(scope="module", params=[GPT2, LLAMA], ids=["gpt2", "llama"])
def decoder(request: pytest.FixtureRequest) -> TransformersDecoder:
    """Positions that are learnt, and positions that are turned into the keys."""
    torch.manual_seed(0)
    return TransformersDecoder(request.param).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def embeddings() -> Tensor:
    return torch.randn(2, 12, D, generator=torch.Generator().manual_seed(1))


def test_sizes_are_those_of_the_settings(decoder: TransformersDecoder) -> None:
    assert (decoder.width, decoder.context, decoder.vocab_size) == (D, CONTEXT, V)
    assert (decoder.device, decoder.dtype) == (torch.device("cpu"), torch.float32)


def test_logits_equal_those_of_transformers_on_ids(decoder: TransformersDecoder) -> None:
    ids = torch.arange(16).view(2, 8)
    ours, cache = decoder(decoder.embed(ids))
    torch.testing.assert_close(ours, decoder.lm(input_ids=ids).logits)
    assert ours.shape == (2, 8, V)
    assert cache.length == 8


@pytest.mark.parametrize("steps", [[1] * 12, [5, 7], [11, 1], [3, 1, 6, 2]])
def test_reading_in_steps_equals_reading_at_once(
    decoder: TransformersDecoder, embeddings: Tensor, steps: list[int]
) -> None:
    naive, _ = decoder(embeddings)
    cache = None
    pieces = []
    for step in embeddings.split(steps, dim=1):
        logits, cache = decoder(step, cache=cache)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), naive, rtol=1e-4, atol=1e-4)


def test_each_position_sees_those_before_it_alone(decoder: TransformersDecoder, embeddings: Tensor) -> None:
    """Hence rows of a batch may be padded at their end."""
    longer, _ = decoder(embeddings)
    shorter, _ = decoder(embeddings[:, :7])
    torch.testing.assert_close(longer[:, :7], shorter, rtol=1e-4, atol=1e-4)


def test_the_last_position_alone_has_the_same_logits(decoder: TransformersDecoder, embeddings: Tensor) -> None:
    every, _ = decoder(embeddings)
    last, cache = decoder(embeddings, logits_to_keep=1)
    assert last.shape == (2, 1, V)
    torch.testing.assert_close(last, every[:, -1:])
    assert cache.length == embeddings.shape[1]


def test_positions_may_be_given(decoder: TransformersDecoder, embeddings: Tensor) -> None:
    usual, _ = decoder(embeddings)
    given, _ = decoder(embeddings, positions=torch.arange(12).expand(2, -1))
    torch.testing.assert_close(given, usual)


def test_learnt_positions_matter(embeddings: Tensor) -> None:
    torch.manual_seed(0)
    decoder = TransformersDecoder(GPT2).eval().requires_grad_(False)
    usual, _ = decoder(embeddings)
    moved, _ = decoder(embeddings, positions=torch.arange(5, 17).expand(2, -1))
    assert (moved - usual).abs().max() > 0.1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"n_layers": 3}, "decoder: unknown key n_layers of gpt2"),
        ({"depth": 3, "colour": "red"}, "decoder: unknown key depth, colour of gpt2"),
        ({"model_type": "gtp2"}, "decoder: Unrecognized model identifier: gtp2. "),
        ({"model_type": "clip_vision_model"}, "decoder: "),
        ({"n_head": 3}, "decoder: "),
        ({"n_embd": "wide"}, "decoder: "),
        ({"activation_function": "swoosh"}, "decoder: 'swoosh'"),
    ],
    ids=["key", "keys", "type", "no language model", "heads", "text", "activation"],
)
def test_wrong_settings_are_one_line(changes: dict[str, Any], line: str) -> None:
    """transformers keeps an unknown key as an attribute that nothing reads: `n_layers: 3` would build the default."""
    with pytest.raises(ConfigError) as caught:
        TransformersDecoder(GPT2 | changes)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 220


def test_other_names_of_a_setting_are_known() -> None:
    """transformers reads `hidden_size` as `n_embd`."""
    settings = {key: value for key, value in GPT2.items() if key != "n_embd"}
    assert TransformersDecoder(settings | {"hidden_size": D}).width == D
