"""What is timed, and that both sides do the same work; how fast they are is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmchat.assistant import Assistant
from mmchat.checkpoints.store import Checkpoint
from mmchat.errors import FailureError, OptionError
from mmchat.evaluation import bench as module
from mmchat.evaluation import bench_chats
from mmchat.evaluation.baseline import SCRIPT, generate, reference_decoder, save_for_transformers
from mmchat.evaluation.bench import AssistantBench, Bench, DecodeSpeed, decode_speed
from mmchat.evaluation.bench_chats import Throughput, chats_speed
from mmchat.evaluation.bench_report import to_text
from mmchat.evaluation.bench_run import bench_model, bench_shape
from mmchat.evaluation.bench_starts import QUESTION, Starts
from mmchat.evaluation.shapes import SHAPES, RandomWeights
from mmchat.evaluation.timing import Run, copy_rate, process
from mmchat.generation.engine import Engine
from mmchat.generation.scheduler import Scheduler
from mmchat.model.architecture import architecture_of
from mmchat.model.lean import LeanDecoder
from mmchat.model.placement import ON_CPU, Placement

CPU = torch.device("cpu")


def silent(what: str, done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of positions that each pass of a lean decoder read."""
    reads: list[int] = []
    usual = LeanDecoder.read

    def counted(self: LeanDecoder, embeddings: torch.Tensor, *given: object, **more: object) -> object:
        reads.append(embeddings.shape[1])
        return usual(self, embeddings, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LeanDecoder, "read", counted)
    return reads


def test_an_answer_of_a_fixed_length_is_timed(tiny_checkpoint: Path, reads: list[int]) -> None:
    """The prompt in one pass, then a token a pass; the last is not read again."""
    checkpoint = Checkpoint(tiny_checkpoint)
    reference = reference_decoder(checkpoint, ON_CPU)
    theirs: list[int] = []
    reference.lm.register_forward_pre_hook(lambda *_: theirs.append(1))
    scheduler = Scheduler(lambda: Engine(checkpoint.load().decoder, frozenset()))
    speed = decode_speed(scheduler, [reference], repeats=1, progress=silent)
    once = [32] + 127 * [1]
    assert reads == [*once, *once, 32]
    assert len(theirs) == 2 * 128
    assert list(speed.baseline_tokens_per_second) == ["float32"]
    assert speed.ratio is not None
    assert min(speed.tokens_per_second, speed.ratio, speed.bandwidth_share) > 0


def test_the_script_says_what_the_assistant_says(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Otherwise the time that it takes would be that of something else."""
    save_for_transformers(Checkpoint(tiny_checkpoint), tmp_path)
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), QUESTION], capture_output=True, text=True, check=True
    ).stdout
    ours = Assistant.load(tiny_checkpoint, device="cpu").reply(QUESTION, max_new_tokens=128)
    assert ours.usage.completion_tokens > 10
    assert said == ours.text + "\n"


def test_generate_ends_neither_sooner_nor_later(tiny_checkpoint: Path) -> None:
    reference = reference_decoder(Checkpoint(tiny_checkpoint), ON_CPU)
    calls: list[int] = []
    reference.lm.register_forward_pre_hook(lambda *_: calls.append(1))
    generate(reference, [5, 6, 7], 40)
    assert len(calls) == 40


def test_nothing_is_asked_twice(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that was read before would come out of memory."""
    monkeypatch.setattr(module, "TURNS", (2, 4))
    asked: list[tuple[object, ...]] = []
    usual = Assistant.reply

    def heard(self: Assistant, conversation: object, **options: object) -> object:
        reply = usual(self, conversation, **options)  # type: ignore[arg-type]
        asked.append((str(conversation), tuple(self._media._tokens)))
        return reply

    monkeypatch.setattr(Assistant, "reply", heard)
    measure = AssistantBench(Assistant.load(tiny_checkpoint, device="cpu"), repeats=1, progress=silent)
    first = measure.first_tokens()
    assert list(first) == ["text", "picture", "voice_2s", "voice_30s"]
    assert list(measure.turns()) == [1, 2, 4]
    assert len(asked) == 2 * 4 + 2 * 4
    assert len(set(asked)) == len(asked)
    assert len(asked[-1][1]) == 2 * 3 + 2, "each picture and clip is another"


def test_chats_at_once_share_their_passes(
    tiny_checkpoint: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each asks three questions, answered by 64 tokens: a pass for the prompt and one for each token but the last."""
    monkeypatch.setattr(bench_chats, "CHATS", (1, 3))
    scheduler = Scheduler(lambda: Engine(Checkpoint(tiny_checkpoint).load().decoder, frozenset()))
    speeds = chats_speed(scheduler, repeats=1, progress=silent)
    assert list(speeds) == [1, 3]
    assert reads.count(32) == 2 * (3 + 9)
    assert reads.count(1) < 2 * (3 + 9) * 63, "every answer had passes of its own"
    assert all(min(each.tokens_per_second, each.p95_s) > 0 for each in speeds.values())


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_are_known_to_the_lean_decoder(name: str) -> None:
    assert architecture_of(SHAPES[name]) is not None


def test_random_weights_are_the_same_each_time() -> None:
    weights = RandomWeights({"a": (3, 4), "b": (3, 4)}, Placement(dtype=torch.bfloat16))
    assert weights["a"].shape == (3, 4)
    assert weights["a"].dtype == torch.bfloat16
    assert torch.equal(weights["a"], weights["a"])
    assert not torch.equal(weights["a"], weights["b"])


def test_a_size_is_timed_beside_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        SHAPES, "toy", {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16, "vocab_size": 50}
    )
    result = bench_shape("toy", beside=True, place=ON_CPU, repeats=1, progress=silent)
    assert result.model == "toy, random weights"
    assert list(result.decode.baseline_tokens_per_second) == ["float32"]
    with pytest.raises(OptionError, match="unknown size 'huge': use gpt2, gpt2-medium, llama-1b, llama-7b, toy"):
        bench_shape("huge", beside=False, place=ON_CPU, repeats=1, progress=silent)


def test_all_of_a_model_is_timed(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURNS", (2,))
    monkeypatch.setattr(bench_chats, "CHATS", (1, 8))
    result = bench_model(str(tiny_checkpoint), beside=True, place=ON_CPU, repeats=1, progress=silent)
    figures = json.loads(result.to_json())
    assert {
        "cold_start_s", "ttft_ms", "next_turn_ratio", "decode_tok_s", "decode_ratio", "bandwidth_share", "chats8_ratio",
        "warm_start_s", "peak_mb", "device",
    } <= figures.keys()  # fmt: skip
    assert not [name for name, figure in figures.items() if figure is None and name != "quantization"]
    assert (figures["model"], figures["device"], figures["dtype"]) == ("tiny", "cpu", "float32")


RESULT = Bench(
    model="toy",
    device="cpu",
    dtype="float32",
    quantization=None,
    threads=2,
    decode=DecodeSpeed(200.0, 2.5, {"float32": 80.0}, 0.5),
    load_s=0.25,
    ttft_ms={"text": 5.0, "voice_2s": 20.0},
    next_turn_ms={1: 20.0, 2: 4.0, 8: 4.0, 32: 5.0},
    chats={1: Throughput(100.0, 0.5), 8: Throughput(300.0, 1.5)},
    starts=Starts(
        text=Run(1.0, 300_000_000),
        picture=Run(2.0, 400_000_000),
        warm=Run(0.25, 50_000_000),
        script=Run(4.0, 600_000_000),
    ),
)


def test_ratios_say_how_many_times_better() -> None:
    figures = json.loads(RESULT.to_json())
    ratios = {name: figure for name, figure in figures.items() if name.endswith("ratio")}
    assert ratios == {
        "cold_start_ratio": 4.0,
        "warm_start_ratio": 16.0,
        "next_turn_ratio": 5.0,
        "decode_ratio": 2.5,
        "chats8_ratio": 3.0,
        "peak_ratio": 1.5,
    }
    assert figures["peak_mb"] == 400.0


def test_the_table_reads_well() -> None:
    assert to_text(RESULT) == (
        "toy on cpu, float32, 2 CPU threads\n"
        "\n"
        "what                              figure  over transformers\n"
        "mmchat ask, whole process         1.00 s              4.0 ×\n"
        "the same with a warm server       0.25 s             16.0 ×\n"
        "its peak memory, with a picture   400 MB              1.5 ×\n"
        "loading                           0.25 s\n"
        "first token, text                 5.0 ms\n"
        "first token, voice 2s            20.0 ms\n"
        "first token, turn 1              20.0 ms\n"
        "first token, turn 2               4.0 ms\n"
        "first token, turn 8               4.0 ms\n"
        "first token, turn 32              5.0 ms\n"
        "tokens a second                      200              2.5 ×\n"
        "share of memory bandwidth            50%\n"
        "tokens a second, 1 chat              100\n"
        "95 % of answers, 1 chat           0.50 s\n"
        "tokens a second, 8 chats             300\n"
        "95 % of answers, 8 chats          1.50 s"
    )


def test_a_process_is_measured_whole() -> None:
    small = process(["-c", "pass"])
    large = process(["-c", "import time; held = bytearray(b'1') * 200_000_000; time.sleep(0.3)"])
    assert large.peak_bytes - small.peak_bytes == pytest.approx(200_000_000, rel=0.1)
    assert large.seconds > 0.3


def test_a_process_that_fails_is_no_measurement() -> None:
    with pytest.raises(FailureError, match=r"a process ended with 1: .*ZeroDivisionError"):
        process(["-c", "1 / 0"])


def test_a_copy_moves_bytes() -> None:
    assert copy_rate(CPU, repeats=1) > 1e8
