"""Where the model is that comes with mmchat; found without loading anything."""

from __future__ import annotations

from pathlib import Path

from mmchat.errors import CheckpointError

BUNDLED = "mmchat-tiny"


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
