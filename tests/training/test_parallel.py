"""Two processes that train together: each its share of the rows, the same weights in both, one to write files."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from mmchat.errors import ConfigError
from mmchat.training import parallel
from mmchat.training.loop import GradientStage, Loss, fit
from mmchat.training.settings import SpeechStage
from training.conftest import CHAT_TEMPLATE, STAGES, Configure

ROWS = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))


class Sums(GradientStage[Tensor]):
    """Learns to add up its rows, all of them in each step."""

    unit = "rows"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(3, 1)
        self._rows = torch.stack(parallel.own_rows(ROWS.unbind()))

    def batch(self, step: int) -> Tensor:
        return self._rows

    def loss(self, batch: Tensor) -> Loss:
        return Loss((self.module(batch) - batch.sum(1, keepdim=True)).square().mean(), len(batch))

    def components(self) -> Mapping[str, nn.Module]:
        return {}


def learn_sums(config: SpeechStage) -> list[float]:
    stage = Sums()
    fit(stage, config, Console(file=io.StringIO()))
    weights: list[float] = torch.cat([part.detach().flatten() for part in stage.module.parameters()]).tolist()
    return weights


def what_each_does(config: SpeechStage) -> dict[str, Any]:
    """Everything that one of the processes sees."""
    first, second, third = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    first.grad = torch.full((2,), 1.0 + parallel.rank())
    if parallel.rank() == 1:
        second.grad = torch.tensor([4.0, 6.0])
    parallel.average_gradients([first, second, third])
    with pytest.raises(ConfigError) as odd:
        parallel.own_batch(5)
    return {
        "processes": parallel.processes(),
        "rows": parallel.own_rows([*range(5)]),
        "batch": [parallel.own_batch(6), str(odd.value)],
        "says": parallel.first_says(parallel.rank() == 0),
        "mean": parallel.mean(parallel.rank(), 5.0),
        "gradients": [None if weight.grad is None else weight.grad.tolist() for weight in (first, second, third)],
        "weights": learn_sums(config),
    }


def _process(rank: int, folder: Path, port: int, config: SpeechStage) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with parallel.joined():
        seen = what_each_does(config)
    (folder / f"{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


@pytest.fixture
def sums(configure: Configure, tmp_path: Path) -> Callable[[str], SpeechStage]:
    return lambda name: configure("speech", max_steps=20, name="sums", out=tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="PyTorch has no Gloo over sockets there")
def test_two_processes(sums: Callable[[str], SpeechStage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])  # the new processes import this file by its name
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_process, (tmp_path, port, sums("two")), nprocs=2)  # type: ignore[no-untyped-call]
    seen = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert [each["rows"] for each in seen] == [[0, 2, 4], [1, 3]]
    for each in seen:
        assert each["processes"] == 2
        assert each["batch"] == [3, "batch_size: 5 cannot be divided equally among 2 processes"]
        assert each["says"] is True
        assert each["mean"] == [0.5, 5.0]
        assert each["gradients"] == [[1.5, 1.5], [2.0, 3.0], None]
    alone = learn_sums(sums("one"))
    assert seen[0]["weights"] == seen[1]["weights"] == pytest.approx(alone, abs=1e-6)
    curves = [
        [json.loads(row) for row in (tmp_path / f"{name}.state.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("one", "two")
    ]
    assert [row["loss"] for row in curves[1]] == pytest.approx([row["loss"] for row in curves[0]], abs=1e-4)


def test_one_process_has_everything() -> None:
    with parallel.joined():
        weight = nn.Parameter(torch.zeros(1))
        parallel.average_gradients([weight])
        assert weight.grad is None
        assert (parallel.processes(), parallel.rank()) == (1, 0)
        assert parallel.own_rows("abc") == ["a", "b", "c"]
        assert parallel.own_batch(5) == 5
        assert parallel.first_says(False) is False
        assert parallel.mean(0.25, 7) == (0.25, 7)


@pytest.mark.skipif(sys.platform == "win32", reason="PyTorch has no Gloo over sockets there")
def test_a_recipe_under_torchrun(dataset: Path, model_file: Path, tmp_path: Path) -> None:
    """Every kind of stage in two processes: each is written once, and a second run finds all of it done."""
    recipe, runs = tmp_path / "recipe", tmp_path / "runs"
    recipe.mkdir()
    starts = {"language": ["tokenizer"], "contrastive": ["tokenizer"], "speech": ["tokenizer"]}
    starts["chat"] = ["language", "speech", "contrastive"]
    for number, kind in enumerate(("tokenizer", "naming", "language", "contrastive", "speech", "chat"), 1):
        stage = {**STAGES[kind], "name": kind, "model": str(model_file), "data": str(dataset)}
        stage |= {"out": str(runs / kind), "batch_size": 2 if kind == "speech" else 4, "max_steps": 4, "device": "cpu"}
        stage |= {"start": [str(runs / name) for name in starts.get(kind, [])]}
        if kind == "tokenizer":
            stage = {key: value for key, value in stage.items() if key in ("stage", "name", "model", "data", "out")}
            stage |= {"vocab_size": 512, "chat_template": str(CHAT_TEMPLATE)}
        if kind == "chat":
            stage["train"] = ["decoder", "image_projector", "audio_projector"]
        (recipe / f"{number}-{kind}.yaml").write_text(yaml.safe_dump(stage), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "mmchat", "train", str(recipe)]
    quick = {**os.environ, "OMP_NUM_THREADS": "1"}
    first, second = (subprocess.run(command, capture_output=True, text=True, env=quick, check=False) for _ in range(2))
    assert first.returncode == 0, first.stderr
    for kind in ("tokenizer", "naming", "language", "contrastive", "speech", "chat"):
        assert first.stderr.count(f"{kind}: written to {runs / kind}") == 1
        assert second.stderr.count(f"{kind}: done before, in {runs / kind}") == 1
        if kind != "tokenizer":
            assert len((runs / f"{kind}.state.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    assert {path.name for path in (runs / "chat").iterdir()} >= {"decoder.safetensors", "audio_projector.safetensors"}


def test_fewer_rows_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "processes", lambda: 3)
    with pytest.raises(ConfigError) as caught:
        parallel.own_rows(["a", "b"])
    assert str(caught.value) == "2 rows cannot be shared by 3 processes: start fewer"
    assert parallel.own_rows([]) == []
