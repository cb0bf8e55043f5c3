"""The curve: JSON lines always, TensorBoard where it is installed, each step once whatever was killed and resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from mmchat.training.curve import Curve, Point
from mmchat.training.state import RunFiles


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path / "runs" / "toy")


@pytest.fixture(autouse=True)
def _one_event_file_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event files of one second and one process are read in the order of a counter, as text: 10 before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def point(step: int, loss: float) -> Point:
    return Point(step, seconds=2.0 * step, loss=loss, learning_rate=0.25, gradient_norm=1.5, speed=80.0)


def write(files: RunFiles, done: int, steps: range, loss: float) -> None:
    curve = Curve(files, done, "clips")
    for step in steps:
        curve.add(point(step, loss))
    curve.close()


def board(files: RunFiles, name: str) -> list[tuple[int, float]]:
    """Steps and values as TensorBoard shows them."""
    events = EventAccumulator(str(files.tensorboard))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_files_stand_beside_the_checkpoint_folder() -> None:
    files = RunFiles(Path("runs/v1.5"))
    assert files.state == Path("runs/v1.5.state.pt")
    assert files.curve == Path("runs/v1.5.state.jsonl")
    assert files.nan_batch(0) == Path("runs/v1.5.nan-batch.pt")
    assert files.nan_batch(1) == Path("runs/v1.5.nan-batch1.pt")
    assert files.tensorboard == Path("runs/tensorboard/v1.5")


def test_a_row_says_all_about_a_step(files: RunFiles) -> None:
    write(files, 0, range(1, 2), loss=0.123456789)
    assert json.loads(files.curve.read_text(encoding="utf-8")) == {
        "step": 1,
        "seconds": 2.0,
        "loss": 0.12346,
        "learning_rate": 0.25,
        "gradient_norm": 1.5,
        "clips_per_s": 80.0,
    }


def test_tensorboard_shows_the_same(files: RunFiles) -> None:
    write(files, 0, range(1, 4), loss=0.5)
    for name, value in (("loss", 0.5), ("learning_rate", 0.25), ("gradient_norm", 1.5), ("clips_per_s", 80.0)):
        assert board(files, name) == [(step, value) for step in (1, 2, 3)]


@pytest.mark.parametrize("done", [0, 2])
def test_steps_that_are_taken_again_stand_once_and_as_they_were_the_second_time(files: RunFiles, done: int) -> None:
    write(files, 0, range(1, 5), loss=0.5)
    write(files, done, range(done + 1, 7), loss=0.25)
    expected = [(step, 0.5 if step <= done else 0.25) for step in range(1, 7)]
    rows = [json.loads(line) for line in files.curve.read_text(encoding="utf-8").splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == expected
    assert board(files, "loss") == expected


def test_what_was_flushed_is_there_after_a_kill(files: RunFiles) -> None:
    curve = Curve(files, 0, "clips")
    curve.add(point(1, 0.5))
    curve.flush()
    assert board(files, "loss") == [(1, 0.5)]
    curve.close()


def test_without_tensorboard_there_are_rows_alone(files: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    write(files, 0, range(1, 4), loss=0.5)
    assert len(files.curve.read_text(encoding="utf-8").splitlines()) == 3
    assert not files.tensorboard.exists()
