"""The curve of a training: one JSON line a step, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmchat.training.state import RunFiles

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Point:
    """What is known after a step."""

    step: int
    """Steps taken, this one included."""
    seconds: float
    """Since the training began, without the time between runs."""
    loss: float
    learning_rate: float
    gradient_norm: float
    """Before the gradient was clipped."""
    speed: float
    """Items a second."""


class Curve:
    """Takes a point a step; a training that is resumed goes on with the curve of the run before."""

    def __init__(self, files: RunFiles, step: int, unit: str) -> None:
        """Open the curve after `step` steps, dropping what later ones left behind: they are taken again.

        Args:
            files: where the curve is kept.
            step: steps that need not be taken again.
            unit: what the speed counts.
        """
        self._path = files.curve
        self._unit = unit
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_file():
            rows = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            self._path.write_text("".join(rows[:step]), encoding="utf-8")
        self._board = _open_board(files.tensorboard, step)

    def add(self, point: Point) -> None:
        """Write the point of the next step."""
        row = {
            "step": point.step,
            "seconds": round(point.seconds, 1),
            "loss": round(point.loss, 5),
            "learning_rate": float(f"{point.learning_rate:.4g}"),
            "gradient_norm": round(point.gradient_norm, 4),
            f"{self._unit}_per_s": round(point.speed, 1),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name in ("loss", "learning_rate", "gradient_norm"):
                self._board.add_scalar(name, getattr(point, name), point.step)
            self._board.add_scalar(f"{self._unit}_per_s", point.speed, point.step)

    def flush(self) -> None:
        """Have everything on disk, so that no point of a step that is not taken again can be lost."""
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Write what is left and end."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path, step: int) -> SummaryWriter | None:
    """A writer whose file tells TensorBoard to forget the steps after `step`; none without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
