"""Beam search on toy decoders with random weights, beside transformers' `generate` and beside trying everything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from mmchat.generation.beam import Beam, beam_search
from mmchat.generation.engine import Engine, Prefill
from mmchat.model.transformers_decoder import TransformersDecoder

CONTEXT = 24
COMMON: dict[str, Any] = {
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2 = COMMON | {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": CONTEXT}
MISTRAL = COMMON | {
    "model_type": "mistral",
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT,
    "sliding_window": 6,
}
PROMPT = [0, 3, 3, 1, 4, 2, 2, 1]


def toy(config: dict[str, Any], vocab_size: int) -> TransformersDecoder:
    torch.manual_seed(0)
    return TransformersDecoder(config | {"vocab_size": vocab_size}).eval()


@pytest.fixture(scope="module", params=[GPT2, MISTRAL], ids=["gpt2", "sliding-window"])
def decoder(request: pytest.FixtureRequest) -> TransformersDecoder:
    return toy(request.param, vocab_size=40)


def read(decoder: TransformersDecoder, prompt: Sequence[int] = PROMPT) -> Prefill:
    return Engine(decoder, frozenset()).prefill(decoder.embed(torch.tensor([prompt])))


def never(ids: Sequence[int]) -> bool:
    return False


def log_probability(decoder: TransformersDecoder, ids: Sequence[int]) -> float:
    """Of the ids after the prompt, in one forward without a cache."""
    with torch.no_grad():
        logits: Tensor = decoder(decoder.embed(torch.tensor([[*PROMPT, *ids]])))[0][0]
    steps = logits[len(PROMPT) - 1 : -1].log_softmax(dim=-1)
    return float(steps.gather(1, torch.tensor(ids)[:, None]).sum())


def test_beams_equal_those_of_transformers(decoder: TransformersDecoder) -> None:
    theirs = decoder.lm.generate(
        torch.tensor([PROMPT]),
        attention_mask=torch.ones(1, len(PROMPT), dtype=torch.long),
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=7,
        do_sample=False,
        length_penalty=0.0,
        pad_token_id=0,
    )[:, len(PROMPT) :].tolist()
    ours = beam_search(decoder, read(decoder), 4, 7, never)
    assert [list(beam.ids) for beam in ours] == theirs


def test_a_probability_is_that_of_the_ids(decoder: TransformersDecoder) -> None:
    beams = beam_search(decoder, read(decoder), 5, 9, never)
    assert [beam.log_probability for beam in beams] == sorted((b.log_probability for b in beams), reverse=True)
    for beam in beams:
        assert beam.log_probability == pytest.approx(log_probability(decoder, beam.ids), abs=1e-3)


def test_wide_enough_it_finds_the_best_of_all_continuations() -> None:
    """Those of up to three of five ids are few enough to be tried; 0 and 1 end them, so that lengths compete."""
    decoder = toy(GPT2, vocab_size=5)

    def ends(ids: Sequence[int]) -> bool:
        return ids[-1] < 2

    every = [ids for n in (1, 2, 3) for ids in product(range(5), repeat=n) if min((2, *ids[:-1])) >= 2]
    whole = [ids for ids in every if len(ids) == 3 or ends(ids)]
    best = sorted(whole, key=lambda ids: log_probability(decoder, ids), reverse=True)[:12]
    assert len({len(ids) for ids in best}) > 1
    found = beam_search(decoder, read(decoder), 45, 3, ends)[:12]
    assert [beam.ids for beam in found] == best
    assert [beam.ended for beam in found] == [ends(ids) for ids in best]


def test_an_ended_beam_keeps_its_place_and_grows_no_more(decoder: TransformersDecoder) -> None:
    first = beam_search(decoder, read(decoder), 3, 1, never)[0].ids[0]
    beams = beam_search(decoder, read(decoder), 3, 6, lambda ids: ids[-1] == first)
    assert Beam((first,), pytest.approx(log_probability(decoder, [first]), abs=1e-3), ended=True) in beams
    assert {len(beam.ids) for beam in beams if not beam.ended} <= {6}


def test_the_search_is_over_when_all_beams_have_ended(decoder: TransformersDecoder) -> None:
    shapes: list[tuple[int, ...]] = []
    prefill = read(decoder)
    handle = decoder.register_forward_pre_hook(lambda _, arguments: shapes.append(tuple(arguments[0].shape)))
    try:
        beams = beam_search(decoder, prefill, 3, 6, lambda ids: len(ids) == 2)
    finally:
        handle.remove()
    assert [len(beam.ids) for beam in beams] == [2, 2, 2]
    assert shapes == [(3, 1, decoder.width)], "all beams advance in one forward, and the last ids need none"


def test_one_beam_is_greedy(decoder: TransformersDecoder) -> None:
    (beam,) = beam_search(decoder, read(decoder), 1, 8, never)
    ids: list[int] = []
    for _ in range(8):
        with torch.no_grad():
            ids.append(int(decoder(decoder.embed(torch.tensor([[*PROMPT, *ids]])))[0][0, -1].argmax()))
    assert list(beam.ids) == ids


def test_the_prompt_can_be_searched_again(decoder: TransformersDecoder) -> None:
    prefill = read(decoder)
    assert beam_search(decoder, prefill, 4, 6, never) == beam_search(decoder, prefill, 4, 6, never)


def test_beams_end_with_the_context(decoder: TransformersDecoder) -> None:
    prompt = [index % 5 for index in range(CONTEXT - 2)]
    assert [len(beam.ids) for beam in beam_search(decoder, read(decoder, prompt), 2, 9, never)] == [2, 2]


def test_no_more_beams_than_the_vocabulary_allows() -> None:
    decoder = toy(GPT2, vocab_size=5)
    assert sorted(beam.ids for beam in beam_search(decoder, read(decoder), 9, 1, never)) == [(id_,) for id_ in range(5)]
