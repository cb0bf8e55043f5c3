"""Where a model's name leads: the bundled model, a local folder, or an id on the Hugging Face hub.

The network is touched here alone, and only when the user names a model on the hub.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import shorten

from mmchat.checkpoints.bundled import BUNDLED, bundled_folder
from mmchat.checkpoints.presets import presets
from mmchat.errors import CheckpointError

_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.md", "SHA256SUMS"]
_SECOND_COPIES = ["consolidated*", "*.fp32*", "*.fp16*"]
"""The same weights once more, for other programs."""


def find_model(model: str | Path | None) -> Path:
    """The checkpoint folder of a model.

    Args:
        model: None or `mmchat-tiny` for the bundled model, a folder, a preset, or `owner/name` on the hub.

    Raises:
        CheckpointError: there is no such model, or it cannot be downloaded.
    """
    if model is None or str(model) == BUNDLED:
        return bundled_folder()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(model, str) and model in presets():
        return _download(presets()[model].id)
    if isinstance(model, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not folder.parent.is_dir():
        return _download(model)
    raise CheckpointError(
        f"no model {str(model)!r}: give a checkpoint folder, an owner/name on the hub, or one that mmchat models lists"
    )


def push_folder(name: str, folder: Path, *, private: bool) -> str:
    """Upload a folder to the hub; a repository that is not there is created.

    Returns:
        The address of the model.

    Raises:
        CheckpointError: nobody is logged in, the name is not theirs, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(name, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder, commit_message="Upload by mmchat push")
    except Exception as error:  # of the network library below, which is another from release to release
        raise CheckpointError(f"cannot upload to {name}: {shorten(str(error), 150, placeholder=' …')}") from error
    return f"https://huggingface.co/{name}"


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(model, allow_patterns=_PATTERNS, ignore_patterns=_SECOND_COPIES))
    except HFValidationError as error:
        raise CheckpointError(f"the hub has no such names as {model}: {error}") from error
    except GatedRepoError as error:
        raise CheckpointError(
            f"{model} is gated: accept its licence at https://huggingface.co/{model} and log in with hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"the hub has no model {model}, or it is private: check the name and log in") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"cannot download {model}: the hub cannot be reached and there is no local copy"
        ) from error
    except Exception as error:  # of the network library below, which is another from release to release
        raise CheckpointError(f"cannot download {model}: {shorten(str(error), 150, placeholder=' …')}") from error
