"""Conversations of different lengths that are read on together: the same logits as of each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmchat.model.decoder import answering_decoder
from mmchat.model.lean import LeanDecoder
from mmchat.model.placement import ON_CPU
from mmchat.model.transformers_decoder import TransformersDecoder

V, D, CONTEXT = 50, 32, 150
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
LENGTHS = (5, 90, 1, 63)


@pytest.fixture(scope="module", params=[GPT2, LLAMA], ids=["gpt2", "llama"])
def decoder(request: pytest.FixtureRequest) -> LeanDecoder:
    torch.manual_seed(0)
    decoder = answering_decoder(request.param, ON_CPU)
    assert isinstance(decoder, LeanDecoder)
    decoder.load_weights(TransformersDecoder(request.param).state_dict(), ON_CPU)
    return decoder.eval()


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.inference_mode():
        yield


def ids_of(row: int) -> Tensor:
    return torch.randint(V, (1, CONTEXT), generator=torch.Generator().manual_seed(row))


def alone(decoder: LeanDecoder, row: int, length: int) -> Tensor:
    """The logits (V,) after so many ids of a row."""
    return decoder(decoder.embed(ids_of(row)[:, :length]))[0][0, -1]


def read(decoder: LeanDecoder, row: int, length: int) -> Any:
    return decoder(decoder.embed(ids_of(row)[:, :length]))[1]


def test_logits_equal_those_of_each_row_alone(decoder: LeanDecoder) -> None:
    """From one position to more than the room of the cache at its start."""
    batch = decoder.new_batch()
    for row, length in enumerate(LENGTHS):
        batch.add(read(decoder, row, length))
    for step in range(50):
        logits = batch.read([int(ids_of(row)[0, length + step]) for row, length in enumerate(LENGTHS)])
        assert logits.shape == (len(LENGTHS), V)
        for row, length in enumerate(LENGTHS):
            torch.testing.assert_close(logits[row], alone(decoder, row, length + step + 1), rtol=1e-4, atol=1e-4)


def test_rows_of_one_length_need_no_mask(decoder: LeanDecoder) -> None:
    batch = decoder.new_batch()
    for row in range(3):
        batch.add(read(decoder, row, 20))
    logits = batch.read([int(ids_of(row)[0, 20]) for row in range(3)])
    for row in range(3):
        torch.testing.assert_close(logits[row], alone(decoder, row, 21), rtol=1e-4, atol=1e-4)


def test_rows_come_and_go(decoder: LeanDecoder) -> None:
    """Whoever leaves is replaced by the last row, and what was read of it can be read on by itself."""
    batch, rows, lengths = decoder.new_batch(), [0, 1, 2], [30, 4, 100]
    for row, length in zip(rows, lengths, strict=True):
        batch.add(read(decoder, row, length))
    batch.read([int(ids_of(row)[0, length]) for row, length in zip(rows, lengths, strict=True)])
    left = batch.take(0)
    assert left.length == 31
    logits, _ = decoder(decoder.embed(ids_of(0)[:, 31:32]), cache=left)
    torch.testing.assert_close(logits[0, -1], alone(decoder, 0, 32), rtol=1e-4, atol=1e-4)
    batch.add(read(decoder, 3, 7))
    logits = batch.read([int(ids_of(row)[0, length]) for row, length in ((2, 101), (1, 5), (3, 7))])
    for index, (row, length) in enumerate(((2, 102), (1, 6), (3, 8))):
        torch.testing.assert_close(logits[index], alone(decoder, row, length), rtol=1e-4, atol=1e-4)
    assert [batch.take(2).length, batch.take(1).length, batch.take(0).length] == [8, 6, 102]


def test_a_row_is_a_copy(decoder: LeanDecoder) -> None:
    """Several answers start from one prompt."""
    prompt, batch = read(decoder, 0, 10), decoder.new_batch()
    batch.add(prompt)
    batch.add(prompt)
    logits = batch.read([int(ids_of(0)[0, 10]), int(ids_of(1)[0, 10])])
    torch.testing.assert_close(logits[0], alone(decoder, 0, 11), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits[0], logits[1])
    assert prompt.length == 10


def test_a_row_may_fill_the_context(decoder: LeanDecoder) -> None:
    batch = decoder.new_batch()
    batch.add(read(decoder, 0, CONTEXT - 1))
    batch.add(read(decoder, 1, 3))
    logits = batch.read([int(ids_of(0)[0, CONTEXT - 1]), int(ids_of(1)[0, 3])])
    torch.testing.assert_close(logits[0], alone(decoder, 0, CONTEXT), rtol=1e-4, atol=1e-4)
    with pytest.raises(AssertionError, match=f"position {CONTEXT + 1} of a context"):
        batch.read([0, 0])
