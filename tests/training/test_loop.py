"""The loop on a stage of one small network: budget, schedule, precision, exact resume, and what it does about NaN."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from mmchat.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from mmchat.training import loop
from mmchat.training.loop import GradientStage, Loss, fit
from mmchat.training.settings import OptimizerConfig, SpeechStage
from training.conftest import Configure, weights_of


class KilledError(Exception):
    """Stands for a process that is killed."""


Rows = tuple[int, Tensor]


class Toy(GradientStage[Rows]):
    """Learns to add up its input; batch norm and dropout hold state and chance that a resume must bring back."""

    unit = "rows"

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1)]
        self.module, self.first = nn.Sequential(*layers), layers[0]
        self.prepared: list[int] = []
        self.steps: list[int] = []
        self.before: Callable[[int], None] = lambda step: None
        self.spoil: Callable[[int, Tensor], Tensor] = lambda step, loss: loss

    def batch(self, step: int) -> Rows:
        self.prepared.append(step)
        return step, torch.randn(8, 4, generator=torch.Generator().manual_seed(step))

    def loss(self, batch: Rows) -> Loss:
        step, rows = batch
        self.before(step)
        self.steps.append(step)
        value = (self.module(rows) - rows.sum(1, keepdim=True)).float().pow(2).mean()
        return Loss(self.spoil(step, value), len(rows))

    def components(self) -> Mapping[str, nn.Module]:
        return {"decoder": self.first}


Budget = Callable[..., SpeechStage]


@pytest.fixture
def budget(configure: Configure, tmp_path: Path) -> Budget:
    """A stage's configuration; unless told, it saves after every step."""
    usual = {"max_steps": None, "save_minutes": 1e-9, "name": "toy", "out": tmp_path / "runs" / "toy"}

    def build(**given: Any) -> SpeechStage:
        config = configure("speech", **{**usual, **given})
        assert isinstance(config, SpeechStage)
        return config

    return build


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "toy.state.pt"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still unless `now` is set; it starts anywhere, as a monotonic clock does."""
    clock = SimpleNamespace(now=5000.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def kill_at(step: int) -> Callable[[int], None]:
    def before(now: int) -> None:
        if now == step:
            raise KilledError

    return before


def curve(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in state.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_rate_rises_then_falls_along_a_cosine() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup=0.2, final=0.1)
    shares = [0.0, 0.1, 0.2, 0.6, 1.0]
    expected = [1e-3 / 0.201, 0.101 / 0.201, 1.0, 0.55, 0.1]
    assert [loop._schedule(config, share) for share in shares] == pytest.approx(expected)


def test_a_component_may_learn_at_a_share_of_the_rate(
    budget: Budget, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of Adam are as long as the rate, whatever the gradient: here of the first of two linear layers."""
    far: dict[float, float] = {}
    for share in (1.0, 0.25):
        stage = Toy()
        before = weights_of(stage.module)
        config = budget(max_steps=1, optimizer=OptimizerConfig(learning_rate=0.01, warmup=0, rates={"decoder": share}))
        fit(stage, config.model_copy(update={"out": config.out / str(share)}), screen)
        moved = {key: (tensor - before[key]).abs().max().item() for key, tensor in weights_of(stage.module).items()}
        far[share] = moved["0.weight"]
        assert moved["4.weight"] == pytest.approx(0.01, rel=0.05)
    assert far[0.25] == pytest.approx(0.25 * far[1.0], rel=0.05)


def test_a_rate_of_what_the_stage_lacks_is_an_error(budget: Budget, screen: Console) -> None:
    config = budget(max_steps=1, optimizer=OptimizerConfig(learning_rate=0.01, rates={"image_encoder": 0.5}))
    with pytest.raises(ConfigError, match=r"^optimizer\.rates: this stage has no image_encoder$"):
        fit(Toy(), config, screen)


def test_without_warm_up_the_rate_begins_at_its_highest() -> None:
    assert loop._schedule(OptimizerConfig(learning_rate=1.0, warmup=0.0), 0.0) == 1.0


def test_the_rate_that_is_used_is_that_of_the_schedule(
    budget: Budget, state: Path, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def note(self: torch.optim.AdamW, *given: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        assert {group["lr"] for group in self.param_groups} == {rates[-1]}
        return step(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    optimizer = OptimizerConfig(learning_rate=0.01, warmup=0.5, final=0.0)
    fit(Toy(), budget(max_steps=4, optimizer=optimizer), screen)
    assert rates == pytest.approx([0.01 * 0.001 / 0.501, 0.01 * 0.251 / 0.501, 0.01, 0.005])


def test_a_budget_of_steps(budget: Budget, state: Path, screen: Console) -> None:
    stage = Toy()
    fit(stage, budget(max_steps=5), screen)
    assert stage.steps == [0, 1, 2, 3, 4]
    assert not stage.module.training


def test_a_budget_of_minutes(budget: Budget, state: Path, screen: Console, clock: SimpleNamespace) -> None:
    """A step takes 20 s, so the fourth begins at 60 s, when a minute is used."""
    stage = Toy()
    stage.before = lambda step: setattr(clock, "now", clock.now + 20.0)
    fit(stage, budget(max_minutes=1.0), screen)
    assert stage.steps == [0, 1, 2]
    assert [row["seconds"] for row in curve(state)] == [20.0, 40.0, 60.0]


@pytest.mark.parametrize(("steps", "minutes", "taken"), [(2, 1.0, 2), (9, 1.0, 3)])
def test_the_budget_that_ends_first_counts(
    budget: Budget, state: Path, screen: Console, clock: SimpleNamespace, steps: int, minutes: float, taken: int
) -> None:
    stage = Toy()
    stage.before = lambda step: setattr(clock, "now", clock.now + 20.0)
    fit(stage, budget(max_steps=steps, max_minutes=minutes), screen)
    assert len(stage.steps) == taken


def test_time_between_runs_is_not_counted(budget: Budget, state: Path, screen: Console, clock: SimpleNamespace) -> None:
    first, second = Toy(), Toy()

    def tick_until_killed(step: int) -> None:
        kill_at(2)(step)
        clock.now += 20.0

    first.before = tick_until_killed
    with pytest.raises(KilledError):
        fit(first, budget(max_minutes=1.0), screen)
    clock.now = 77.0  # another process, hours later
    second.before = lambda step: setattr(clock, "now", clock.now + 20.0)
    fit(second, budget(max_minutes=1.0), screen)
    assert (first.steps, second.steps) == ([0, 1], [2])
    assert [row["seconds"] for row in curve(state)] == [20.0, 40.0, 60.0]


def test_a_clock_that_stands_still_is_no_division_by_zero(
    budget: Budget, state: Path, screen: Console, clock: SimpleNamespace
) -> None:
    """The monotonic clock of some systems ticks in 16 ms: a step of a toy begins and ends in one tick."""
    fit(Toy(), budget(max_steps=1), screen)
    assert curve(state)[0]["rows_per_s"] > 0


def test_six_steps_are_three_a_kill_and_three(budget: Budget, tmp_path: Path, screen: Console) -> None:
    whole = Toy()
    fit(whole, budget(max_steps=6, out=tmp_path / "whole"), screen)
    config = budget(max_steps=6, out=tmp_path / "parts")
    first = Toy()
    first.before = kill_at(3)
    with pytest.raises(KilledError):
        fit(first, config, screen)
    second = Toy()
    torch.rand(5)  # a new process may have drawn other random numbers
    fit(second, config, screen)
    assert (first.steps, second.steps) == ([0, 1, 2], [3, 4, 5])
    ours, theirs = weights_of(second.module), weights_of(whole.module)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses = [[row["loss"] for row in curve(tmp_path / f"{name}.state.pt")] for name in ("parts", "whole")]
    assert losses[0] == losses[1]


def test_steps_after_the_last_save_are_taken_again_and_stand_once_in_the_curve(
    budget: Budget, state: Path, screen: Console, clock: SimpleNamespace
) -> None:
    """It saves every 45 s and takes 20 s a step: killed in the fifth step, it goes on after the third."""
    config = budget(max_steps=6, save_minutes=0.75)
    first = Toy()

    def tick_until_killed(step: int) -> None:
        kill_at(4)(step)
        clock.now += 20.0

    first.before = tick_until_killed
    with pytest.raises(KilledError):
        fit(first, config, screen)
    assert [row["step"] for row in curve(state)] == [1, 2, 3, 4]
    second = Toy()
    fit(second, config, screen)
    assert second.steps == [3, 4, 5]
    assert [row["step"] for row in curve(state)] == [1, 2, 3, 4, 5, 6]
    whole = Toy()
    fit(whole, budget(max_steps=6, out=state.parent / "whole"), screen)
    ours, theirs = weights_of(second.module), weights_of(whole.module)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_that_never_saved_leaves_no_curve_behind(budget: Budget, state: Path, screen: Console) -> None:
    first, second = Toy(), Toy()
    first.before = kill_at(2)
    with pytest.raises(KilledError):
        fit(first, budget(max_steps=3, save_minutes=60), screen)
    assert not state.exists()
    fit(second, budget(max_steps=3, save_minutes=60), screen)
    assert [row["step"] for row in curve(state)] == [1, 2, 3]


def test_a_finished_run_takes_no_more_steps(budget: Budget, state: Path, screen: Console) -> None:
    first, second = Toy(), Toy()
    fit(first, budget(max_steps=3), screen)
    fit(second, budget(max_steps=3), screen)
    assert second.steps == []
    ours, theirs = weights_of(second.module), weights_of(first.module)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_larger_budget_goes_on(budget: Budget, state: Path, screen: Console) -> None:
    fit(Toy(), budget(max_steps=2), screen)
    stage = Toy()
    fit(stage, budget(max_steps=5), screen)
    assert stage.steps == [2, 3, 4]


def test_the_curve_has_a_row_a_step(budget: Budget, state: Path, screen: Console) -> None:
    fit(Toy(), budget(max_steps=40, optimizer=OptimizerConfig(learning_rate=0.05)), screen)
    rows = curve(state)
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert all(set(row) == {"step", "seconds", "loss", "learning_rate", "gradient_norm", "rows_per_s"} for row in rows)
    assert sum(row["loss"] for row in rows[-5:]) < 0.5 * sum(row["loss"] for row in rows[:5])


def spoil_loss(value: float) -> Callable[[Tensor], Tensor]:
    return lambda loss: loss * value


def spoil_gradient(loss: Tensor) -> Tensor:
    """Finite itself, with an infinite slope."""
    return loss + (loss * 0).sqrt()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_loss(float("nan")), "toy: the loss of step 3 is nan"),
        (spoil_loss(float("inf")), "toy: the loss of step 3 is inf"),
        (spoil_gradient, "toy: the gradient of step 3 is nan"),
    ],
    ids=["nan", "inf", "gradient"],
)
def test_what_is_no_number_ends_the_run_and_keeps_the_last_state_and_the_batch(
    budget: Budget, state: Path, screen: Console, spoil: Callable[[Tensor], Tensor], complaint: str
) -> None:
    stage = Toy()
    stage.spoil = lambda step, loss: spoil(loss) if step == 3 else loss
    with pytest.raises(TrainingError) as caught:
        fit(stage, budget(max_steps=6), screen)
    look = re.fullmatch(
        rf"{complaint}: lower the learning rate, or look at the batch: torch\.load\('(.*)', weights_only=False\)",
        str(caught.value),
    )
    assert look is not None
    assert look[1] == str(state.with_name("toy.nan-batch.pt"))
    step, rows = torch.load(look[1], weights_only=False)
    assert step == 3
    assert torch.equal(rows, stage.batch(3)[1])
    kept = torch.load(state, weights_only=True)
    assert kept["step"] == 3
    assert all(tensor.isfinite().all() for tensor in kept["module"].values())
    assert [row["step"] for row in curve(state)] == [1, 2, 3]
    after = Toy()
    fit(after, budget(max_steps=6), screen)
    assert after.steps == [3, 4, 5]


def test_a_save_that_is_cut_short_leaves_the_last_one(
    budget: Budget, state: Path, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def half_a_save(value: dict[str, Any], path: Path) -> None:
        if value["step"] == 2:
            path.write_bytes(b"half")
            raise KilledError
        save(value, path)

    monkeypatch.setattr(torch, "save", half_a_save)
    with pytest.raises(KilledError):
        fit(Toy(), budget(max_steps=4), screen)
    assert torch.load(state, weights_only=True)["step"] == 1


def test_the_state_of_another_model_is_one_line(budget: Budget, state: Path, screen: Console) -> None:
    fit(Toy(), budget(max_steps=1), screen)
    stage = Toy()
    stage.module = nn.Linear(4, 1)
    with pytest.raises(CheckpointError) as caught:
        fit(stage, budget(max_steps=2), screen)
    assert str(caught.value) == f"{state} is the state of another model: remove it to begin anew"


def test_what_is_frozen_keeps_its_running_statistics(budget: Budget, state: Path, screen: Console) -> None:
    """A batch norm in training mode moves its mean and variance even where no weight has a gradient."""
    stage = Toy()
    frozen = stage.module[1]
    frozen.requires_grad_(False)
    before = weights_of(frozen)
    fit(stage, budget(max_steps=3), screen)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(frozen).items())
    assert {"running_mean", "running_var", "num_batches_tracked"} < set(before)


def test_a_state_that_cannot_be_read_is_one_line(budget: Budget, state: Path, screen: Console) -> None:
    state.parent.mkdir()
    state.write_bytes(b"half")
    with pytest.raises(CheckpointError) as caught:
        fit(Toy(), budget(max_steps=1), screen)
    assert str(caught.value) == f"{state} is damaged: remove it to begin anew"


# ---------------------------------------------------------------------------------------------------------- preparation


def test_the_next_batch_is_prepared_while_a_step_is_taken(budget: Budget, screen: Console) -> None:
    """The step waits until it is: were batches prepared between the steps, it would wait in vain."""
    stage = Toy()

    def wait_for_the_next(step: int) -> None:
        deadline = time.monotonic() + 30
        while step + 1 not in stage.prepared and time.monotonic() < deadline:
            time.sleep(0.001)
        assert stage.prepared == list(range(step + 2))

    stage.before = wait_for_the_next
    fit(stage, budget(max_steps=3), screen)
    assert stage.steps == [0, 1, 2]


def test_a_batch_that_cannot_be_prepared_ends_the_run_at_its_step(
    budget: Budget, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Toy()
    batch = stage.batch

    def fail_at_two(step: int) -> Rows:
        if step == 2:
            raise DatasetError("the picture of step 2 is gone")
        return batch(step)

    monkeypatch.setattr(stage, "batch", fail_at_two)
    with pytest.raises(DatasetError, match="the picture of step 2 is gone"):
        fit(stage, budget(max_steps=6), screen)
    assert stage.steps == [0, 1]


# ------------------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize(
    ("precision", "computes", "computed"),
    [
        ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"),
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
    ],
)
def test_precision_is_that_of_the_forward_alone(
    budget: Budget, screen: Console, monkeypatch: pytest.MonkeyPatch, precision: str, computes: bool, computed: str
) -> None:
    """`auto` asks what the CPU multiplies in."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: computes)
    stage = Toy()
    seen: set[torch.dtype] = set()
    stage.module[0].register_forward_hook(lambda module, given, output: seen.add(output.dtype))
    fit(stage, budget(max_steps=3, precision=precision), screen)
    assert seen == {getattr(torch, computed)}
    assert {weight.dtype for weight in stage.module.parameters()} == {torch.float32}


def test_bfloat16_learns_what_float32_learns(budget: Budget, state: Path, screen: Console) -> None:
    optimizer = OptimizerConfig(learning_rate=0.05)
    fit(Toy(), budget(max_steps=40, optimizer=optimizer, precision="bfloat16"), screen)
    losses = [row["loss"] for row in curve(state)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


# ------------------------------------------------------------------------------------------------------------- progress


def test_the_time_left_is_that_of_this_run(budget: Budget, clock: SimpleNamespace, screen: Console) -> None:
    """Two steps of ten take 20 s each; then another machine goes on, which takes 5 s a step."""
    first, second = Toy(), Toy()

    def tick_until_killed(step: int) -> None:
        kill_at(2)(step)
        clock.now += 20.0

    first.before = tick_until_killed
    with pytest.raises(KilledError):
        fit(first, budget(max_steps=10), screen)

    def tick_then_kill(step: int) -> None:
        kill_at(4)(step)
        clock.now += 5.0

    second.before = tick_then_kill
    with pytest.raises(KilledError):
        fit(second, budget(max_steps=10), screen)
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue().splitlines()
    assert "step 2 loss" in shown[0]
    assert "0:02:40 left" in shown[0]
    assert "step 4 loss" in shown[-1]
    assert "0:00:30 left" in shown[-1]


def test_the_time_left_of_a_budget_of_minutes_is_what_is_left_of_it(
    budget: Budget, clock: SimpleNamespace, screen: Console
) -> None:
    stage = Toy()

    def tick_until_killed(step: int) -> None:
        kill_at(2)(step)
        clock.now += 20.0

    stage.before = tick_until_killed
    with pytest.raises(KilledError):
        fit(stage, budget(max_minutes=3.0), screen)
    assert isinstance(screen.file, io.StringIO)
    assert "0:02:20 left" in screen.file.getvalue()
