"""How long a question takes from nothing: whole processes, that of a warm server's client among them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from mmchat.errors import FailureError
from mmchat.evaluation.timing import Progress, Run, process

QUESTION = "what is a cat?"


@dataclass(frozen=True)
class Starts:
    """Whole processes; None where there was none."""

    text: Run
    """`mmchat ask`, from nothing to the end of the process."""
    picture: Run | None
    """The same with a picture."""
    warm: Run | None
    """In text, while `mmchat serve` has the model."""
    script: Run | None
    """A script with transformers that answers the question in text."""


def starts(
    model: Sequence[str], picture: bool, script: tuple[str, Path] | None, repeats: int, progress: Progress
) -> Starts:
    """Time whole processes in turns, each as often.

    Args:
        model: options of the commands that name the model.
        picture: whether it takes one.
        script: what transformers answers with, and the folder that it reads.
        repeats: of each.
        progress: told what is done.
    """
    ask = ["-m", "mmchat", "ask", *model, "--no-stream", "--no-history"]
    with tempfile.TemporaryDirectory(prefix="mmchat-") as folder:
        image = Path(folder) / "picture.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)).save(image)
        commands = {"text": [*ask, "--no-server", QUESTION]}
        if picture:
            commands["picture"] = [*ask, "--no-server", "--image", str(image), "what is this?"]
        if os.name == "posix":
            commands["warm"] = [*ask, QUESTION]
        if script:
            commands["script"] = ["-c", script[0], str(script[1]), QUESTION]
        taken: dict[str, list[Run]] = {name: [] for name in commands}
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
        for repeat in range(repeats):
            for name, command in commands.items():
                if name == "warm":
                    with _served(model, environment):
                        taken[name].append(process(command, environment))
                else:
                    taken[name].append(process(command))
            progress("starts", repeat + 1, repeats)
    found = {
        name: Run(median(run.seconds for run in runs), round(median(run.peak_bytes for run in runs)))
        for name, runs in taken.items()
    }
    return Starts(found["text"], found.get("picture"), found.get("warm"), found.get("script"))


@contextmanager
def _served(model: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """While the body runs, a warm server has the model.

    Raises:
        FailureError: it does not start.
    """
    command = [sys.executable, "-m", "mmchat", "serve", *model]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()  # it listens
            if server.poll() is not None:
                raise FailureError(f"mmchat serve ended with {server.returncode}: {told.strip()}")
            yield
        finally:
            server.terminate()
