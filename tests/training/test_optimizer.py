"""What moves a weight: AdamW, or for the matrices of layers Muon."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import nn

from mmchat.model.heard import HeardWords
from mmchat.training.optimizer import Muon, build_optimizer, orthogonal
from mmchat.training.settings import OptimizerConfig

CONFIG = OptimizerConfig(learning_rate=0.01)
MUON = OptimizerConfig(learning_rate=0.01, matrices="muon")


@pytest.fixture
def reference() -> ModuleType:
    """Muon as torch has it since 2.9."""
    return pytest.importorskip("torch.optim._muon")


class Talker(nn.Module):
    """An embedding that is the last layer too, a layer, a norm, and a head that is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(9, 4)
        self.layer = nn.Linear(4, 6)
        self.back = nn.Linear(6, 4)
        self.norm = nn.LayerNorm(4)
        self.last = nn.Linear(4, 9, bias=False)
        self.last.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.norm(self.back(self.layer(self.embedding(ids)))))
        return out


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (32, 32)])
def test_a_matrix_becomes_orthogonal_as_in_torch(reference: ModuleType, shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrix)
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
    theirs = reference._zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    assert torch.linalg.norm(found - theirs) < 0.02 * torch.linalg.norm(theirs), "they compute in bfloat16"


def test_steps_are_those_of_torch(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum, decay and the size of a step, with what is made orthogonal made so by the same function."""
    monkeypatch.setattr(reference, "_zeropower_via_newtonschulz", lambda matrix, *_: orthogonal(matrix))
    torch.manual_seed(1)
    ours, theirs = (nn.Parameter(torch.ones(6, 4)) for _ in range(2))
    mine = Muon([{"params": [ours], "orthogonal": True, "weight_decay": 0.1}], lr=0.02)
    other = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        gradient = torch.randn(6, 4)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
    assert not torch.allclose(ours, torch.ones(6, 4), atol=0.01)
    torch.testing.assert_close(ours, theirs)


def test_a_row_for_each_word_is_not_turned() -> None:
    """What tells words of speech is moved as an embedding is, word by word."""
    heard = HeardWords(4, 9)
    optimizer = build_optimizer(heard, {"audio_projector": heard}, MUON)
    turned = [weight for group in optimizer.param_groups if group["orthogonal"] for weight in group["params"]]
    assert [weight.shape for weight in turned] == [heard.speaks.weight.shape]


def test_layers_alone_are_turned_by_muon() -> None:
    """What AdamW moves is what it would have moved without."""
    moved = {}
    for config in (CONFIG, MUON):
        talker, head = Talker(), nn.Linear(9, 2)
        nn.init.ones_(head.weight)
        module = nn.ModuleList([talker, head])
        optimizer = build_optimizer(module, {"decoder": talker}, config)
        before = {name: weight.detach().clone() for name, weight in module.named_parameters()}
        head(talker(torch.arange(8))).square().sum().backward()
        optimizer.step()
        moved[config.matrices] = {name: weight.detach() - before[name] for name, weight in module.named_parameters()}
    same = {name for name in moved["muon"] if torch.equal(moved["muon"][name], moved["adamw"][name])}
    assert moved["muon"].keys() - same == {"0.layer.weight", "0.back.weight"}
    for name in ("0.layer.weight", "0.back.weight"):
        step = moved["muon"][name] / (0.01 * 0.2 * 6**0.5)
        assert float(torch.linalg.matrix_norm(step, 2)) == pytest.approx(1.0, abs=0.3), "that of one orthogonal matrix"


def test_it_goes_on_from_its_state() -> None:
    """As one that was never stopped."""
    weights = []
    for stopped in (False, True):
        talker = Talker()
        optimizer = build_optimizer(talker, {"decoder": talker}, MUON)
        for step in range(4):
            if stopped and step == 2:
                kept = optimizer.state_dict()
                optimizer = build_optimizer(talker, {"decoder": talker}, MUON)
                optimizer.load_state_dict(kept)
            optimizer.zero_grad()
            talker(torch.arange(8).roll(step)).square().sum().backward()
            optimizer.step()
        weights.append([weight.detach() for weight in talker.parameters()])
    for one, other in zip(*weights, strict=True):
        assert torch.equal(one, other)


def test_matrices_decay_and_nothing_else_does() -> None:
    talker = Talker()
    decayed, free = build_optimizer(talker, {}, CONFIG).param_groups
    assert {weight.ndim for weight in decayed["params"]} == {2}
    assert {weight.ndim for weight in free["params"]} == {1}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert len(decayed["params"]) + len(free["params"]) == len(list(talker.parameters()))
