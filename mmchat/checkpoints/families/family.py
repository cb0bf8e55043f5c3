"""What is known of a family of public checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmchat.checkpoints.families.hub_files import HubFiles
from mmchat.checkpoints.families.names import MappedWeights, NameMap, Rule
from mmchat.checkpoints.weights import Tensors, refuse
from mmchat.config import ModelConfig
from mmchat.model.tokenizer import ChatTokenizer

Rules = Mapping[str, tuple[Rule, ...]]
"""By the name of our component."""


@dataclass(frozen=True)
class Family:
    """How to read the folders of one family."""

    model_config: Callable[[HubFiles, str], ModelConfig]
    """Of a folder and the name to show."""
    rules: Callable[[ModelConfig], Rules]
    """Of a model of the family."""
    weights: Callable[[HubFiles], Tensors] = HubFiles.weights
    """All tensors of a model, those of other checkpoints that it names included."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of names, as regular expressions, in other releases, and what `rules` call them; the first that
    matches is replaced, then the next is tried."""
    unused: tuple[str, ...] = ()
    """Beginnings of names that some files hold and nothing needs."""
    chat_template: str | None = None
    """Of folders that have none of their own."""
    write_settings: Callable[[Path, ModelConfig, ChatTokenizer], None] | None = None
    """The other way, where there is one: into an empty folder, everything but the weights. Raises a CheckpointError
    that says what of the model the family has no setting for."""

    def read(self, tensors: Tensors, config: ModelConfig) -> dict[str, MappedWeights]:
        """The weights of each component.

        Raises:
            CheckpointError: a tensor belongs to no component; names it.
        """
        spelling = {self._known(name): name for name in tensors.shapes()}
        maps = {component: NameMap(rules) for component, rules in self.rules(config).items()}
        refuse(tensors.where, [
            f"{theirs} is not part of the model"
            for known, theirs in spelling.items()
            if not known.startswith(self.unused) and not any(names.ours(known) for names in maps.values())
        ])  # fmt: skip
        return {component: MappedWeights(tensors, spelling, names) for component, names in maps.items()}

    def _known(self, name: str) -> str:
        for begin, known in self.spellings.items():
            name = re.sub(f"^{begin}", known, name)
        return name
