"""Guesses from what was said: fewer passes, and the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from mmchat.config import GenerationOptions
from mmchat.errors import OptionError
from mmchat.generation.continuation import look_up
from mmchat.generation.engine import Engine
from mmchat.model.decoder import Decoder, answering_decoder
from mmchat.model.placement import ON_CPU
from mmchat.model.sequence import MixedSequence
from mmchat.model.transformers_decoder import TransformersDecoder

V, CONTEXT = 12, 90
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "n_positions": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
}
MISTRAL: dict[str, Any] = {
    "model_type": "mistral",
    "vocab_size": V,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT,
    "sliding_window": 6,
}
PROMPT = [5, 6, 7, 8, 9, 1, 5, 6, 7]
"""Few ids, so that much is said again, and not always with the same ending."""


@pytest.fixture(scope="module", params=["lean", "transformers"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    reference = TransformersDecoder(GPT2).eval()
    if request.param == "transformers":
        return reference
    lean = answering_decoder(GPT2, ON_CPU).eval()
    lean.load_weights(reference.state_dict(), ON_CPU)
    return lean


def answer(
    decoder: Decoder, options: GenerationOptions, ids: Sequence[int] = PROMPT, engine: Engine | None = None
) -> tuple[list[int], int]:
    """An answer, and how many passes it took."""
    engine = engine or Engine(decoder, frozenset({3}))
    sequence = MixedSequence(tuple(ids), tuple(ids), ())
    passes: list[int] = []
    handle = decoder.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        with torch.inference_mode():
            prefill = engine.prefill(decoder.embed(torch.tensor([ids])), sequence)
        return list(engine.decode(prefill, ids, options, seed=1)), len(passes)
    finally:
        handle.remove()


@pytest.mark.parametrize("guesses", [1, 3, 10])
@pytest.mark.parametrize(
    "drawn",
    [{}, {"temperature": 0.6}, {"temperature": 0.9, "top_k": 5, "repetition_penalty": 1.2}, {"max_new_tokens": 7}],
    ids=str,
)
def test_answers_are_what_they_are_without_guesses(decoder: Decoder, drawn: dict[str, Any], guesses: int) -> None:
    """Greedy or drawn, up to the end of the turn, of the budget or of the context."""
    given = {"max_new_tokens": 200, **drawn}
    usual, passes = answer(decoder, GenerationOptions.create(**given))
    guessed, fewer = answer(decoder, GenerationOptions.create(prompt_lookup=guesses, **given))
    assert guessed == usual
    assert fewer <= passes


def test_right_guesses_save_passes(decoder: Decoder) -> None:
    """A greedy toy soon goes round in circles."""
    usual, passes = answer(decoder, GenerationOptions.create(max_new_tokens=60))
    guessed, fewer = answer(decoder, GenerationOptions.create(max_new_tokens=60, prompt_lookup=10))
    assert (guessed, passes) == (usual, 60)
    assert fewer < 40


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_what_is_kept_holds_no_guess(decoder: Decoder, cut: int) -> None:
    """The next turn goes on from what was said, wherever the reader left."""
    options = GenerationOptions.create(max_new_tokens=cut, prompt_lookup=10)
    engine = Engine(decoder, frozenset({3}), remembered=2**20)
    said, _ = answer(decoder, options, PROMPT, engine)
    longer = [*PROMPT, *said, 2, 4]
    assert answer(decoder, options, longer, engine)[0] == answer(decoder, options, longer)[0]


def test_windows_cannot_guess() -> None:
    decoder = TransformersDecoder(MISTRAL).eval()
    with pytest.raises(OptionError, match="no prompt lookup"):
        answer(decoder, GenerationOptions.create(prompt_lookup=2))


@pytest.mark.parametrize(
    ("ids", "count", "expected"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], 2, [4, 5]),
        ([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 2, [5, 1]),
        ([1, 2, 3, 9, 2, 3, 8, 1, 2, 3], 1, [9]),
        ([7, 2, 3, 9, 5, 2, 3], 9, [9, 5, 2, 3]),
        ([7, 7, 7], 2, [7]),
        ([1, 2, 3], 4, []),
        ([1, 2, 1, 2], 0, []),
        ([1], 3, []),
        ([], 3, []),
    ],
    ids=["three", "the latest", "three before two", "two", "overlapping", "nothing", "none wanted", "short", "empty"],
)
def test_what_followed_before_is_guessed_to_follow(ids: list[int], count: int, expected: list[int]) -> None:
    assert look_up(ids, count) == expected
