"""Any checkpoint folder, ours or that of a family of public checkpoints, behind one class."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from tokenizers import AddedToken
from torch import Tensor

from mmchat.checkpoints.families.family import Family
from mmchat.checkpoints.families.hub_files import HubFiles
from mmchat.checkpoints.families.names import MappedWeights, NameMap
from mmchat.checkpoints.store import CONFIG_FILE, Checkpoint
from mmchat.checkpoints.weights import Weights
from mmchat.errors import CheckpointError
from mmchat.model.tokenizer import ChatTokenizer

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "llava": ("pictures",),
    "qwen2_audio": ("voice",),
    "ultravox": ("voice",),
    "voxtral": ("voice",),
}
"""The `model_type` that stands in `config.json` of each, and what its models take beside text."""


def family_of(model_type: str) -> Family:
    """One of `FAMILIES`. It is imported when it is asked for: each brings much of transformers with it.

    Raises:
        CheckpointError: there is no such family.
    """
    match model_type:
        case "llava":
            from mmchat.checkpoints.families.llava import LLAVA

            return LLAVA
        case "qwen2_audio":
            from mmchat.checkpoints.families.qwen2_audio import QWEN2_AUDIO

            return QWEN2_AUDIO
        case "ultravox":
            from mmchat.checkpoints.families.ultravox import ULTRAVOX

            return ULTRAVOX
        case "voxtral":
            from mmchat.checkpoints.families.voxtral import VOXTRAL

            return VOXTRAL
    raise CheckpointError(f"models of type {model_type!r} cannot be read; these can: {', '.join(FAMILIES)}")


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Open a folder of ours or of a family.

    Args:
        folder: with a `config.json`.
        name: to show for a public checkpoint; by default that of the folder.

    Raises:
        CheckpointError: the folder is missing, is no checkpoint, or is of no family that is known.
        ConfigError: its `config.json` has an unknown key or a wrong value.
    """
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Checkpoint(folder)  # says what is wrong with it
    if not isinstance(config, dict) or "model_type" not in config:
        return Checkpoint(folder)
    family = family_of(config["model_type"])
    return PublicCheckpoint(HubFiles(folder, family.chat_template), family, name or folder.name)


def export_checkpoint(checkpoint: Checkpoint, family: str, folder: Path) -> None:
    """Write a checkpoint as a folder of a family; each weight stays the same bytes.

    It is written beside its place and moved there when it is complete.

    Args:
        checkpoint: ours.
        family: a key of `FAMILIES`.
        folder: it must not exist.

    Raises:
        CheckpointError: the model has something that the family has no place for; says what.
    """
    from huggingface_hub import save_torch_state_dict

    chosen = family_of(family)
    if chosen.write_settings is None:
        raise CheckpointError(f"folders of the family {family} are read here, and not written")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        chosen.write_settings(partial, checkpoint.config, checkpoint.tokenizer())
        tensors: dict[str, Tensor] = {}
        for component, rules in chosen.rules(checkpoint.config).items():
            weights = checkpoint.weights(component)
            for name in weights.shapes():
                tensors |= NameMap(rules).split(name, weights.tensor(name))
        save_torch_state_dict(tensors, partial, metadata={"format": "pt"})
    except BaseException:
        shutil.rmtree(partial)
        raise
    partial.replace(folder)


class PublicCheckpoint(Checkpoint):
    """A checkpoint folder of a family, read as it is."""

    def __init__(self, files: HubFiles, family: Family, name: str) -> None:
        """Read the settings; weights are read when they are asked for.

        Raises:
            CheckpointError: something in the folder is missing, malformed or not supported; says what.
        """
        self.folder = files.folder
        self.config = family.model_config(files, name)
        self._files = files
        self._template = files.chat_template
        self._family = family

    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer with its chat template."""
        tokenizer, tokens = self._files.tokenizer, self.config.tokens
        if tokens.fill is not None:  # the placeholders may be in no vocabulary
            media = [token for token in (tokens.image, tokens.audio) if token is not None]
            tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in media])
        return ChatTokenizer(tokenizer, self._template, tokens)

    def weights(self, name: str) -> Weights:
        """The weights of a component.

        Raises:
            CheckpointError: a file is missing or malformed, or a tensor belongs to no component; names it.
        """
        return self._weights[name]

    def parameters(self) -> dict[str, int]:
        """Number of weights of each component, from the file headers alone."""
        return {
            name: sum(math.prod(shape) for shape in weights.shapes().values() if shape is not None)
            for name, weights in self._weights.items()
        }

    def verify(self) -> int:
        """Such a folder records no hashes; see that each tensor belongs to a component.

        Returns:
            0, the number of files compared.

        Raises:
            CheckpointError: as for `weights`.
        """
        self._family.read(self._family.weights(self._files), self.config)
        return 0

    @cached_property
    def _weights(self) -> dict[str, MappedWeights]:
        return self._family.read(self._family.weights(self._files), self.config)
