"""Where a model's name leads: the bundled model, a local folder, or an id on the Hugging Face hub.

The network is touched here alone, and only when the user names a model on the hub.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import shorten

from mmchat.checkpoints.store import CONFIG_FILE
from mmchat.errors import CheckpointError

BUNDLED = "mmchat-tiny"
_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.md", "SHA256SUMS"]


def find_model(model: str | Path | None) -> Path:
    """The checkpoint folder of a model.

    Args:
        model: None or `mmchat-tiny` for the bundled model, a folder, or `owner/name` on the hub.

    Raises:
        CheckpointError: there is no such model, or it cannot be downloaded.
    """
    if model is None or str(model) == BUNDLED:
        return _bundled()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(model, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not folder.parent.is_dir():
        return _download(model)
    raise CheckpointError(f"no model {str(model)!r}: give a checkpoint folder, an owner/name on the hub, or {BUNDLED}")


def _bundled() -> Path:
    package = Path(__file__).resolve().parents[1]
    for place in (package / "assets", package.parent / "assets"):  # in a wheel, in a source checkout
        if (place / BUNDLED / CONFIG_FILE).is_file():
            return place / BUNDLED
    raise CheckpointError(
        f"the bundled model {BUNDLED} is not in this install: train it as the README shows, or give --model"
    )


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=_PATTERNS))
    except HFValidationError as error:
        raise CheckpointError(f"the hub has no such names as {model}: {error}") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"the hub has no model {model}, or it is private or gated: check the name and log in"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"cannot download {model}: the hub cannot be reached and there is no local copy"
        ) from error
    except Exception as error:  # of the network library below, which is another from release to release
        raise CheckpointError(f"cannot download {model}: {shorten(str(error), 150, placeholder=' …')}") from error
