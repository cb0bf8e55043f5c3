"""How fast a model answers, and how much of what the machine gives that is.

Figures are medians, but for loading, which is done once; what is compared is measured in turns within one run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmchat.assistant import Assistant, Reply
from mmchat.config import GenerationOptions
from mmchat.evaluation.baseline import generate
from mmchat.evaluation.bench_chats import Throughput
from mmchat.evaluation.bench_starts import QUESTION, Starts
from mmchat.evaluation.timing import Progress, Run, copy_rate, seconds
from mmchat.generation.engine import Prefill
from mmchat.generation.scheduler import Scheduler
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.model.transformers_decoder import TransformersDecoder

TURNS = (2, 8, 32)
VOICE_SECONDS = (2, 30)
_PROMPT = 32
_TOKENS = 128


@dataclass(frozen=True)
class DecodeSpeed:
    """One answer after another, of a fixed length."""

    tokens_per_second: float
    ratio: float | None
    """Over transformers' `generate`, at the faster of its types of number."""
    baseline_tokens_per_second: dict[str, float]
    """Of `generate`, by type of number."""
    bandwidth_share: float
    """Of the speed at which weights and cache could be copied."""


@dataclass(frozen=True)
class Bench:
    """What was measured; None and empty where it was not."""

    model: str
    device: str
    dtype: str
    quantization: str | None
    threads: int
    decode: DecodeSpeed
    load_s: float | None = None
    ttft_ms: dict[str, float] | None = None
    """From question to first token, by what was asked with."""
    next_turn_ms: dict[int, float] | None = None
    """The same of a turn in a conversation that began with a picture, by its number; 1 reads the picture."""
    chats: dict[int, Throughput] | None = None
    starts: Starts | None = None

    @property
    def cold_start_ratio(self) -> float | None:
        """How many times sooner `mmchat ask` ends than the script."""
        return None if self.starts is None else _times_sooner(self.starts.text, self.starts.script)

    @property
    def warm_start_ratio(self) -> float | None:
        """The same with a warm server."""
        return None if self.starts is None else _times_sooner(self.starts.warm, self.starts.script)

    @property
    def peak_bytes(self) -> int | None:
        """Of `mmchat ask`, with a picture where the model takes one."""
        return None if self.starts is None else (self.starts.picture or self.starts.text).peak_bytes

    @property
    def peak_ratio(self) -> float | None:
        """How many times that the script takes."""
        if self.peak_bytes is None or self.starts is None or self.starts.script is None:
            return None
        return self.starts.script.peak_bytes / self.peak_bytes

    @property
    def next_turn_ratio(self) -> float | None:
        """How many times sooner the first token of a second turn comes than that of the first."""
        return None if self.next_turn_ms is None else self.next_turn_ms[1] / self.next_turn_ms[2]

    @property
    def chats8_ratio(self) -> float | None:
        """Tokens a second of eight chats together over those of one."""
        if self.chats is None:
            return None
        return self.chats[8].tokens_per_second / self.chats[1].tokens_per_second

    def to_json(self) -> str:
        """One line for programs."""
        figures: dict[str, Any] = {
            "model": self.model,
            "device": self.device,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "threads": self.threads,
            "cold_start_s": None if self.starts is None else self.starts.text.seconds,
            "cold_start_ratio": self.cold_start_ratio,
            "warm_start_s": None if self.starts is None or self.starts.warm is None else self.starts.warm.seconds,
            "warm_start_ratio": self.warm_start_ratio,
            "load_s": self.load_s,
            "ttft_ms": self.ttft_ms,
            "next_turn_ms": self.next_turn_ms,
            "next_turn_ratio": self.next_turn_ratio,
            "decode_tok_s": self.decode.tokens_per_second,
            "decode_ratio": self.decode.ratio,
            "baseline_tok_s": self.decode.baseline_tokens_per_second,
            "bandwidth_share": self.decode.bandwidth_share,
            "chats": {count: asdict(each) for count, each in (self.chats or {}).items()},
            "chats8_ratio": self.chats8_ratio,
            "peak_mb": None if self.peak_bytes is None else self.peak_bytes / 1e6,
            "peak_ratio": self.peak_ratio,
        }
        return json.dumps(figures)


def _times_sooner(run: Run | None, other: Run | None) -> float | None:
    return None if run is None or other is None else other.seconds / run.seconds


def decode_speed(
    scheduler: Scheduler, references: Sequence[TransformersDecoder], repeats: int, progress: Progress
) -> DecodeSpeed:
    """Time answers of a fixed length to a prompt of ids, all in the thread of the scheduler.

    Args:
        scheduler: of an engine without ids that end an answer.
        references: what transformers makes of the same weights, in other types of number where that may be faster.
        repeats: of each measurement.
        progress: told what is done.
    """
    decoder = scheduler.engine.decoder
    count = min(_TOKENS, decoder.context - _PROMPT)
    ids = [1 + position % (decoder.vocab_size - 1) for position in range(_PROMPT)]
    options = GenerationOptions.create(max_new_tokens=count)

    def read() -> Prefill:
        return scheduler.prefill(lambda: decoder.embed(torch.tensor([ids], device=decoder.device)))

    def answer() -> None:
        assert len(list(scheduler.answer(read(), ids, options, seed=0))) == count

    generates = [partial(generate, each, ids, count) for each in references]
    runs: list[Callable[[], None]] = [answer, *(partial(scheduler.run, each) for each in generates)]
    times: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 1):
        for run, taken in zip(runs, times, strict=True):
            taken.append(seconds(run))
        progress("decode", repeat, repeats)
    ours, *theirs = [taken[1:] for taken in times]  # the first of each warms up
    bytes_a_token = decoder.bytes_read + read().cache.position_bytes * (_PROMPT + count / 2)
    fastest = min(theirs, key=median, default=None)
    return DecodeSpeed(
        tokens_per_second=count / median(ours),
        ratio=None if fastest is None else median(b / a for a, b in zip(ours, fastest, strict=True)),
        baseline_tokens_per_second={
            str(each.dtype).removeprefix("torch."): count / median(taken)
            for each, taken in zip(references, theirs, strict=True)
        },
        bandwidth_share=bytes_a_token / scheduler.run(partial(copy_rate, decoder.device)) * count / median(ours),
    )


class AssistantBench:
    """What users wait for, on a loaded assistant. Nothing is asked twice: what was read is remembered."""

    def __init__(self, assistant: Assistant, repeats: int, progress: Progress) -> None:
        self._assistant = assistant
        self._repeats = repeats
        self._progress = progress
        self._random = np.random.default_rng(0)
        about = assistant.describe()
        self._sees = about.tokens_per_image is not None
        self._hears = about.tokens_per_second is not None or about.transcriber is not None

    def first_tokens(self) -> dict[str, float]:
        """Milliseconds to the first token of a first turn, by what it holds."""
        kinds: dict[str, Callable[[], list[Any]]] = {"text": lambda: [f"{self._number()} {QUESTION}"]}
        if self._sees:
            kinds["picture"] = lambda: ["what is this?", self._picture()]
        if self._hears:
            kinds |= {f"voice_{length}s": partial(self._spoken, length) for length in VOICE_SECONDS}
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for repeat in range(self._repeats + 1):
            for kind, parts in kinds.items():
                taken[kind].append(self._wait(Message.user(*parts())).timing.first_token_s)
            self._progress("first token", repeat, self._repeats)
        return {kind: 1000 * median(each[1:]) for kind, each in taken.items()}

    def turns(self) -> dict[int, float]:
        """Milliseconds to the first token of a turn, by its number."""
        taken: dict[int, list[float]] = {turn: [] for turn in (1, *TURNS)}
        for repeat in range(self._repeats + 1):
            conversation: list[Message] = []
            for turn in range(1, TURNS[-1] + 1):
                opening = [self._picture()] if turn == 1 and self._sees else []
                conversation.append(Message.user(*opening, "and?" if turn > 1 else f"{self._number()} what is this?"))
                reply = self._wait(*conversation)
                conversation.append(Message.assistant(reply.text.strip() or "yes"))
                if turn in taken and repeat:
                    taken[turn].append(reply.timing.first_token_s)
            self._progress("turns", repeat, self._repeats)
        return {turn: 1000 * median(each) for turn, each in taken.items()}

    def _wait(self, *conversation: Message) -> Reply:
        """For the first tokens of an answer, which are few."""
        return self._assistant.reply(list(conversation), max_new_tokens=2)

    def _number(self) -> str:
        return str(self._random.integers(10**6))

    def _picture(self) -> ImagePart:
        return ImagePart.from_pil(Image.fromarray(self._random.integers(0, 256, (240, 320, 3), dtype=np.uint8)))

    def _spoken(self, length: int) -> list[AudioPart]:
        samples = self._random.normal(0, 0.1, length * SAMPLE_RATE).astype(np.float32)
        return [AudioPart.from_waveform(samples, SAMPLE_RATE)]
