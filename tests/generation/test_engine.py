"""The decode loop on toy decoders with random weights; the reference is transformers' `generate`."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmchat.config import FinishReason, GenerationOptions
from mmchat.errors import ContextError, FailureError
from mmchat.generation.engine import Engine
from mmchat.model.decoder import Decoder, answering_decoder
from mmchat.model.lean import LeanDecoder
from mmchat.model.placement import ON_CPU
from mmchat.model.transformers_decoder import TransformersDecoder

V, CONTEXT = 80, 48
# Wide weights and an output layer of its own: with the usual initialisation a random GPT-2 repeats one token
# for ever, and any loop would look right.
COMMON = {"vocab_size": V, "initializer_range": 0.4, "tie_word_embeddings": False}
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
NO_SPECIAL_IDS = {"bos_token_id": None, "eos_token_id": None}
PROMPT = [5, 17, 17, 42, 63, 8, 9]
GREEDY = GenerationOptions.create(max_new_tokens=20)
SAMPLED = GenerationOptions.create(temperature=1.5, top_k=40, top_p=0.95, repetition_penalty=1.1, max_new_tokens=12)


def toy(config: dict[str, Any]) -> TransformersDecoder:
    torch.manual_seed(0)
    return TransformersDecoder(config | NO_SPECIAL_IDS).eval()


@pytest.fixture(scope="module", params=["gpt2", "sliding-window", "lean"])
def kind(request: pytest.FixtureRequest) -> str:
    """GPT-2 keeps every key and value; the second forgets those outside a window shorter than the prompt. The third is
    the first again, as users meet it."""
    return str(request.param)


@pytest.fixture(scope="module")
def reference(kind: str) -> TransformersDecoder:
    """What transformers makes of the weights."""
    return toy(MISTRAL if kind == "sliding-window" else GPT2)


@pytest.fixture(scope="module")
def decoder(kind: str, reference: TransformersDecoder) -> Decoder:
    """What answers."""
    return lean(GPT2, reference) if kind == "lean" else reference


def lean(config: dict[str, Any], reference: TransformersDecoder) -> Decoder:
    decoder = answering_decoder(config, ON_CPU).eval()
    assert isinstance(decoder, LeanDecoder)
    decoder.load_weights(reference.state_dict(), ON_CPU)
    return decoder


@pytest.fixture(scope="module")
def embeddings(decoder: Decoder) -> Tensor:
    """The prompt, with two positions overwritten as a picture overwrites its placeholders."""
    with torch.no_grad():
        embedded = decoder.embed(torch.tensor([PROMPT])).clone()
    embedded[0, 1:3] = torch.randn(2, decoder.width, generator=torch.Generator().manual_seed(1))
    return embedded


def collect(answer: Generator[int, None, FinishReason]) -> tuple[list[int], FinishReason]:
    """The ids and the return value of a generator."""
    ids = []
    while True:
        try:
            ids.append(next(answer))
        except StopIteration as end:
            return ids, end.value


def answer_alone(
    decoder: Decoder,
    embeddings: Tensor,
    options: GenerationOptions,
    seed: int = 0,
    stop_ids: frozenset[int] = frozenset(),
) -> tuple[list[int], FinishReason]:
    engine = Engine(decoder, stop_ids)
    return collect(engine.decode(engine.prefill(embeddings), PROMPT, options, seed))


@contextmanager
def counted_calls(decoder: Decoder) -> Iterator[list[int]]:
    """The number of positions that each call of the decoder read."""
    calls: list[int] = []
    handle = decoder.register_forward_pre_hook(lambda _, arguments: calls.append(arguments[0].shape[1]))
    try:
        yield calls
    finally:
        handle.remove()


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_greedy_ids_equal_those_of_transformers(
    reference: TransformersDecoder, decoder: Decoder, embeddings: Tensor, penalty: float
) -> None:
    """Token for token. transformers penalises prompt tokens only if it gets the ids beside the embeddings."""
    theirs = reference.lm.generate(
        input_ids=torch.tensor([PROMPT]),
        inputs_embeds=embeddings,
        attention_mask=torch.ones(1, len(PROMPT), dtype=torch.long),
        do_sample=False,
        repetition_penalty=penalty,
        max_new_tokens=30,
    )[0, len(PROMPT) :].tolist()
    ours, reason = answer_alone(
        decoder, embeddings, GenerationOptions.create(repetition_penalty=penalty, max_new_tokens=30)
    )
    assert (ours, reason) == (theirs, "length")
    assert len(set(ours)) > 10, "the toy model repeats itself, so that this test shows nothing"


def test_greedy_ids_equal_those_of_the_decoder_without_a_cache(decoder: Decoder, embeddings: Tensor) -> None:
    ours, _ = answer_alone(decoder, embeddings, GREEDY)
    naive: list[int] = []
    with torch.no_grad():
        for _ in range(GREEDY.max_new_tokens):
            sequence = torch.cat([embeddings, decoder.embed(torch.tensor([naive], dtype=torch.long))], dim=1)
            naive.append(int(decoder(sequence)[0][0, -1].argmax()))
    assert ours == naive


def test_a_stop_id_ends_the_answer_and_is_not_part_of_it(decoder: Decoder, embeddings: Tensor) -> None:
    free, _ = answer_alone(decoder, embeddings, GREEDY)
    stop_id = free[7]
    ours, reason = answer_alone(decoder, embeddings, GREEDY, stop_ids=frozenset({stop_id, V - 1}))
    assert (ours, reason) == (free[: free.index(stop_id)], "stop")


def test_a_stop_id_at_the_very_start_gives_an_empty_answer(decoder: Decoder, embeddings: Tensor) -> None:
    first = answer_alone(decoder, embeddings, GREEDY)[0][0]
    assert answer_alone(decoder, embeddings, GREEDY, stop_ids=frozenset({first})) == ([], "stop")


def test_the_last_allowed_token_costs_no_pass_of_its_own(decoder: Decoder, embeddings: Tensor) -> None:
    """n tokens take the prefill and n - 1 passes: the last one is never fed back."""
    options = GREEDY.model_copy(update={"max_new_tokens": 5})
    with counted_calls(decoder) as calls:
        ids, reason = answer_alone(decoder, embeddings, options)
    assert (len(ids), reason) == (5, "length")
    assert calls == [len(PROMPT), 1, 1, 1, 1]


def test_the_next_token_is_computed_when_it_is_asked_for(decoder: Decoder, embeddings: Tensor) -> None:
    engine = Engine(decoder, frozenset())
    with counted_calls(decoder) as calls:
        answer = engine.decode(engine.prefill(embeddings), PROMPT, GREEDY, 0)
        assert len(calls) == 1
        next(answer)
        assert len(calls) == 1, "the first token comes from the logits of the prefill"
        next(answer)
        assert len(calls) == 2


def test_closing_the_answer_stops_the_work(decoder: Decoder, embeddings: Tensor) -> None:
    """Somebody pressed Ctrl-C or left the page: nothing may be computed for them any more."""
    engine = Engine(decoder, frozenset())
    with counted_calls(decoder) as calls:
        answer = engine.decode(engine.prefill(embeddings), PROMPT, GREEDY, 0)
        for _ in range(3):
            next(answer)
        answer.close()
        assert list(answer) == []
    assert calls == [len(PROMPT), 1, 1]


def test_several_answers_of_one_prefill_equal_answers_alone(decoder: Decoder, embeddings: Tensor) -> None:
    """The cache grows in place: if it were shared, the second answer would read the first as its prompt."""
    engine = Engine(decoder, frozenset())
    prefill = engine.prefill(embeddings)
    with counted_calls(decoder) as calls:
        together = [collect(engine.decode(prefill, PROMPT, SAMPLED, seed)) for seed in (1, 2, 3)]
    assert len(PROMPT) not in calls, "the prompt was read again"
    assert together == [answer_alone(decoder, embeddings, SAMPLED, seed) for seed in (1, 2, 3)]
    assert len({tuple(ids) for ids, _ in together}) == 3


def test_answers_of_one_prefill_may_be_read_in_turns(decoder: Decoder, embeddings: Tensor) -> None:
    """A cache that is cropped back when an answer ends passes the test above with GPT-2 and fails here: the
    crop comes too late for an answer that began in between. A sliding window cannot be cropped back at all."""
    engine = Engine(decoder, frozenset())
    prefill = engine.prefill(embeddings)
    turns = zip(*(engine.decode(prefill, PROMPT, SAMPLED, seed) for seed in (1, 2)), strict=True)
    in_turns = [list(ids) for ids in zip(*turns, strict=True)]
    assert in_turns == [answer_alone(decoder, embeddings, SAMPLED, seed)[0] for seed in (1, 2)]


def test_an_abandoned_answer_leaves_no_trace_in_the_prefill(decoder: Decoder, embeddings: Tensor) -> None:
    engine = Engine(decoder, frozenset())
    prefill = engine.prefill(embeddings)
    abandoned = engine.decode(prefill, PROMPT, SAMPLED, 9)
    for _ in range(4):
        next(abandoned)
    abandoned.close()
    assert prefill.cache.length == len(PROMPT)
    assert collect(engine.decode(prefill, PROMPT, GREEDY, 0)) == answer_alone(decoder, embeddings, GREEDY)


def test_the_same_seed_gives_the_same_ids(decoder: Decoder, embeddings: Tensor) -> None:
    """Whatever the global generator did in between."""
    first = answer_alone(decoder, embeddings, SAMPLED, seed=4)
    torch.manual_seed(123)
    assert answer_alone(decoder, embeddings, SAMPLED, seed=4) == first
    assert answer_alone(decoder, embeddings, SAMPLED, seed=5) != first


def test_temperature_zero_is_greedy_whatever_the_seed_and_top_p(decoder: Decoder, embeddings: Tensor) -> None:
    greedy, _ = answer_alone(decoder, embeddings, GREEDY)
    narrow = GREEDY.model_copy(update={"top_p": 0.5, "top_k": 3})
    assert all(answer_alone(decoder, embeddings, narrow, seed)[0] == greedy for seed in range(3))


def test_the_penalty_covers_prompt_and_answer(decoder: Decoder, embeddings: Tensor) -> None:
    """At the highest penalty no token is used twice, nor one of the prompt, until only negative logits are
    left; so the answer is kept short."""
    options = GREEDY.model_copy(update={"repetition_penalty": 10.0, "max_new_tokens": 10})
    ids, _ = answer_alone(decoder, embeddings, options)
    assert len(set(ids)) == 10
    assert not set(ids) & set(PROMPT)


def test_an_answer_ends_with_the_context(decoder: Decoder, embeddings: Tensor) -> None:
    """One position more is an index error in the position table of GPT-2; on CUDA it ends the process."""
    options = GREEDY.model_copy(update={"max_new_tokens": 10_000})
    ids, reason = answer_alone(decoder, embeddings, options)
    assert (len(PROMPT) + len(ids), reason) == (CONTEXT, "length")


def test_one_free_position_is_room_for_one_token(decoder: Decoder) -> None:
    engine = Engine(decoder, frozenset())
    prefill = engine.prefill(torch.zeros(1, CONTEXT - 1, decoder.width))
    ids, reason = collect(engine.decode(prefill, [0] * (CONTEXT - 1), GREEDY, 0))
    assert (len(ids), reason) == (1, "length")


@pytest.mark.parametrize("length", [CONTEXT, CONTEXT + 20])
def test_a_prompt_without_room_for_an_answer_is_refused(decoder: Decoder, length: int) -> None:
    """A prompt that fills the context would get an empty answer, as if the model had nothing to say."""
    with pytest.raises(ContextError, match=rf"takes {length} tokens and the model holds {CONTEXT}"):
        Engine(decoder, frozenset()).prefill(torch.zeros(1, length, decoder.width))


def test_the_reader_keeps_its_gradients(decoder: Decoder, embeddings: Tensor) -> None:
    """`with torch.inference_mode()` around a `yield` stays on in the code that reads the generator: a loop that
    trains and shows samples would run its next step without gradients."""
    engine = Engine(decoder, frozenset())
    answer = engine.decode(engine.prefill(embeddings.clone().requires_grad_()), PROMPT, GREEDY, 0)
    for _ in range(3):
        next(answer)
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_decoder_in_training_mode_is_refused(embeddings: Tensor) -> None:
    """Its dropout makes greedy answers differ from run to run; a fresh module is in training mode."""
    decoder = toy(GPT2).train()
    with pytest.raises(AssertionError, match="eval"):
        Engine(decoder, frozenset()).prefill(embeddings)


def test_ids_that_do_not_belong_to_the_prompt_are_refused(decoder: Decoder, embeddings: Tensor) -> None:
    engine = Engine(decoder, frozenset())
    with pytest.raises(AssertionError, match="2 ids for 7 embeddings"):
        next(engine.decode(engine.prefill(embeddings), [1, 2], GREEDY, 0))


def test_logits_that_are_no_numbers_arrive_where_the_answer_is_read(decoder: Decoder, embeddings: Tensor) -> None:
    engine = Engine(decoder, frozenset())
    prefill = replace(engine.prefill(embeddings), logits=torch.full((V,), math.nan))
    with pytest.raises(FailureError, match="not a number"):
        next(engine.decode(prefill, PROMPT, GREEDY, 0))
