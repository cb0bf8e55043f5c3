"""Speech programs: run on a sentence, with one clear line when they cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from mmchat.errors import DatasetError

_TIMEOUT_S = 60.0
_PACKAGES = {"espeak-ng": "espeak-ng", "flite": "flite", "text2wave": "festival"}


def run_program(command: Sequence[str], text: str, what: str = "speak") -> bytes:
    """Run a speech program, which may read the text from standard input.

    Args:
        command: the program and its arguments.
        text: what it is about; never seen by a shell.
        what: it is to do with it, for the error.

    Returns:
        What it wrote to standard output.

    Raises:
        DatasetError: it is missing, fails, or does not finish in a minute.
    """
    program = command[0]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        package = _PACKAGES[program]
        raise DatasetError(f"{program} is not installed: on Debian, `apt-get install {package}`") from error
    except subprocess.TimeoutExpired as error:
        raise DatasetError(f"{program} did not finish {text!r} within {_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise DatasetError(f"{program} could not {what} {text!r}: {reason}")
    return done.stdout
