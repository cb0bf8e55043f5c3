"""`mmchat bench`: what it passes on, and whole transcripts of what it finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_assistant import Run, Screen
from PIL import Image

from mmchat import Assistant
from mmchat.cli import bench
from mmchat.evaluation import bench_run, bench_web
from mmchat.evaluation.bench import Bench, DecodeSpeed
from mmchat.evaluation.bench_web import WebSpeed
from mmchat.model.placement import Placement

FOUND = Bench("toy", "cpu", "float32", None, 2, DecodeSpeed(200.0, 2.5, {"float32": 80.0}, 0.5))
TABLE = (
    "toy on cpu, float32, 2 CPU threads\n"
    "\n"
    "what                       figure  over transformers\n"
    "tokens a second               200              2.5 ×\n"
    "share of memory bandwidth     50%\n"
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked to be measured; all of it finds the same."""
    calls: list[tuple[Any, ...]] = []

    def measured(what: str) -> Any:
        def measure(name: str | None, *, progress: Any, **given: Any) -> Bench:
            progress("decode", 1, 1)
            calls.append((what, name, given))
            return FOUND

        return measure

    monkeypatch.setattr(bench_run, "bench_model", measured("model"))
    monkeypatch.setattr(bench_run, "bench_shape", measured("shape"))
    return calls


def test_a_table_then_a_json_line(run: Run, calls: list[tuple[Any, ...]]) -> None:
    screen = run("bench", "--device", "cpu")
    shown, _, last = screen.out.rstrip("\n").rpartition("\n")
    assert (screen.code, screen.err, shown + "\n") == (0, "", TABLE)
    assert json.loads(last)["decode_ratio"] == 2.5
    assert calls == [("model", None, {"beside": False, "place": Placement(), "repeats": 5})]


def test_options_reach_the_measurement(run: Run, calls: list[tuple[Any, ...]]) -> None:
    threads = torch.get_num_threads()
    try:
        run("bench", "--model", "m", "--baseline", "transformers", "--device", "cpu", "--dtype", "bfloat16",
            "--quantize", "int8", "--repeats", "3", "--threads", "1")  # fmt: skip
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    run("bench", "--config", "gpt2", "--device", "cpu")
    place = Placement(torch.device("cpu"), torch.bfloat16, "int8")
    assert calls == [
        ("model", "m", {"beside": True, "place": place, "repeats": 3}),
        ("shape", "gpt2", {"beside": False, "place": Placement(), "repeats": 5}),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--config", "gpt2", "--model", "m"), "--config makes a model of random weights: leave --model and --web out"),
        (("--quantize", "int4", "--device", "cpu"), "int4 weights need a CUDA device, this is cpu: use int8"),
    ],
    ids=["model and size", "int4"],
)
def test_a_mistake_is_one_line(run: Run, calls: list[tuple[Any, ...]], arguments: tuple[str, ...], line: str) -> None:
    assert run("bench", *arguments) == Screen(2, "", f"mmchat: {line}\n")
    assert calls == []


def test_a_plot_is_a_picture(run: Run, calls: list[tuple[Any, ...]], tmp_path: Path) -> None:
    screen = run("bench", "--device", "cpu", "--plot", "found.png")
    assert (screen.code, screen.err) == (0, "")
    with Image.open(tmp_path / "found.png") as picture:
        assert picture.size == (600, 384)


@pytest.mark.parametrize("name", ["nowhere/found.png", "found.xyz"])
def test_a_plot_that_cannot_be_written_is_one_line(run: Run, calls: list[tuple[Any, ...]], name: str) -> None:
    """What was measured has been said before."""
    screen = run("bench", "--device", "cpu", "--plot", name)
    assert screen.code == 2
    assert screen.out.startswith(TABLE)
    assert screen.err.startswith(f"mmchat: {name}: the plot cannot be written: ")
    assert screen.err.count("\n") == 1


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(
    run: Run, calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda _: None)
    screen = run("bench", "--device", "cpu", "--plot", "found.png")
    assert screen == Screen(2, "", "mmchat: --plot needs matplotlib: pip install 'mmchat[plot]'\n")
    assert calls == []


def test_the_page_is_timed_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def speed(assistant: Any, model: list[str], repeats: int, progress: Any) -> WebSpeed:
        asked.append((model, repeats))
        return WebSpeed(4.25, 5.0, 20.4, 0.125, 40)

    monkeypatch.setattr(bench_web, "web_speed", speed)
    screen = run("bench", "--web", "--device", "cpu", "--repeats", "3")
    assert (screen.code, screen.err) == (0, "")
    shown, _, last = screen.out.rstrip("\n").rpartition("\n")
    assert shown == (
        "what                                  figure\n"
        "mmchat web, until the page is there    4.2 s\n"
        "until it has answered                  5.0 s\n"
        "what the page adds to an answer        20 ms\n"
        "to each of 40 tokens                 0.12 ms"
    )
    assert json.loads(last) == {
        "web_page_s": 4.25, "web_answer_s": 5.0, "web_overhead_ms": 20.4, "web_token_overhead_ms": 0.125,
        "web_tokens": 40,
    }  # fmt: skip
    assert asked == [(["--device", "cpu", "--dtype", "auto"], 3)]


@pytest.mark.parametrize("other", [("--baseline", "transformers"), ("--plot", "a.png"), ("--config", "gpt2")])
def test_the_page_is_timed_alone(run: Run, other: tuple[str, str]) -> None:
    screen = run("bench", "--web", *other)
    assert screen.code == 2
    assert "--web" in screen.err
    assert screen.err.count("\n") == 1


def test_the_page_of_the_bundled_model_is_timed() -> None:
    """Of a real page in a process of its own: what it adds is no figure to test, but that it comes is."""
    found = bench_web.web_speed(Assistant.load(), [], 1, lambda *_: None)
    assert 0 < found.page_s < found.answer_s
    assert found.tokens > 1
