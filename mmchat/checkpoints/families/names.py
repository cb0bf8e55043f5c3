"""A two-way map between our names of weights and those of a family's files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmchat.checkpoints.weights import Tensors

_WILDCARDS = {"{layer}": r"(?P<layer>\d+)", "{rest}": r"(?P<rest>.+)"}


@dataclass(frozen=True)
class Rule:
    """Names that belong together; `{layer}` stands for a number, `{rest}` for any end of a name."""

    ours: str
    theirs: tuple[str, ...]
    """Several are laid end to end along the first axis, as query, key and value are."""
    batched: bool = False
    """Ours has one more axis in front, of length 1."""


def rule(ours: str, *theirs: str, batched: bool = False) -> Rule:
    """A `Rule` in one line."""
    return Rule(ours, theirs, batched)


class NameMap:
    """The rules of one component."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._forth = [(_pattern(each.ours), each) for each in rules]
        self._back = [(_pattern(name), each.ours, index) for each in rules for index, name in enumerate(each.theirs)]

    def theirs(self, ours: str) -> tuple[str, ...]:
        """What the family calls one of our weights; our own name where it knows none."""
        for pattern, each in self._forth:
            if match := pattern.fullmatch(ours):
                return tuple(name.format(**match.groupdict()) for name in each.theirs)
        return (ours,)

    def batched(self, ours: str) -> bool:
        """Whether one of our weights has one more axis in front than theirs."""
        return any(each.batched for pattern, each in self._forth if pattern.fullmatch(ours))

    def split(self, ours: str, tensor: Tensor) -> dict[str, Tensor]:
        """One of our weights as the family keeps it."""
        names = self.theirs(ours)
        parts = (tensor[0] if self.batched(ours) else tensor).chunk(len(names))
        return {name: part.clone() for name, part in zip(names, parts, strict=True)}

    def ours(self, theirs: str) -> tuple[str, int] | None:
        """What we call one of their weights, and which part of it that is; None where it belongs elsewhere."""
        for pattern, name, index in self._back:
            if match := pattern.fullmatch(theirs):
                return name.format(**match.groupdict()), index
        return None


class MappedWeights:
    """The weights of one component under our names, in files that name them otherwise."""

    def __init__(self, files: Tensors, spelling: Mapping[str, str], names: NameMap) -> None:
        """
        Args:
            files: theirs.
            spelling: for each name that the map knows, the name in the files.
            names: of the component; weights of others are left out.
        """
        self.where: Path = files.where
        self._files = files
        self._names = names
        self._spelling = spelling
        self._parts: dict[str, dict[int, str]] = {}
        for known in spelling:
            if found := names.ours(known):
                self._parts.setdefault(found[0], {})[found[1]] = spelling[known]

    def shapes(self) -> Mapping[str, tuple[int, ...] | None]:
        """The shape of each weight; None where a part of it is missing."""
        shapes = self._files.shapes()
        return {
            name: None if self.absent(name) else self._shape(name, [shapes[part] for _, part in sorted(parts.items())])
            for name, parts in self._parts.items()
        }

    def tensor(self, name: str) -> Tensor:
        """One weight, on the CPU, in the type it is stored in."""
        parts = [self._files.tensor(part) for _, part in sorted(self._parts[name].items())]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole[None] if self._names.batched(name) else whole

    def present(self, name: str) -> str:
        """What the files call the parts of a weight that they hold."""
        return ", ".join(part for _, part in sorted(self._parts.get(name, {}).items()))

    def absent(self, name: str) -> str:
        """What the family calls the parts of a weight that the files lack."""
        parts = self._parts.get(name, {})
        return ", ".join(each for index, each in enumerate(self._names.theirs(name)) if index not in parts)

    def _shape(self, name: str, parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return (1, *_joined(parts)) if self._names.batched(name) else _joined(parts)


def _pattern(name: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", name)
    return re.compile("".join(_WILDCARDS.get(part) or re.escape(part) for part in parts))


def _joined(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Of tensors end to end; tensors that do not fit keep the shapes of all, so that the mistake shows."""
    if len({shape[1:] for shape in shapes}) > 1:
        return tuple(number for shape in shapes for number in shape)
    return (sum(shape[0] for shape in shapes), *shapes[0][1:]) if len(shapes) > 1 else shapes[0]
