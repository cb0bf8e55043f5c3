"""Passes that are recorded: the same logits, few recordings, and nothing in them that could not be one.

Recording itself needs CUDA. Here a "recording" computes the pass again into the tensor that it gave out, from the same
tensors, as a graph would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mmchat.model.cache import BatchCache
from mmchat.model.decoder import answering_decoder
from mmchat.model.graphs import FixedCache, Graphs
from mmchat.model.lean import LeanDecoder
from mmchat.model.placement import ON_CPU, Placement
from mmchat.model.transformers_decoder import TransformersDecoder
from tests.model.test_batch import GPT2, LLAMA, V, alone, decoder, ids_of, read, without_gradients

__all__ = ["decoder", "without_gradients"]


class Recorder:
    """Counts recordings, and repeats them on the CPU."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.count += 1
        logits = compute()
        return lambda: logits.copy_(compute()), logits


class Batch:
    """A batch of which all passes are recorded."""

    def __init__(self, decoder: LeanDecoder, record: Recorder) -> None:
        self.cache = BatchCache(decoder._sizes, decoder.dtype, decoder.device)
        self.graphs = Graphs(lambda ids, cache: decoder.read(decoder.embed(ids), cache)[:, -1], self.cache, record)

    def read(self, ids: Sequence[int]) -> Tensor:
        return self.graphs.read(ids)


def test_logits_equal_those_of_each_row_alone(decoder: LeanDecoder) -> None:
    """Through growth of rows and of positions, and a row that leaves."""
    record = Recorder()
    batch = Batch(decoder, record)
    lengths = [5, 90, 1]
    for row, length in enumerate(lengths):
        batch.cache.add(read(decoder, row, length))
    for _ in range(50):
        logits = batch.read([int(ids_of(row)[0, length]) for row, length in enumerate(lengths)])
        assert logits.shape == (3, V)
        lengths = [length + 1 for length in lengths]
        for row, length in enumerate(lengths):
            torch.testing.assert_close(logits[row], alone(decoder, row, length), rtol=1e-4, atol=1e-4)
    batch.cache.take(0)  # the last takes its place
    logits = batch.read([int(ids_of(2)[0, lengths[2]]), int(ids_of(1)[0, lengths[1]])])
    torch.testing.assert_close(logits[0], alone(decoder, 2, lengths[2] + 1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[1], alone(decoder, 1, lengths[1] + 1), rtol=1e-4, atol=1e-4)
    assert record.count == 3, "for 4 rows, again when there was no more room for positions, and for 2"


def test_logits_are_not_those_of_a_later_pass(decoder: LeanDecoder) -> None:
    batch = Batch(decoder, Recorder())
    batch.cache.add(read(decoder, 0, 4))
    first = batch.read([int(ids_of(0)[0, 4])])
    kept = first.clone()
    batch.read([int(ids_of(0)[0, 5])])
    assert torch.equal(first, kept)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_a_pass_waits_for_nothing_that_lies_on_the_device(config: dict[str, object]) -> None:
    """Tensors without numbers are enough for it: whatever a graph cannot hold would ask for one."""
    decoder = in_bfloat16(config)
    data = BatchCache(decoder._sizes, decoder.dtype, decoder.device)
    data.add(read(decoder, 0, 4))
    data.grow()
    with FakeTensorMode(allow_non_fake_inputs=True):
        cache = FixedCache(data.data, 1, 64)
        ids = torch.zeros((1, 1), dtype=torch.long)
        assert decoder.read(decoder.embed(ids), cache)[:, -1].shape == (1, V)
        with pytest.raises(DataDependentOutputException):
            int(cache.places[0, 0])  # as this does


def in_bfloat16(config: dict[str, object]) -> LeanDecoder:
    """In bfloat16, whose layers are those of a GPU."""
    place = Placement(ON_CPU.device, torch.bfloat16)
    decoder = answering_decoder(config, place)
    assert isinstance(decoder, LeanDecoder)
    decoder.load_weights(TransformersDecoder(config).state_dict(), place)
    return decoder.eval()
