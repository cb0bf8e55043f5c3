"""Toy LLaVAs, with CLIP and with SigLIP, saved by transformers, answer here as they do there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from checkpoints.toys import TEXT, greedy_ids, llama_tokenizer, loaded, qwen_tokenizer
from mmchat.assistant import Assistant
from mmchat.checkpoints.public import export_checkpoint, open_checkpoint
from mmchat.checkpoints.store import copy_checkpoint
from mmchat.cli import main
from mmchat.errors import CheckpointError
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.model.sequence import build_sequence

SIDE, PATCH = 28, 14
VICUNA = """
{%- for message in messages -%}
{%- if message.role != 'system' %}{{ message.role.upper() + ': ' }}{% endif -%}
{%- for part in message.content if part.type == 'image' %}{{ '<image>\n' }}{% endfor -%}
{%- for part in message.content if part.type == 'text' -%}
{%- if message.role == 'assistant' %}{% generation %}{{ part.text + ' ' }}{% endgeneration %}
{%- else %}{{ part.text + ' ' }}{% endif -%}
{%- endfor -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif -%}
"""
CHATML = """
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' -}}
{%- for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text | trim }}{% endif %}
{%- endfor %}{{ '<|im_end|>\n' }}{% endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif -%}
"""


@dataclass(frozen=True)
class Reference:
    """A checkpoint as transformers wrote it, and what reads it there."""

    folder: Path
    model: LlavaForConditionalGeneration
    processor: LlavaProcessor

    def inputs(self, messages: list[Message]) -> dict[str, Tensor]:
        content = [
            {
                "role": message.role,
                "content": [
                    {"type": "image", "image": part.image}
                    if isinstance(part, ImagePart)
                    else {"type": "text", "text": part.text}  # type: ignore[union-attr]
                    for part in message.content
                ],
            }
            for message in messages
        ]
        return dict(
            self.processor.apply_chat_template(
                content, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            )
        )


VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}
CLIP = CLIPVisionConfig(**VISION, image_size=SIDE, projection_dim=16)
SIGLIP = SiglipVisionConfig(**VISION, image_size=SIDE + 6, vision_use_head=False)  # 384 is no multiple of 14 either


def save(
    folder: Path, vision: Any, text: Any, tokenizer: PreTrainedTokenizerFast, template: str, **changes: Any
) -> Reference:
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<image>"), **changes
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)  # biases and norms too are their own
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.save_pretrained(folder, max_shard_size="100KB")
    square = {"height": vision.image_size, "width": vision.image_size}
    clip = vision is CLIP
    pictures = (
        LlavaImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square)
        if clip
        else SiglipImageProcessorPil(size=square)
    )
    processor = LlavaProcessor(
        pictures, tokenizer, PATCH, config.vision_feature_select_strategy, template, num_additional_image_tokens=clip
    )
    processor.save_pretrained(folder)
    return Reference(folder, model, processor)


@pytest.fixture(scope="module", params=["vicuna", "qwen2", "siglip"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "vicuna":
        return save(folder, CLIP, LlamaConfig(**TEXT), llama_tokenizer(), VICUNA)
    tied = Qwen2Config(**TEXT, tie_word_embeddings=True)
    vision, layer = (CLIP, 2) if request.param == "qwen2" else (SIGLIP, -1)
    whole = {"vision_feature_select_strategy": "full", "vision_feature_layer": layer}
    return save(folder, vision, tied, qwen_tokenizer("<image>"), CHATML, tie_word_embeddings=True, **whole)


def picture(seed: int, size: tuple[int, int]) -> ImagePart:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return ImagePart.from_pil(Image.fromarray(pixels), f"{seed}.png")


ONE, TWO, THREE = picture(1, (28, 28)), picture(2, (64, 40)), picture(3, (30, 90))
CONVERSATIONS = {
    "text": [Message.user("what is this?")],
    "picture": [Message.user(ONE, "what is this?")],
    "blanks": [Message.user("  what\n\n is   this? ", ONE)],
    "three pictures": [Message.user("on the left", ONE, "and", TWO, "and on the right", THREE, "?")],
    "turns": [
        Message.system("be brief"),
        Message.user(TWO, "describe this"),
        Message.assistant("It is a cat."),
        Message.user("and this?", THREE),
    ],
    "other letters": [Message.user("Grüße, 日本語 🐈", ONE)],
}
ANY = pytest.mark.parametrize("name", CONVERSATIONS)


@ANY
@torch.no_grad()
def test_ids_and_logits_are_those_of_transformers(reference: Reference, name: str) -> None:
    inputs = reference.inputs(CONVERSATIONS[name])
    model, tokenizer = loaded(reference.folder, "image")
    sequence = build_sequence(CONVERSATIONS[name], tokenizer, model.num_tokens)
    assert list(sequence.ids) == inputs["input_ids"][0].tolist()
    logits, theirs = model([sequence]), reference.model(**inputs).logits
    assert torch.allclose(logits, theirs, atol=1e-4), float((logits - theirs).abs().max())


@ANY
@torch.no_grad()
def test_greedy_ids_are_those_of_transformers(reference: Reference, name: str) -> None:
    inputs = reference.inputs(CONVERSATIONS[name])
    whole = reference.model.generate(**inputs, max_new_tokens=64, do_sample=False)[0].tolist()
    theirs = whole[inputs["input_ids"].shape[1] :]
    model, tokenizer = loaded(reference.folder, "image")
    sequence = build_sequence(CONVERSATIONS[name], tokenizer, model.num_tokens)
    ours = greedy_ids(model, tokenizer, sequence)
    assert tokenizer.stop_ids == set(reference.model.generation_config.eos_token_id)
    assert ours == [index for index in theirs if index not in tokenizer.stop_ids]
    assert len(ours) > 5


# Strictness


def alter(folder: Path, change: Callable[[dict[str, Tensor]], object], key: str) -> None:
    (path,) = [path for path in folder.glob("*.safetensors") if key in load_file(path)]
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(reference: Reference, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(reference.folder, tmp_path / "model"))


PROJECTOR = "multi_modal_projector.linear_1.bias"
KEY = "vision_tower.encoder.layers.1.self_attn.k_proj.weight"


@pytest.mark.parametrize(
    ("key", "change", "line"),
    [
        (PROJECTOR, lambda w: w.pop(PROJECTOR), f"{PROJECTOR} is missing"),
        (KEY, lambda w: w.pop(KEY), f"vision_tower.vision_model.{KEY.partition('.')[2]} is missing"),
        (PROJECTOR, lambda w: w.update(more=torch.ones(1)), "more is not part of the model"),
        (PROJECTOR, lambda w: w.update({KEY.replace("1", "9"): torch.ones(24, 24)}),
         "vision_tower.encoder.layers.9.self_attn.k_proj.weight is not part of the model"),
        (PROJECTOR, lambda w: w.update(linear_1=w.pop(PROJECTOR)), "linear_1 is not part of the model"),
        (PROJECTOR, lambda w: w.update({PROJECTOR: torch.ones(5)}),
         f"{PROJECTOR} has the shape (5,), the model needs (32,)"),
        (KEY, lambda w: w.update({KEY: torch.ones(25, 24)}), f"{KEY}, "),
        (KEY, lambda w: w.update({KEY: torch.ones(24, 25)}), f"{KEY}, "),
    ],
    ids=["missing", "missing part", "extra", "extra layer", "renamed", "reshaped", "part reshaped", "part misfit"],
)  # fmt: skip
def test_damaged_weights_are_refused_by_name(
    folder: Path, key: str, change: Callable[[dict[str, Tensor]], object], line: str
) -> None:
    alter(folder, change, key)
    assert line in refusal(lambda: loaded(folder, "image"))


@pytest.mark.parametrize(
    ("name", "key", "value", "line"),
    [
        ("config.json", "projector_hidden_act", "relu", "projector_hidden_act 'relu' is not supported"),
        ("config.json", "vision_feature_layer", [-2, -1], "vision_feature_layer [-2, -1] is not supported"),
        ("config.json", "model_type", "blip", "models of type 'blip' cannot be read; these can: llava"),
        ("config.json", "vision_config", {"model_type": "clip_vision_model", "hidden_size": "wide"}, "config.json: "),
        (
            "config.json",
            "vision_config",
            {"model_type": "dinov2", "hidden_size": 24},
            "tower 'dinov2' is not supported",
        ),
        ("config.json", "vision_config", {"model_type": "siglip_vision_model", "hidden_act": "gelu"}, "'gelu' of the"),
        ("config.json", "vision_config", {"model_type": "siglip_vision_model", "layer_norm_eps": 1e-5}, "eps 1e-05 of"),
        ("config.json", "image_token_index", 999, "the tokenizer has no token 999, the image's"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(folder: Path, name: str, key: str, value: Any, line: str) -> None:
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**settings, key: value}))
    assert line in refusal(lambda: open_checkpoint(folder))


def test_a_siglip_whose_first_patch_would_be_dropped_is_refused(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    tower = {"vision_config": SIGLIP.to_dict(), "vision_feature_select_strategy": "default"}
    (folder / "config.json").write_text(json.dumps({**settings, **tower}))
    assert refusal(lambda: open_checkpoint(folder)).endswith("'default' would drop the first patch")


def test_a_pooling_head_that_nothing_needs_is_passed_over(folder: Path) -> None:
    head = "vision_tower.vision_model.head.probe"
    alter(folder, lambda weights: weights.update({head: torch.ones(1, 1, 24)}), PROJECTOR)
    loaded(folder, "image")


@pytest.mark.parametrize("reference", ["qwen2"], indirect=True)
def test_a_copy_of_tied_weights_is_no_other_weight(folder: Path) -> None:
    """Files may hold the output layer beside the embedding that it is tied to; one that differs would not be used."""
    embedding = next(name for name in all_tensors(folder) if name.endswith("embed_tokens.weight"))
    head = "language_model.lm_head.weight"
    alter(folder, lambda weights: weights.update({head: weights[embedding].clone()}), embedding)
    loaded(folder, "image")
    alter(folder, lambda weights: weights.update({head: weights[embedding] + 1}), embedding)
    assert refusal(lambda: loaded(folder, "image")).endswith(f"{head} is not part of the model")


def test_a_folder_without_a_chat_template_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert refusal(lambda: open_checkpoint(folder)) == (
        f"{folder} has no chat template, so nobody knows how to talk to it"
    )


# As a folder of ours


def test_an_imported_folder_answers_as_the_original(reference: Reference, tmp_path: Path) -> None:
    code = main(["import", str(reference.folder), str(tmp_path / "ours")])
    assert code == 0
    question = CONVERSATIONS["three pictures"]
    ours, theirs = (
        Assistant.load(folder, device="cpu").reply(question, max_new_tokens=8)
        for folder in (tmp_path / "ours", reference.folder)
    )
    assert ours.text == theirs.text
    vision = reference.model.config.vision_config
    blank = torch.zeros(1, 3, vision.image_size, vision.image_size)
    tokens = reference.model.model.get_image_features(blank).pooler_output[0].shape[0]
    part = " (its middle 40 × 40 of 64 × 40 pixels)" if vision.model_type == CLIP.model_type else ""
    assert str(ours.media[1]) == f"2.png → {tokens} tokens{part}"


def test_importing_keeps_every_bit(reference: Reference, tmp_path: Path) -> None:
    copy_checkpoint(open_checkpoint(reference.folder), tmp_path / "ours")
    theirs = {key: tensor for path in reference.folder.glob("*.safetensors") for key, tensor in load_file(path).items()}
    ours = [tensor for path in (tmp_path / "ours").glob("*.safetensors") for tensor in load_file(path).values()]
    assert sum(tensor.numel() for tensor in ours) == sum(tensor.numel() for tensor in theirs.values())
    joined = [name for name in load_file(tmp_path / "ours" / "image_encoder.safetensors") if ".1.attn." in name]
    (query,) = [name for name in joined if "proj_weight" in name or "qkv.weight" in name]
    assert torch.equal(load_file(tmp_path / "ours" / "image_encoder.safetensors")[query][24:48], theirs[KEY])


# And back


def all_tensors(folder: Path) -> dict[str, Tensor]:
    found = {key: tensor for path in folder.glob("*.safetensors") for key, tensor in load_file(path).items()}
    return {key.replace("vision_tower.vision_model.", "vision_tower."): tensor for key, tensor in found.items()}


def test_what_is_imported_is_exported_bit_for_bit(reference: Reference, tmp_path: Path) -> None:
    assert main(["import", str(reference.folder), str(tmp_path / "ours")]) == 0
    assert main(["export", str(tmp_path / "ours"), str(tmp_path / "theirs"), "--family", "llava"]) == 0
    ours, theirs = all_tensors(tmp_path / "theirs"), all_tensors(reference.folder)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], tensor) and ours[key].dtype == tensor.dtype for key, tensor in theirs.items())


@torch.no_grad()
def test_transformers_reads_what_is_exported(reference: Reference, tmp_path: Path) -> None:
    export_checkpoint(open_checkpoint(reference.folder), "llava", tmp_path / "theirs")
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "theirs").eval()
    processor = LlavaProcessor.from_pretrained(tmp_path / "theirs")
    second = Reference(tmp_path / "theirs", again, processor)
    messages = CONVERSATIONS["turns"]
    first, other = reference.inputs(messages), second.inputs(messages)
    assert torch.equal(first["input_ids"], other["input_ids"])
    assert torch.allclose(first["pixel_values"], other["pixel_values"], atol=0.02)  # pillow and torchvision
    assert torch.equal(reference.model(**first).logits, again(**first).logits)


def test_a_model_that_is_no_llava_is_not_exported(tiny_checkpoint: Path, tmp_path: Path) -> None:
    line = refusal(lambda: export_checkpoint(open_checkpoint(tiny_checkpoint), "llava", tmp_path / "theirs"))
    assert line == "tiny is no LLaVA: that sees, and does not hear"
    assert list(tmp_path.iterdir()) == []
