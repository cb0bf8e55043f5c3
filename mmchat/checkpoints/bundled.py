"""Where the model and the samples are that come with mmchat; found without loading anything."""

from __future__ import annotations

from pathlib import Path

from mmchat.errors import CheckpointError

BUNDLED = "mmchat-tiny"
SAMPLES = ("cat.png", "sailboat.png", "question.wav")
"""What stands beside it to be asked about."""


def bundled_folder() -> Path:
    """The checkpoint folder of the bundled model.

    Raises:
        CheckpointError: it is not in this install.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "assets", package.parent / "assets"):  # in a wheel, in a source checkout
        if (place / BUNDLED / "config.json").is_file():
            return place / BUNDLED
    raise CheckpointError(
        f"the bundled model {BUNDLED} is not in this install: train it as the README shows, or give --model"
    )


def sample(name: str) -> Path:
    """One of the `SAMPLES`.

    Raises:
        CheckpointError: it is not in this install.
    """
    path = bundled_folder().with_name(name)
    if not path.is_file():
        raise CheckpointError(f"the sample {name} is not in this install")
    return path
