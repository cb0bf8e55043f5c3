"""All that `mmchat bench` measures, of a model or of a size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from mmchat.assistant import Assistant
from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.memory import fitted
from mmchat.checkpoints.public import open_checkpoint
from mmchat.errors import OptionError
from mmchat.evaluation.baseline import SCRIPT, reference_decoder, save_for_transformers
from mmchat.evaluation.bench import AssistantBench, Bench, DecodeSpeed, decode_speed
from mmchat.evaluation.bench_chats import CHATS, Throughput, chats_speed
from mmchat.evaluation.bench_starts import starts
from mmchat.evaluation.shapes import SHAPES, RandomWeights
from mmchat.evaluation.timing import Progress, seconds
from mmchat.generation.engine import Engine
from mmchat.generation.scheduler import Scheduler
from mmchat.model.decoder import Decoder, answering_decoder
from mmchat.model.placement import Placement
from mmchat.model.transformers_decoder import TransformersDecoder

AnyDecoder = TypeVar("AnyDecoder", bound=Decoder)


def bench_model(name: str | None, *, beside: bool, place: Placement, repeats: int, progress: Progress) -> Bench:
    """Time a model: first its decoder alone, then all of it, then whole processes.

    Args:
        name: as for `Assistant.load`.
        beside: whether transformers is timed too, on the same weights.
        place: where the weights go.
        repeats: of each measurement.
        progress: told what is done.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        OptionError: it does not fit.
    """
    checkpoint = open_checkpoint(find_model(name))
    place = fitted(checkpoint, place)
    alternatives = _alternatives(place) if beside else []
    decode, chats = _decoder_alone(
        lambda: checkpoint.load(place).decoder,
        lambda: [reference_decoder(checkpoint, each) for each in alternatives],
        repeats,
        progress,
    )
    loaded: list[Assistant] = []
    load_s = seconds(lambda: loaded.append(Assistant(checkpoint, place)))
    measure = AssistantBench(loaded[0], repeats, progress)
    with tempfile.TemporaryDirectory() as folder:
        if beside:
            save_for_transformers(checkpoint, Path(folder))
        started = starts(
            _options(name, place),
            checkpoint.config.image_encoder is not None,
            (SCRIPT, Path(folder)) if beside else None,
            repeats,
            progress,
        )
    return Bench(
        model=checkpoint.config.name,
        device=str(place.device),
        dtype=str(place.dtype).removeprefix("torch."),
        quantization=place.quantization,
        threads=torch.get_num_threads(),
        decode=decode,
        load_s=load_s,
        ttft_ms=measure.first_tokens(),
        next_turn_ms=measure.turns(),
        chats=chats,
        starts=started,
    )


def bench_shape(name: str, *, beside: bool, place: Placement, repeats: int, progress: Progress) -> Bench:
    """Time a decoder with random weights, of a size of `SHAPES`; otherwise as `bench_model`.

    Raises:
        OptionError: there is no such size.
    """
    if name not in SHAPES:
        raise OptionError(f"unknown size {name!r}: use {', '.join(SHAPES)}")

    def filled(decoder: AnyDecoder, where: Placement) -> AnyDecoder:
        decoder.load_weights(RandomWeights(decoder.weight_shapes(), where), where)
        return decoder.eval()

    def reference(where: Placement) -> TransformersDecoder:
        with torch.device("meta"):  # shapes alone
            decoder = TransformersDecoder(SHAPES[name])
        return filled(decoder, where)

    decode, chats = _decoder_alone(
        lambda: filled(answering_decoder(SHAPES[name], place), place),
        lambda: [reference(each) for each in _alternatives(place) if beside],
        repeats,
        progress,
    )
    return Bench(
        model=f"{name}, random weights",
        device=str(place.device),
        dtype=str(place.dtype).removeprefix("torch."),
        quantization=place.quantization,
        threads=torch.get_num_threads(),
        decode=decode,
        chats=chats,
    )


def _decoder_alone(
    load: Callable[[], Decoder],
    references: Callable[[], list[TransformersDecoder]],
    repeats: int,
    progress: Progress,
) -> tuple[DecodeSpeed, dict[int, Throughput]]:
    """What is measured of a decoder, by itself and beside what transformers makes of its weights."""
    scheduler = Scheduler(lambda: Engine(load(), frozenset()), rows=CHATS[-1])
    decode = decode_speed(scheduler, scheduler.run(references), repeats, progress)
    return decode, chats_speed(scheduler, repeats, progress)


def _alternatives(place: Placement) -> list[Placement]:
    """The types of number that transformers is timed in: the same, or where weights are quantized, both."""

    same = Placement(place.device, place.dtype, spread=place.spread)
    if place.quantization is None:
        return [same]
    return [Placement(place.device, dtype, spread=place.spread) for dtype in (torch.float32, torch.bfloat16)]


def _options(model: str | None, place: Placement) -> list[str]:
    """Of `mmchat ask`, for the same model in the same place."""
    dtype = str(place.dtype).removeprefix("torch.")
    chosen = ["--device", str(place.device), "--dtype", dtype]
    chosen += [] if model is None else ["--model", model]
    return chosen if place.quantization is None else [*chosen, "--quantize", place.quantization]
