"""Many chats over one engine: what each gets is what it would get alone."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from mmchat.config import GenerationOptions
from mmchat.errors import BusyError, ContextError, FailureError, MmchatError
from mmchat.generation import scheduler as module
from mmchat.generation.engine import Engine
from mmchat.generation.running import Answer
from mmchat.generation.scheduler import Scheduler
from mmchat.model.decoder import Decoder, answering_decoder
from mmchat.model.lean import LeanBatch, LeanDecoder
from mmchat.model.placement import ON_CPU
from mmchat.model.sequence import MixedSequence
from mmchat.model.transformers_decoder import TransformersDecoder

V, CONTEXT = 80, 160
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "n_positions": CONTEXT,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
}
STOP = frozenset({3})
PATIENCE = 20.0
PROMPTS = [[5, 17, 17, 42, 63, 8, 9], [11], list(range(10, 75)), [1, 2, 4, 8, 16, 32, 64], [70, 60, 50]]
OPTIONS = [
    GenerationOptions.create(max_new_tokens=40),
    GenerationOptions.create(max_new_tokens=7),
    GenerationOptions.create(max_new_tokens=60, temperature=1.3, top_p=0.9),
    GenerationOptions.create(max_new_tokens=25, repetition_penalty=1.4),
    GenerationOptions.create(max_new_tokens=30, prompt_lookup=4),
]


@pytest.fixture(scope="module", params=["lean", "transformers"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """The second reads one conversation at a time."""
    torch.manual_seed(0)
    reference = TransformersDecoder(GPT2).eval()
    return reference if request.param == "transformers" else lean_of(reference)


@pytest.fixture(scope="module")
def lean() -> LeanDecoder:
    torch.manual_seed(0)
    return lean_of(TransformersDecoder(GPT2))


def lean_of(reference: TransformersDecoder) -> LeanDecoder:
    decoder = answering_decoder(GPT2, ON_CPU)
    assert isinstance(decoder, LeanDecoder)
    decoder.load_weights(reference.state_dict(), ON_CPU)
    return decoder.eval()


def embedded(decoder: Decoder, ids: list[int]) -> Callable[[], Tensor]:
    return lambda: decoder.embed(torch.tensor([ids]))


def ask(scheduler: Scheduler, ids: list[int], options: GenerationOptions, seed: int = 0) -> Answer:
    prefill = scheduler.prefill(embedded(scheduler.engine.decoder, ids))
    return scheduler.answer(prefill, ids, options, seed)


def alone(decoder: Decoder, ids: list[int], options: GenerationOptions, seed: int = 0) -> list[int]:
    engine = Engine(decoder, STOP)
    with torch.inference_mode():
        return list(engine.decode(engine.prefill(decoder.embed(torch.tensor([ids]))), ids, options, seed))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and positions of each pass of a lean decoder."""
    passes: list[tuple[int, int]] = []
    usual = LeanDecoder.read

    def counted(self: LeanDecoder, embeddings: Tensor, *given: Any, **more: Any) -> Tensor:
        passes.append((embeddings.shape[0], embeddings.shape[1]))
        return usual(self, embeddings, *given, **more)

    monkeypatch.setattr(LeanDecoder, "read", counted)
    return passes


@pytest.fixture
def gate(lean: LeanDecoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Closed, no pass is taken; so that all that is asked meanwhile waits together."""
    gate = threading.Event()
    usual = LeanDecoder.read

    def held(self: LeanDecoder, *given: Any, **more: Any) -> Tensor:
        assert gate.wait(PATIENCE)
        return usual(self, *given, **more)

    monkeypatch.setattr(LeanDecoder, "read", held)
    yield gate
    gate.set()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def test_answers_together_equal_answers_alone(decoder: Decoder) -> None:
    """Other prompts, lengths, options and seeds; asked at once, so that they join and leave at any token."""
    expected = [alone(decoder, ids, how, 7) for ids, how in zip(PROMPTS, OPTIONS, strict=True)]
    assert len({len(ids) for ids in expected}) > 2, "all end together, so that this test shows little"
    scheduler = Scheduler(lambda: Engine(decoder, STOP))
    for _ in range(3):
        with ThreadPoolExecutor(len(PROMPTS)) as threads:
            asked = [
                threads.submit(lambda ids, how: list(ask(scheduler, ids, how, 7)), ids, how)
                for ids, how in zip(PROMPTS, OPTIONS, strict=True)
            ]
            assert [each.result(PATIENCE) for each in asked] == expected


def test_more_answers_than_rows_take_turns(decoder: Decoder) -> None:
    scheduler = Scheduler(lambda: Engine(decoder, STOP), rows=2)
    prefill = scheduler.prefill(embedded(decoder, PROMPTS[0]))
    sampled = GenerationOptions.create(max_new_tokens=20, temperature=1.0)
    answers = [scheduler.answer(prefill, PROMPTS[0], sampled, seed) for seed in range(7)]
    assert [list(answer) for answer in answers] == [alone(decoder, PROMPTS[0], sampled, seed) for seed in range(7)]
    assert all(answer.finish_reason in ("stop", "length") for answer in answers)


def test_a_pass_reads_a_token_of_each(lean: LeanDecoder, passes: list[tuple[int, int]]) -> None:
    """Four answers of nine tokens from one prompt: the first token comes with the prompt."""
    scheduler = Scheduler(lambda: Engine(lean, frozenset()))
    prefill = scheduler.prefill(embedded(lean, PROMPTS[0]))
    ready = threading.Event()
    with ThreadPoolExecutor(1) as other:
        other.submit(scheduler.run, lambda: ready.wait(PATIENCE))
        answers = [
            scheduler.answer(prefill, PROMPTS[0], GenerationOptions.create(max_new_tokens=9), seed) for seed in range(4)
        ]
        ready.set()
        assert [len(list(answer)) for answer in answers] == [9, 9, 9, 9]
    assert passes == [(1, 7), *[(4, 1)] * 8]


def test_a_long_prompt_does_not_stall_an_answer(
    lean: LeanDecoder, passes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chunks and the tokens of the other take turns; it says what it says when it is read at once."""
    monkeypatch.setattr(module, "CHUNK", 20)
    long = list(range(5, 75))
    expected = alone(lean, long, OPTIONS[1])
    passes.clear()
    scheduler = Scheduler(lambda: Engine(lean, STOP))
    running = ask(scheduler, PROMPTS[1], GenerationOptions.create(max_new_tokens=150))
    next(running)
    assert list(ask(scheduler, long, OPTIONS[1])) == expected
    running.close()
    chunks = [index for index, (_, positions) in enumerate(passes) if positions > 1]
    assert [passes[index][1] for index in chunks] == [20, 20, 20, 10]
    between = [passes[first + 1 : last] for first, last in itertools.pairwise(chunks)]
    assert between == [[(1, 1)]] * 3


def test_a_prompt_is_read_at_once_where_nobody_else_waits(
    lean: LeanDecoder, passes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 20)
    Scheduler(lambda: Engine(lean, STOP)).prefill(embedded(lean, list(range(5, 75))))
    assert passes == [(1, 70)]


def test_a_closed_answer_costs_nothing_more(decoder: Decoder) -> None:
    scheduler = Scheduler(lambda: Engine(decoder, frozenset()))
    answer = ask(scheduler, PROMPTS[0], GenerationOptions.create(max_new_tokens=150))
    next(answer)
    answer.close()
    assert list(ask(scheduler, PROMPTS[1], OPTIONS[1])) == alone_without_stop(decoder, PROMPTS[1], OPTIONS[1])
    wait_until(lambda: not scheduler._loop.running)
    told = 1
    while not answer._drawn.empty():
        answer._drawn.get()
        told += 1
    assert told < 150


def alone_without_stop(decoder: Decoder, ids: list[int], options: GenerationOptions) -> list[int]:
    engine = Engine(decoder, frozenset())
    with torch.inference_mode():
        return list(engine.decode(engine.prefill(decoder.embed(torch.tensor([ids]))), ids, options, 0))


def test_a_full_queue_refuses(lean: LeanDecoder, gate: threading.Event) -> None:
    """One is being read, two wait, and the next is told so at once; later there is room again."""
    scheduler = Scheduler(lambda: Engine(lean, STOP), waiting=3)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(scheduler.prefill, embedded(lean, PROMPTS[0])) for _ in range(3)]
        wait_until(lambda: len(scheduler._loop._prompts) == 3)
        with pytest.raises(BusyError, match="0 questions are being answered and 3 wait: ask again later"):
            scheduler.prefill(embedded(lean, PROMPTS[1]))
        gate.set()
        assert [each.result(PATIENCE).length for each in waiting] == [7, 7, 7]
    assert scheduler.prefill(embedded(lean, PROMPTS[1])).length == 1


def test_what_goes_wrong_arrives_where_it_was_asked(decoder: Decoder) -> None:
    """And nowhere else: the next question is answered."""
    scheduler = Scheduler(lambda: Engine(decoder, STOP))
    with pytest.raises(ContextError, match=f"takes {CONTEXT} tokens"):
        scheduler.prefill(embedded(decoder, [1] * CONTEXT))

    def fails() -> None:
        raise MmchatError("mine")

    with pytest.raises(MmchatError, match="mine"):
        scheduler.run(fails)
    with pytest.raises(MmchatError, match="mine"):
        scheduler.prefill(fails)  # type: ignore[arg-type]
    assert list(ask(scheduler, PROMPTS[1], OPTIONS[1])) == alone(decoder, PROMPTS[1], OPTIONS[1])


def test_logits_that_are_no_numbers_end_the_answer_they_belong_to(lean: LeanDecoder) -> None:
    scheduler = Scheduler(lambda: Engine(lean, STOP))
    whole = scheduler.prefill(embedded(lean, PROMPTS[0]))
    broken = scheduler.prefill(lambda: torch.full((1, 4, 32), float("nan")))
    for how in (OPTIONS[0], OPTIONS[2]):
        good = scheduler.answer(whole, PROMPTS[0], how, 0)
        bad = scheduler.answer(broken, [1, 2, 3, 4], how, 0)
        with pytest.raises(FailureError, match="not a number"):
            list(bad)
        assert list(good) == alone(lean, PROMPTS[0], how)


@pytest.mark.parametrize(
    ("raised", "told", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), FailureError, "^the memory is full: ask for less at once"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), FailureError, "^the memory is full"),
        (RuntimeError("another riddle"), RuntimeError, "^another riddle$"),
    ],
    ids=["cuda", "cpu", "other"],
)
def test_a_pass_that_fails_is_said_to_all_that_shared_it(
    lean: LeanDecoder, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: type[Exception], words: str
) -> None:
    """And to nobody else: a prompt that is too much for the memory is that question's error."""
    scheduler = Scheduler(lambda: Engine(lean, STOP))
    prefill = scheduler.prefill(embedded(lean, PROMPTS[0]))

    def fails(self: LeanDecoder, *given: Any, **more: Any) -> Tensor:
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(LeanDecoder, "read", fails)
        answers = [scheduler.answer(prefill, PROMPTS[0], OPTIONS[0], seed) for seed in range(2)]
        for answer in answers:
            with pytest.raises(told, match=words):
                list(answer)
        with pytest.raises(told, match=words):
            scheduler.prefill(embedded(lean, PROMPTS[1]))
    assert list(ask(scheduler, PROMPTS[0], OPTIONS[0])) == alone(lean, PROMPTS[0], OPTIONS[0])


@pytest.mark.parametrize("where", ["add", "take"])
def test_an_answer_that_cannot_be_copied_is_told_so(
    lean: LeanDecoder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Into the batch or out of it: nobody waits for ever, and the thread goes on."""
    scheduler = Scheduler(lambda: Engine(lean, STOP))
    prefill = scheduler.prefill(embedded(lean, PROMPTS[0]))

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(LeanBatch, where, full)
        with pytest.raises(FailureError, match=r"^the memory is full"):
            list(scheduler.answer(prefill, PROMPTS[0], OPTIONS[1], 0))
    assert list(ask(scheduler, PROMPTS[0], OPTIONS[1])) == alone(lean, PROMPTS[0], OPTIONS[1])


def test_what_was_read_of_an_answer_is_remembered(lean: LeanDecoder, passes: list[tuple[int, int]]) -> None:
    """A next turn reads what is new, and the last token of the answer, which nobody had to read."""
    scheduler = Scheduler(lambda: Engine(lean, frozenset(), remembered=2**24))

    def turn(ids: list[int]) -> list[int]:
        sequence = MixedSequence(tuple(ids), tuple(ids), ())
        prefill = scheduler.prefill(embedded(lean, ids), sequence)
        return list(scheduler.answer(prefill, ids, GenerationOptions.create(max_new_tokens=9), 0))

    answer = turn(PROMPTS[0])
    passes.clear()
    turn([*PROMPTS[0], *answer, 20, 21])
    assert passes[0] == (1, 3)


def test_the_engine_is_loaded_in_the_thread_that_uses_it(lean: LeanDecoder) -> None:
    """With OpenMP another thread's team of threads would be in the way."""
    threads = []

    def load() -> Engine:
        threads.append(threading.current_thread())
        return Engine(lean, STOP)

    scheduler = Scheduler(load)
    scheduler.run(lambda: threads.append(threading.current_thread()))
    assert threads[0] is threads[1] is not threading.current_thread()


def test_an_engine_that_cannot_be_loaded_is_said() -> None:
    def load() -> Engine:
        raise MmchatError("no such weights")

    with pytest.raises(MmchatError, match="no such weights"):
        Scheduler(load)


def test_the_thread_ends_with_its_scheduler(decoder: Decoder) -> None:
    def engines() -> int:
        return sum(thread.name == "mmchat-engine" for thread in threading.enumerate())

    gc.collect()
    before = engines()
    scheduler = Scheduler(lambda: Engine(decoder, STOP))
    list(ask(scheduler, PROMPTS[0], OPTIONS[0]))
    assert engines() == before + 1
    del scheduler
    gc.collect()
    assert engines() == before
