"""`mmchat bench`: how fast a model answers on this machine."""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console, options
from mmchat.errors import OptionError


class Baseline(str, Enum):
    """What the model is timed beside."""

    TRANSFORMERS = "transformers"


Beside = Annotated[Baseline | None, typer.Option("--baseline", help="Time its generate() on the same weights, too.")]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="SIZE", help="Random weights: gpt2, gpt2-medium, llama-1b or llama-7b."),
]
Repeats = Annotated[int, typer.Option("--repeats", min=1, metavar="N", help="Take the median of N runs.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, metavar="N", help="CPU threads of one answer.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw what was found: a .png, .svg or .pdf file.")
]
Web = Annotated[bool, typer.Option("--web", help="Time the page instead: until it is there, and what it adds.")]


def bench(
    model: options.Model = None,
    config: Config = None,
    baseline: Beside = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    threads: Threads = None,
    repeats: Repeats = 5,
    plot: Plot = None,
    web: Web = False,
) -> None:
    """Time a model: from start to answer, to the first token, token by token, and with several chats at once.

    The last line is JSON. Close what else is running.
    """
    import torch

    from mmchat.evaluation.bench_report import to_text
    from mmchat.evaluation.bench_run import bench_model, bench_shape
    from mmchat.model.placement import Placement, pick_device, pick_dtype, pick_quantization

    if config is not None and (web or model is not None):
        raise OptionError("--config makes a model of random weights: leave --model and --web out")
    if web and (baseline is not None or plot is not None):
        raise OptionError("--web times the page alone: leave --baseline and --plot out")
    if plot is not None and find_spec("matplotlib") is None:
        raise OptionError("--plot needs matplotlib: pip install 'mmchat[plot]'")
    if threads is not None:
        torch.set_num_threads(threads)
    where = pick_device(device)
    place = Placement(where, pick_dtype(dtype, where), pick_quantization(quantize, where))
    beside = baseline is not None
    if web:
        _bench_web(model, device, dtype, quantize, repeats)
        return
    with console.counting() as progress:
        if config is None:
            result = bench_model(model, beside=beside, place=place, repeats=repeats, progress=progress)
        else:
            result = bench_shape(config, beside=beside, place=place, repeats=repeats, progress=progress)
    typer.echo(to_text(result))
    if plot is not None:
        from mmchat.evaluation.bench_plot import save_plot

        save_plot(result, plot)
    typer.echo(result.to_json())


def _bench_web(model: str | None, device: str, dtype: str, quantize: str | None, repeats: int) -> None:
    from mmchat.evaluation.bench_web import web_speed

    assistant = console.load_assistant(model, device, dtype, quantize, None)
    given = {"--model": model, "--device": device, "--dtype": dtype, "--quantize": quantize}
    flags = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    with console.counting() as progress:
        found = web_speed(assistant, flags, repeats, progress)
    typer.echo(found.to_text())
    typer.echo(found.to_json())
