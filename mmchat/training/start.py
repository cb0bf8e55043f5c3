"""What a stage starts from: components that earlier stages have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mmchat.checkpoints.store import load_component


def start_from(folders: Sequence[Path], name: str, component: nn.Module) -> bool:
    """Fill a component from the first folder that holds it.

    Returns:
        Whether one does; otherwise the component keeps its fresh weights.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    for folder in folders:
        if (folder / f"{name}.safetensors").is_file():
            load_component(folder, name, component)
            return True
    return False
