"""Tensors in safetensors files, read one by one, and a module filled with them: all of them, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mmchat.errors import CheckpointError

_MOST_NAMED = 5
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight")


class Tensors(Protocol):
    """Tensors by name; shapes are known without reading them."""

    where: Path
    """What an error message names."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU, in the type it is stored in."""
        ...


class Weights(Protocol):
    """The weights of a component by our names."""

    where: Path
    """What an error message names."""

    def shapes(self) -> Mapping[str, tuple[int, ...] | None]:
        """The shape of each weight; None where a part of it is missing."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One weight, on the CPU, in the type it is stored in."""
        ...

    def present(self, name: str) -> str:
        """What the files call what they hold of it."""
        ...

    def absent(self, name: str) -> str:
        """What the files would call what they lack of it."""
        ...


class WeightFiles:
    """The tensors of safetensors files taken together."""

    def __init__(self, where: Path, files: Iterable[Path]) -> None:
        """Read the headers.

        Raises:
            CheckpointError: a file is missing or malformed, or two of them have a tensor of one name.
        """
        self.where = where
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for path in files:
            for name, shape in _header(path):
                if name in self._files:
                    raise CheckpointError(f"{name} stands in {self._files[name]} and in {path}")
                self._files[name] = path
                self._shapes[name] = shape

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return self._shapes

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU, in the type it is stored in."""
        with safe_open(self._files[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def present(self, name: str) -> str:
        """The files have our own names."""
        return name

    def absent(self, name: str) -> str:
        """The files would have our own names."""
        return name

    def count(self) -> int:
        """How many numbers all tensors hold."""
        return sum(math.prod(shape) for shape in self._shapes.values())


class JoinedTensors:
    """Tensors of several checkpoints under one set of names; of two with one name the first counts."""

    def __init__(self, where: Path, parts: Iterable[tuple[Tensors, Callable[[str], str | None]]]) -> None:
        """
        Args:
            where: what an error message names.
            parts: tensors, and what each of their names becomes here; None leaves it out.
        """
        self.where = where
        self._places: dict[str, tuple[Tensors, str]] = {}
        for tensors, rename in parts:
            for theirs in tensors.shapes():
                name = rename(theirs)
                if name is not None:
                    self._places.setdefault(name, (tensors, theirs))

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: tensors.shapes()[theirs] for name, (tensors, theirs) in self._places.items()}

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU, in the type it is stored in."""
        tensors, theirs = self._places[name]
        return tensors.tensor(theirs)

    def present(self, name: str) -> str:
        """What its checkpoint calls it."""
        return self._places[name][1]

    def absent(self, name: str) -> str:
        """Nobody knows what a checkpoint would call it; what it would be called here."""
        return name


def compare(expected: Mapping[str, tuple[int, ...]], weights: Weights) -> None:
    """Whether the weights are those that a component expects, by name and shape.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape; names it.
    """
    found = weights.shapes()
    problems = [f"{weights.absent(key)} is missing" for key in expected if found.get(key) is None]
    problems += [
        f"{weights.present(key)} is not part of the model"
        for key in found
        if key not in expected and not _is_tied_copy(key, weights, expected)
    ]
    problems += [
        f"{weights.present(key)} has the shape {found[key]}, the model needs {shape}"
        for key, shape in expected.items()
        if found.get(key) not in (None, shape)
    ]
    refuse(weights.where, problems)


def _is_tied_copy(name: str, weights: Weights, expected: Iterable[str]) -> bool:
    """Whether a weight is the output layer, and repeats the embedding that it is tied to: files may hold both."""
    embeddings = [each for each in expected if each.endswith(_EMBEDDINGS)]
    return name.endswith("lm_head.weight") and any(
        torch.equal(weights.tensor(name), weights.tensor(each)) for each in embeddings if weights.shapes().get(each)
    )


def fill(component: nn.Module, weights: Weights) -> None:
    """Copy the weights into a component, strictly.

    Raises:
        CheckpointError: as for `compare`.
    """
    compare(shapes(component), weights)
    with torch.no_grad():
        for key, tensor in unique(component):
            tensor.copy_(weights.tensor(key))


def refuse(where: Path, problems: list[str]) -> None:
    """Raise a `CheckpointError` with the first few problems, if there are any."""
    if problems:
        more = f"; {len(problems) - _MOST_NAMED} more" if problems[_MOST_NAMED:] else ""
        raise CheckpointError(f"{where}: {'; '.join(problems[:_MOST_NAMED])}{more}")


def shapes(component: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each of a component's weights; tied ones once, under their first name."""
    return {key: tuple(tensor.shape) for key, tensor in unique(component)}


def unique(component: nn.Module) -> list[tuple[str, Tensor]]:
    """State of a component with tied weights once, under their first name."""
    first: dict[int, tuple[str, Tensor]] = {}
    for key, tensor in component.state_dict(keep_vars=True).items():
        first.setdefault(id(tensor), (key, tensor))
    return list(first.values())


def _header(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} lacks {path.name}")
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping, only named like one)
                yield name, tuple(file.get_slice(name).get_shape())
    except SafetensorError as error:
        raise CheckpointError(f"{path} is malformed: {error}") from error
