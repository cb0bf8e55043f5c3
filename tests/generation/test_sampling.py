"""Sampling beside the logits processors of transformers, on random logits; `ours` and `theirs`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from mmchat.config import GenerationOptions
from mmchat.errors import FailureError
from mmchat.generation.sampling import (
    Sampler,
    draw_each,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    seeded_generator,
    seen_mask,
)

CPU = torch.device("cpu")
V = 50
PROMPT = [3, 3, 7, 20, 49]


@pytest.fixture(params=range(5))
def logits(request: pytest.FixtureRequest) -> Tensor:
    return 4 * torch.randn(V, generator=seeded_generator(request.param, CPU))


def draw(logits: Tensor, seed: int = 0, prompt: list[int] | None = None, **options: float) -> int:
    return Sampler(GenerationOptions.create(**options), seed, prompt or [], logits.shape[-1], CPU).draw(logits)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3, 2.0])
def test_repetition_penalty_is_that_of_transformers(logits: Tensor, penalty: float) -> None:
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([PROMPT]), logits[None])[0]
    ours = penalise_repetition(logits, seen_mask(PROMPT, V, CPU), penalty)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("k", [1, 2, 10, V, 1000])
def test_top_k_is_that_of_transformers(logits: Tensor, k: int) -> None:
    assert torch.equal(keep_top_k(logits, torch.tensor([k])), TopKLogitsWarper(k)(None, logits[None])[0])


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 0.999])
def test_top_p_is_that_of_transformers(logits: Tensor, p: float) -> None:
    assert torch.equal(keep_top_p(logits, torch.tensor([p])), TopPLogitsWarper(p)(None, logits[None])[0])


@pytest.mark.parametrize(
    ("penalty", "temperature", "top_k", "top_p"),
    [(1.0, 1.0, V, 1.0), (1.5, 0.7, 8, 0.8), (1.2, 3.0, 20, 0.5), (0.8, 0.2, V, 0.95)],
)
def test_draws_are_those_of_transformers(
    logits: Tensor, penalty: float, temperature: float, top_k: int, top_p: float
) -> None:
    """The order matters: top-p before temperature, or temperature before the penalty, draws other ids."""
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(penalty),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(top_k),
            TopPLogitsWarper(top_p),
        ]
    )
    probabilities = processors(torch.tensor([PROMPT]), logits[None])[0].softmax(dim=-1)
    for seed in range(40):
        ours = draw(
            logits,
            seed,
            PROMPT,
            repetition_penalty=penalty,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        theirs = torch.multinomial(probabilities, 1, generator=seeded_generator(seed, CPU)).item()
        assert ours == theirs


def test_draws_follow_the_probabilities() -> None:
    """4,000 draws of one generator: each share lies within 4 standard deviations, at most 0.032."""
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    sampler = Sampler(GenerationOptions.create(temperature=1), 7, [], 4, CPU)
    draws = [sampler.draw(probabilities.log()) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(draws), minlength=4) / 4000
    torch.testing.assert_close(shares, probabilities, atol=0.032, rtol=0)


@pytest.mark.parametrize("top_p", [1e-9, 0.5, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 5])
def test_temperature_zero_is_the_best_whatever_else_is_set(logits: Tensor, top_p: float, top_k: int) -> None:
    """No option may turn "greedy" into a division by zero or into a draw."""
    assert {draw(logits, seed, top_p=top_p, top_k=top_k) for seed in range(20)} == {int(logits.argmax())}


def test_temperature_zero_takes_the_penalty_into_account() -> None:
    logits = torch.tensor([1.0, 3.0, 2.9])
    assert draw(logits) == 1
    assert draw(logits, prompt=[1], repetition_penalty=1.1) == 2


def test_temperature_zero_leaves_the_generator_alone(logits: Tensor) -> None:
    sampler = Sampler(GenerationOptions.create(), 0, [], V, CPU)
    before = sampler.generator.get_state()
    sampler.draw(logits)
    assert torch.equal(sampler.generator.get_state(), before)


def test_the_first_of_equal_logits_is_greedy() -> None:
    assert draw(torch.tensor([1.0, 2.0, 2.0, 2.0])) == 1


@pytest.mark.parametrize("temperature", [1e-5, 1e-7, 1e-38, 1e-45, 1e-300])
def test_a_tiny_temperature_does_not_overflow(logits: Tensor, temperature: float) -> None:
    """In float32 10 / 1e-38 is infinite and 1e-300 is 0: both would end in a torch error about probabilities
    that are NaN. Temperature goes to 0 without a jump instead."""
    assert draw(logits, temperature=temperature) == int(logits.argmax())


def test_top_k_keeps_equals_of_the_last_one() -> None:
    """As in transformers: which of two equals goes would otherwise depend on the sort of the device."""
    kept = keep_top_k(torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([2]))
    assert kept.tolist() == [-math.inf, 2.0, 2.0, 3.0]


def test_top_p_keeps_one_when_even_the_best_is_above_the_share() -> None:
    kept = keep_top_p(torch.tensor([0.0, 5.0, 1.0]), torch.tensor([1e-9]))
    assert kept.tolist() == [-math.inf, 5.0, -math.inf]


def test_repetition_penalty_makes_negative_logits_smaller_too() -> None:
    """Dividing -1 by 2 would make it more probable: the flaw of the formula as its paper prints it."""
    ours = penalise_repetition(torch.tensor([-1.0, 1.0, 5.0]), torch.tensor([True, True, False]), 2.0)
    assert ours.tolist() == [-2.0, 0.5, 5.0]


def test_ids_outside_the_vocabulary_are_not_seen() -> None:
    """A placeholder of media may have an id past the output layer, or a negative one, which as an index would
    mark an innocent id counted from the end."""
    assert seen_mask([1, 1, 5, 4, -1, -200, 900], 5, CPU).tolist() == [False, True, False, False, True]
    assert not seen_mask([], 5, CPU).any()


def test_the_same_seed_draws_the_same_and_another_one_differs() -> None:
    logits = torch.zeros(1000)
    assert draw(logits, 5, temperature=1) == draw(logits, 5, temperature=1)
    assert len({draw(logits, seed, temperature=1) for seed in range(20)}) > 15


def test_the_largest_seeds_are_accepted() -> None:
    """Options allow seeds below 2**63, and several answers count on from there."""
    assert seeded_generator(2**63 + 10, CPU).initial_seed() != seeded_generator(2**63 + 11, CPU).initial_seed()


def test_draws_neither_move_nor_follow_the_global_generator() -> None:
    """A seed means the same answer again even when something else in the process draws random numbers."""
    logits = torch.zeros(1000)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(logits, 5, temperature=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert draw(logits, 5, temperature=1) == first


def test_half_precision_logits_are_worked_on_in_float32() -> None:
    """8 / 1.002 is 7.984, still the best; bfloat16 has nothing between 7.969 and 8 and makes it a tie."""
    logits = torch.tensor([7.96875, 8.0], dtype=torch.bfloat16)
    assert draw(logits, prompt=[1], repetition_penalty=1.002) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_a_clear_error(bad: float, temperature: float) -> None:
    """argmax takes NaN for the largest number: greedy decoding would go on with garbage and say nothing."""
    with pytest.raises(FailureError, match="not a number"):
        draw(torch.tensor([0.0, bad, 1.0]), temperature=temperature)


def test_a_vocabulary_that_is_masked_out_is_a_clear_error() -> None:
    with pytest.raises(FailureError, match="not a number"):
        draw(torch.full((3,), -math.inf), temperature=1)


def test_ids_that_are_masked_out_are_never_drawn() -> None:
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 0.0])
    assert {draw(logits, seed, temperature=2) for seed in range(50)} == {1, 3}


MIXED: list[dict[str, float]] = [
    {},
    {"temperature": 0.7, "top_k": 8, "top_p": 0.8, "repetition_penalty": 1.5},
    {"temperature": 2.0},
    {"repetition_penalty": 1.8},
    {"temperature": 1.0, "top_k": 3},
    {"temperature": 1.3, "top_p": 0.4},
]


def test_answers_drawn_together_are_those_drawn_alone() -> None:
    """Each with options, a seed and a prompt of its own; what was drawn counts as seen."""
    steps = 4 * torch.randn(12, len(MIXED), V, generator=seeded_generator(0, CPU))

    def samplers() -> list[Sampler]:
        return [Sampler(GenerationOptions.create(**each), seed, PROMPT, V, CPU) for seed, each in enumerate(MIXED)]

    together, alone = samplers(), samplers()
    drawn = [draw_each(logits, together) for logits in steps]
    assert drawn == [[sampler.draw(row) for sampler, row in zip(alone, logits, strict=True)] for logits in steps]
    assert len({id_ for ids in drawn for id_ in ids}) > 10


def test_one_without_numbers_is_the_only_one_that_fails() -> None:
    logits = torch.tensor([[0.0, 9.0], [math.nan, 1.0], [9.0, 0.0]])
    for temperature in (0.0, 1e-3):
        first, second, third = draw_each(
            logits, [Sampler(GenerationOptions.create(temperature=temperature), 0, [], 2, CPU) for _ in range(3)]
        )
        assert (first, third) == (1, 0)
        assert isinstance(second, FailureError)
