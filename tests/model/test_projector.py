"""Stack and pool beside a naive loop; the MLP beside the projectors of public checkpoints."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from transformers import LlavaConfig, Qwen2AudioConfig, VoxtralConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioMultiModalProjector
from transformers.models.voxtral.modeling_voxtral import VoxtralMultiModalProjector

from mmchat.config import Norm, ProjectorConfig
from mmchat.model.projector import Projector

E, D, V = 6, 5, 9
Reduce = Literal["stack", "pool"]


def projector(reduce: Reduce, neighbours: int, features: int = E) -> Projector:
    torch.manual_seed(0)
    made = Projector(ProjectorConfig(reduce=reduce, neighbours=neighbours, hidden=7), features, D, V)
    assert isinstance(made.norm, nn.LayerNorm)
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


def test_tokens_are_read_as_they_are_unless_they_are_heard_as_words() -> None:
    """And nobody looks up a whole vocabulary for them."""
    tokens, embeddings = torch.randn(4, D), torch.randn(V, D)
    ours = projector("stack", 2)
    assert torch.equal(ours.read(tokens, lambda: pytest.fail("they are not asked for")), tokens)
    assert ours.order(tokens).tolist() == [0, 1, 2, 3]
    hearing = Projector(ProjectorConfig(reduce="stack", neighbours=2, heard="words"), E, D, V)
    assert hearing.heard is not None
    assert torch.equal(hearing.read(tokens, lambda: embeddings), hearing.heard.read(tokens, embeddings))
    assert torch.equal(hearing.order(tokens), hearing.heard.order(tokens))


def test_positions_tell_equal_features_apart() -> None:
    torch.manual_seed(0)
    ours = Projector(ProjectorConfig(reduce="pool", neighbours=1, hidden=7, positions=4), E, D, V)
    assert ours.positions is not None
    alike = torch.randn(2, 1, E).expand(2, 4, E)
    tokens = ours(alike)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 3])
    nn.init.normal_(ours.positions)
    torch.testing.assert_close(ours(alike), tokens + ours.positions)


# ----------------------------------------------------------------------------------------------- public checkpoints


def twin(ours: Projector, theirs: nn.Module) -> None:
    """Give both the same random weights, in the order in which they are used."""
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for mine, other in pairs:
        assert mine.shape == other.shape
        nn.init.normal_(mine)
        other.data.copy_(mine.data)


def test_it_is_the_projector_of_llava() -> None:
    tower = {"model_type": "clip_vision_model", "hidden_size": E, "num_attention_heads": 2}
    theirs = LlavaMultiModalProjector(LlavaConfig(vision_config=tower, text_config=_text(D)))
    ours = Projector(ProjectorConfig(reduce="pool", neighbours=1, hidden=D, norm="none"), E, D, V)
    twin(ours, theirs)
    features = torch.randn(2, 9, E)
    torch.testing.assert_close(ours(features), theirs(features))


def test_it_is_the_projector_of_qwen2_audio() -> None:
    encoder = {"d_model": E, "encoder_attention_heads": 2}
    theirs = Qwen2AudioMultiModalProjector(Qwen2AudioConfig(audio_config=encoder, text_config=_text(D)))
    ours = Projector(ProjectorConfig(reduce="pool", neighbours=1, norm="none"), E, D, V)
    twin(ours, theirs)
    features = torch.randn(2, 9, E)
    torch.testing.assert_close(ours(features), theirs(features))


def test_it_is_the_projector_of_voxtral() -> None:
    theirs = VoxtralMultiModalProjector(
        VoxtralConfig(
            audio_config={"hidden_size": E, "intermediate_size": 4 * E, "num_attention_heads": 2}, text_config=_text(D)
        )
    )
    config = ProjectorConfig(reduce="stack", neighbours=4, hidden=D, norm="none", bias=False)
    ours = Projector(config, E, D, V)
    twin(ours, theirs)
    features = torch.randn(2, 12, E)
    torch.testing.assert_close(ours(features), theirs(features.reshape(2 * 3, 4 * E)).view(2, 3, D))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_it_is_the_projector_of_ultravox(version: str) -> None:
    """Its published code: RMSNorm, linear, SwiGLU, linear; a second RMSNorm after the last, since v0.5 before it."""
    late: tuple[Norm, Norm] = ("none", "rms") if version == "0.4" else ("rms", "none")
    config = ProjectorConfig(
        reduce="stack",
        neighbours=8,
        hidden=14,
        activation="swiglu",
        bias=False,
        norm="rms",
        hidden_norm=late[0],
        out_norm=late[1],
    )
    ours = Projector(config, E, D, V).requires_grad_(False)
    for weight in ours.parameters():
        nn.init.normal_(weight)
    weights = [weight.double() for weight in ours.parameters()]
    first, second = (weights[1], weights[2]) if version == "0.4" else (weights[1], weights[3])
    features = torch.randn(2, 12, E)
    padded = torch.cat([features, torch.zeros(2, 4, E)], 1).reshape(2, 2, 8 * E).double()

    def rms(x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    x = rms(padded, weights[0]) @ first.T
    x = x[..., :7] * x[..., 7:] * torch.sigmoid(x[..., 7:])
    x = x @ second.T if version == "0.4" else rms(x, weights[2]) @ second.T
    x = rms(x, weights[3]) if version == "0.4" else x
    torch.testing.assert_close(ours(features), x.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"activation": "silu"}, "activation and hidden_norm belong to the hidden layer: give hidden"),
        ({"hidden_norm": "rms"}, "activation and hidden_norm belong to the hidden layer: give hidden"),
        ({"hidden": 7, "activation": "swiglu"}, "swiglu halves the hidden layer: 7 is odd"),
    ],
)
def test_settings_that_shape_nothing_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ProjectorConfig(reduce="pool", neighbours=1, **settings)


def _text(width: int) -> dict[str, Any]:
    """A text model of some width; only the width matters to a projector."""
    return {"model_type": "llama", "hidden_size": width, "num_attention_heads": 1, "head_dim": 2}
