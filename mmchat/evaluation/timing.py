"""Clocks: seconds and memory of functions, of processes, and of the machine itself."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import psutil
import torch

from mmchat.errors import FailureError

Progress = Callable[[str, int, int], None]
"""Told what is measured, how often it was, and how often it will be."""

_COPIED = 128 * 2**20
"""Bytes, more than the caches of a processor hold."""
_EVERY_S = 0.005
"""How often a process is looked at."""


@dataclass(frozen=True)
class Run:
    """A whole process."""

    seconds: float
    peak_bytes: int
    """The most memory that it held."""


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes, by the wall clock."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def copy_rate(device: torch.device, repeats: int = 9) -> float:
    """Bytes a second, read and written, that a plain copy moves: what memory gives at best."""
    source = torch.ones(_COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copy()
    return 2 * _COPIED / median(seconds(copy) for _ in range(repeats))


def process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command of this Python to its end.

    Args:
        command: arguments of the interpreter.
        environment: of the process; that of this one if not given.

    Raises:
        FailureError: it failed; holds the last line that it wrote to standard error.
    """
    with tempfile.TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        started = psutil.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=stderr, env=environment)
        peak = 0
        while started.poll() is None:
            # Not what the system counts of a child that ended: that begins with all that its parent held.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                peak = max(peak, started.memory_info().rss)
            time.sleep(_EVERY_S)
        took = time.perf_counter() - began
        stderr.seek(0)
        said = stderr.read().strip().splitlines()
    if started.returncode:
        raise FailureError(f"a process ended with {started.returncode}: {' '.join(said[-1:])}")
    return Run(took, peak)
