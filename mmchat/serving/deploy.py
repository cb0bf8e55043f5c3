"""The page on a Hugging Face Space or in a container: the files that either needs, from whatever install this is."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import requires, version
from pathlib import Path
from textwrap import shorten

from mmchat.checkpoints.bundled import BUNDLED, SAMPLES, bundled_folder, sample
from mmchat.checkpoints.presets import presets_folder
from mmchat.errors import CheckpointError, UserError

Files = Mapping[str, Path | bytes]
"""Where each file stands, and what is in it."""

PYTHON = "3.11"
_PACKAGE = Path(__file__).resolve().parents[1]

_CARD = """\
---
title: mmchat
emoji: 🐈
colorFrom: indigo
colorTo: yellow
{sdk}
license: apache-2.0
short_description: An assistant that reads, sees and listens
---

# mmchat

An assistant that reads, sees and listens. {model}
"""
_APP = '''\
"""Entry of the Hugging Face Space: the page over the bundled model, or over the one that MMCHAT_MODEL names."""

import os

from mmchat.serving.web import Door, launch

if __name__ == "__main__":
    # A Space tells apps of Gradio through this variable to listen beyond the machine. It wants to see a page soon,
    # and nothing that is said there is kept.
    host, space = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), "SPACE_ID" in os.environ
    launch(os.environ.get("MMCHAT_MODEL", "").split(), Door(host, keep=not space, framed=space, load_first=not space))
'''
_DOCKERFILE = """\
# docker build -t mmchat . && docker run -p 7860:7860 mmchat
FROM python:{python}-slim
RUN useradd --create-home --uid 1000 mmchat
WORKDIR /home/mmchat/app
# A build of torch for CPUs; leave this line out on a machine with a GPU.
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=mmchat . .
USER mmchat
ENV GRADIO_SERVER_NAME=0.0.0.0{model}
EXPOSE 7860
CMD ["python", "app.py"]
"""


def space_files(model: str | None = None) -> dict[str, Path | bytes]:
    """All that a Space is made of: its card, its entry, what it installs, and mmchat with the bundled model.

    Args:
        model: what the page answers with; None for the bundled model.

    Raises:
        CheckpointError: the bundled model is not in this install.
    """
    sdk = f'sdk: gradio\nsdk_version: {version("gradio")}\npython_version: "{PYTHON}"\napp_file: app.py'
    files: dict[str, Path | bytes] = {
        "README.md": _card(model, sdk),
        "app.py": _APP.encode(),
        "requirements.txt": "".join(f"{each}\n" for each in _requirements()).encode(),
    }
    for path in sorted(_PACKAGE.rglob("*")):
        inside = path.relative_to(_PACKAGE)
        if path.is_file() and "__pycache__" not in inside.parts and inside.parts[0] not in ("assets", "configs"):
            files[f"mmchat/{inside.as_posix()}"] = path
    files |= {f"mmchat/assets/{BUNDLED}/{path.name}": path for path in sorted(bundled_folder().iterdir())}
    files |= {f"mmchat/assets/{name}": sample(name) for name in SAMPLES}
    return files | {f"mmchat/configs/models/{path.name}": path for path in sorted(presets_folder().glob("*.yaml"))}


def docker_files(model: str | None = None) -> dict[str, Path | bytes]:
    """As `space_files`, with a Dockerfile; for one's own host, or a Space of the docker kind."""
    named = "" if model is None else f" MMCHAT_MODEL={model}"
    return {
        **space_files(model),
        "README.md": _card(model, "sdk: docker\napp_port: 7860"),
        "Dockerfile": _DOCKERFILE.format(python=PYTHON, model=named).encode(),
    }


def size_of(files: Files) -> int:
    """Bytes of all files."""
    return sum(len(each) if isinstance(each, bytes) else each.stat().st_size for each in files.values())


def write_files(files: Files, folder: Path) -> None:
    """Write the files below a folder.

    Raises:
        UserError: the folder is in use or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is in use: name another folder")
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error


def push_space(name: str, files: Files, *, private: bool, model: str | None) -> str:
    """Create a Space or update it; files of an earlier release that are no longer needed go.

    Args:
        name: owner/name.
        files: of `space_files`.
        private: whether a new one is seen by its owner alone.
        model: what the page answers with, as a variable of the Space; None takes the variable away.

    Returns:
        Its address.

    Raises:
        CheckpointError: nobody is logged in, the name is not theirs, or the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    try:
        api.create_repo(name, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        there = set(api.list_repo_files(name, repo_type="space"))
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(place, content if isinstance(content, bytes) else str(content))
            for place, content in files.items()
        ]
        left = sorted(place for place in there - files.keys() if place.startswith("mmchat/"))
        operations += [CommitOperationDelete(place) for place in left]
        api.create_commit(name, operations, commit_message="Deployed by mmchat", repo_type="space")
        if model is not None:
            api.add_space_variable(name, "MMCHAT_MODEL", model)
        elif "MMCHAT_MODEL" in api.get_space_variables(name):
            api.delete_space_variable(name, "MMCHAT_MODEL")
    except Exception as error:  # of the network library below, which is another from release to release
        raise CheckpointError(f"cannot deploy {name}: {shorten(str(error), 150, placeholder=' …')}") from error
    return f"https://huggingface.co/spaces/{name}"


def _card(model: str | None, sdk: str) -> bytes:
    """The README.md of a Space, whose head says how it is run."""
    about = "It answers with the small model that mmchat carries." if model is None else f"It answers with {model}."
    return _CARD.format(sdk=sdk, model=about).encode()


def _requirements() -> list[str]:
    """What mmchat needs to answer, without its extras."""
    return [each for each in requires("mmchat") or [] if "extra ==" not in each]
