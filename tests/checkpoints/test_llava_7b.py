"""The shape of LLaVA-1.5-7B: every name of its published index has a place, and every weight of ours a name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn

from mmchat.checkpoints.families.hub_files import HubFiles
from mmchat.checkpoints.families.llava import LLAVA
from mmchat.checkpoints.weights import WeightFiles, compare
from mmchat.checkpoints.weights import shapes as weight_shapes
from mmchat.config import ModelConfig
from mmchat.errors import CheckpointError
from mmchat.model.multimodal import Multimodal
from mmchat.model.transformers_decoder import TransformersDecoder

IMAGE, VOCABULARY = 32000, 32064
CONFIG = {
    "model_type": "llava",
    "ignore_index": -100,
    "image_token_index": IMAGE,
    "projector_hidden_act": "gelu",
    "text_config": {
        "_name_or_path": "lmsys/vicuna-7b-v1.5",
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "rms_norm_eps": 1e-05,
        "torch_dtype": "float16",
        "vocab_size": VOCABULARY,
    },
    "torch_dtype": "float16",
    "vision_config": {
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
        "vocab_size": 32000,
    },
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "vocab_size": VOCABULARY,
}


def published() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of llava-hf/llava-1.5-7b-hf."""
    text, seen = "language_model.model.", "vision_tower.vision_model."
    yield "language_model.lm_head.weight", (VOCABULARY, 4096)
    yield text + "embed_tokens.weight", (VOCABULARY, 4096)
    yield text + "norm.weight", (4096,)
    for layer in range(32):
        for name in ("q", "k", "v", "o"):
            yield f"{text}layers.{layer}.self_attn.{name}_proj.weight", (4096, 4096)
        for name, shape in {"gate": (11008, 4096), "up": (11008, 4096), "down": (4096, 11008)}.items():
            yield f"{text}layers.{layer}.mlp.{name}_proj.weight", shape
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{text}layers.{layer}.{name}.weight", (4096,)
    yield seen + "embeddings.class_embedding", (1024,)
    yield seen + "embeddings.patch_embedding.weight", (1024, 3, 14, 14)
    yield seen + "embeddings.position_embedding.weight", (577, 1024)
    for name in ("pre_layrnorm", "post_layernorm"):
        yield from both(seen + name, 1024)
    for layer in range(24):
        place = f"{seen}encoder.layers.{layer}."
        for name in ("q", "k", "v", "out"):
            yield from both(f"{place}self_attn.{name}_proj", 1024, 1024)
        for name in ("layer_norm1", "layer_norm2"):
            yield from both(place + name, 1024)
        yield from both(place + "mlp.fc1", 4096, 1024)
        yield from both(place + "mlp.fc2", 1024, 4096)
    yield from both("multi_modal_projector.linear_1", 4096, 1024)
    yield from both("multi_modal_projector.linear_2", 4096, 4096)


def both(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight", shape
    yield name + ".bias", shape[:1]


class Index(WeightFiles):
    """Names and shapes without the 14 GB."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        super().__init__(Path("llava-1.5-7b-hf"), [])
        self._shapes = shapes

    def tensor(self, name: str) -> Tensor:
        return torch.empty(self._shapes[name], device="meta")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = {f"word{index}": index for index in range(IMAGE)} | {"<image>": IMAGE, "<pad>": IMAGE + 1}
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {word: index for word, index in words.items() if index > 2}
    Tokenizer(models.WordLevel(words, unk_token="<unk>")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "chat_template": "{{ bos_token }}"})
    )
    return tmp_path


def config(folder: Path) -> ModelConfig:
    return LLAVA.model_config(HubFiles(folder), "llava")


def on_meta(folder: Path) -> dict[str, nn.Module]:
    with torch.device("meta"):
        sizes = config(folder)
        model = Multimodal(sizes, TransformersDecoder(sizes.decoder))
        return {"decoder": model.decoder, **model.fresh("image")}


def test_every_name_has_its_place_and_every_weight_its_name(folder: Path) -> None:
    shapes = dict(published())
    weights = LLAVA.read(Index(shapes), config(folder))
    components = on_meta(folder)
    for name, component in components.items():
        compare(weight_shapes(component), weights[name])
    ours = sum(tensor.numel() for component in components.values() for tensor in component.state_dict().values())
    assert ours == sum(math.prod(shape) for shape in shapes.values()) == 7_063_427_072


def test_a_layer_too_few_is_noticed(folder: Path) -> None:
    shapes = {name: shape for name, shape in published() if ".layers.31." not in name}
    with pytest.raises(
        CheckpointError, match=r"language_model\.model\.layers\.31\.self_attn\.q_proj\.weight is missing"
    ):
        compare(weight_shapes(on_meta(folder)["decoder"]), LLAVA.read(Index(shapes), config(folder))["decoder"])
