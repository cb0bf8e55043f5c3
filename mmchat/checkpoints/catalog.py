"""Which models there are on this machine and which can be had, how large they are, and away with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub import CachedRepoInfo, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from mmchat.checkpoints.bundled import BUNDLED
from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.presets import presets
from mmchat.checkpoints.public import FAMILIES
from mmchat.checkpoints.store import CARD_FILE, CONFIG_FILE
from mmchat.errors import CheckpointError

_BASES = ("text_model_id", "audio_model_id")
"""Where a `config.json` names other checkpoints."""


@dataclass(frozen=True)
class Model:
    """A model that `--model` takes, or a checkpoint that one of them names."""

    name: str
    """As `--model` takes it."""
    id: str | None
    """On the hub; None for the bundled model."""
    state: Literal["bundled", "downloaded", "available"]
    takes: tuple[str, ...]
    """`text`, `pictures`, `voice`; none for what another model needs."""
    disk_bytes: int
    """What it takes on this machine."""
    needed_bytes: int
    """Memory for its weights: in bfloat16, or as they are stored."""
    licence: str
    about: str


def models() -> list[Model]:
    """The bundled model, those in the hub's cache that mmchat reads, and the presets. The network is not asked."""
    found = [*_bundled(), *_downloaded(_cached())]
    here = {model.id for model in found}
    return found + [
        Model(
            name=name,
            id=preset.id,
            state="available",
            takes=("text", *preset.takes),
            disk_bytes=0,
            needed_bytes=preset.needed_bytes,
            licence=preset.licence,
            about=preset.about,
        )
        for name, preset in presets().items()
        if preset.id not in here
    ]


def remove(name: str) -> int:
    """Delete a downloaded model; checkpoints that it names stay.

    Args:
        name: a preset, or an id on the hub.

    Returns:
        The bytes that are free now.

    Raises:
        CheckpointError: it is not in the hub's cache.
    """
    preset = presets().get(name)
    model = name if preset is None else preset.id
    repo = _cached().get(model)
    if repo is None:
        raise CheckpointError(f"{name} is not downloaded: mmchat models lists what is")
    strategy = scan_cache_dir().delete_revisions(*(revision.commit_hash for revision in repo.revisions))
    strategy.execute()
    return strategy.expected_freed_size


def _cached() -> dict[str, CachedRepoInfo]:
    """The models in the hub's cache, by their id."""
    try:
        return {repo.repo_id: repo for repo in scan_cache_dir().repos if repo.repo_type == "model"}
    except CacheNotFound:
        return {}


def _bundled() -> Iterator[Model]:
    try:
        folder = find_model(None)
    except CheckpointError:
        return
    size = sum(path.stat().st_size for path in folder.iterdir())
    config = _config(folder)
    yield Model(
        name=BUNDLED,
        id=None,
        state="bundled",
        takes=_takes(config),
        disk_bytes=size,
        needed_bytes=size,
        licence=_licence(folder),
        about=config["knows"],
    )


def _downloaded(cached: dict[str, CachedRepoInfo]) -> Iterator[Model]:
    """Those that mmchat reads, in the order of their names, then what they need."""
    names = {preset.id: name for name, preset in presets().items()}
    needed: dict[str, str] = {}
    for repo_id, repo in sorted(cached.items()):
        folder = _folder(repo)
        config = {} if folder is None else _config(folder)
        takes = _takes(config)
        if folder is None or not takes:
            continue
        needed |= {config[key]: repo_id for key in _BASES if config.get(key) in cached}
        preset = presets().get(names.get(repo_id, ""))
        yield Model(
            name=names.get(repo_id, repo_id),
            id=repo_id,
            state="downloaded",
            takes=takes,
            disk_bytes=repo.size_on_disk,
            needed_bytes=repo.size_on_disk if preset is None else preset.needed_bytes,
            licence=_licence(folder) if preset is None else preset.licence,
            about="" if preset is None else preset.about,
        )
    for repo_id, by in sorted(needed.items()):
        folder = _folder(cached[repo_id])
        yield Model(
            name=repo_id,
            id=repo_id,
            state="downloaded",
            takes=(),
            disk_bytes=cached[repo_id].size_on_disk,
            needed_bytes=0,
            licence="" if folder is None else _licence(folder),
            about=f"part of {names.get(by, by)}",
        )


def _folder(repo: CachedRepoInfo) -> Path | None:
    """The newest snapshot that has a `config.json`."""
    newest = sorted(repo.revisions, key=lambda revision: revision.last_modified, reverse=True)
    return next((each.snapshot_path for each in newest if (each.snapshot_path / CONFIG_FILE).is_file()), None)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _takes(config: dict[str, Any]) -> tuple[str, ...]:
    """What a model takes; nothing, if mmchat cannot read it."""
    if "model_type" in config:
        return ("text", *FAMILIES[config["model_type"]]) if config["model_type"] in FAMILIES else ()
    if "decoder" not in config:
        return ()
    senses = {"pictures": config.get("image_encoder"), "voice": config.get("audio_encoder")}
    return ("text", *(sense for sense, encoder in senses.items() if encoder))


def _licence(folder: Path) -> str:
    """What the front matter of the model card says."""
    path = folder / CARD_FILE
    parts = path.read_text(encoding="utf-8", errors="replace").split("---\n", 2) if path.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return "unknown"
    try:
        matter = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return "unknown"
    return str(matter.get("license", "unknown")) if isinstance(matter, dict) else "unknown"
