"""Stack and pool beside a naive loop."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from mmchat.config import ProjectorConfig
from mmchat.model.projector import Projector

E, D = 6, 5
Reduce = Literal["stack", "pool"]


def projector(reduce: Reduce, neighbours: int, features: int = E) -> Projector:
    torch.manual_seed(0)
    made = Projector(ProjectorConfig(reduce=reduce, neighbours=neighbours, hidden=7), features, D)
    nn.init.uniform_(made.norm.weight, 0.5, 1.5)
    nn.init.normal_(made.norm.bias)
    return made.requires_grad_(False)


def naive(ours: Projector, features: Tensor) -> Tensor:
    """One token after the other: (B, T, E) to (B, n, D)."""
    k = ours.config.neighbours
    rows = []
    for item in features:
        tokens = []
        for start in range(0, len(item), k):
            group = item[start : start + k]
            if ours.config.reduce == "pool":
                reduced = group.mean(0)
            else:
                reduced = torch.cat([*group, *torch.zeros(k - len(group), item.shape[1])])
            tokens.append(ours.mlp(ours.norm(reduced)))
        rows.append(torch.stack(tokens))
    return torch.stack(rows)


@pytest.mark.parametrize("reduce", ["stack", "pool"])
@pytest.mark.parametrize("neighbours", [1, 2, 3, 8])
@pytest.mark.parametrize("length", [1, 2, 6, 7])
def test_tokens_equal_those_of_a_naive_loop(reduce: Reduce, neighbours: int, length: int) -> None:
    """Whether the last token is full or not."""
    ours = projector(reduce, neighbours)
    features = torch.randn(2, length, E)
    tokens = ours(features)
    torch.testing.assert_close(tokens, naive(ours, features))
    assert tokens.shape == (2, ours.num_tokens(length), D)


@pytest.mark.parametrize(
    ("reduce", "expected"), [("stack", [[1, 2], [3, 4], [5, 0]]), ("pool", [[1.5], [3.5], [5]])]
)  # fmt: skip
def test_neighbours_are_laid_end_to_end_or_averaged(
    reduce: Reduce, expected: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last token of a pool is the average of what is there: a zero that was padded on would halve it."""
    ours = projector(reduce, 2, features=1)
    monkeypatch.setattr(ours, "norm", nn.Identity())
    monkeypatch.setattr(ours, "mlp", nn.Identity())
    assert ours(torch.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0]]])).tolist() == [expected]


@pytest.mark.parametrize(("features", "tokens"), [(1, 1), (8, 1), (9, 2), (1500, 188)])
def test_the_number_of_tokens_is_known_beforehand(features: int, tokens: int) -> None:
    assert projector("stack", 8).num_tokens(features) == tokens


def test_positions_tell_equal_features_apart() -> None:
    torch.manual_seed(0)
    ours = Projector(ProjectorConfig(reduce="pool", neighbours=1, hidden=7, positions=4), E, D)
    assert ours.positions is not None
    alike = torch.randn(2, 1, E).expand(2, 4, E)
    tokens = ours(alike)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 3])
    nn.init.normal_(ours.positions)
    torch.testing.assert_close(ours(alike), tokens + ours.positions)
