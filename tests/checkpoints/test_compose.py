"""A model joined of an open_clip tower, a Whisper and a language model: toys of each, then a training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from whisper.model import ModelDimensions, Whisper

from checkpoints.toys import TEXT, clip, qwen_tokenizer
from mmchat.assistant import Assistant
from mmchat.checkpoints.compose import compose
from mmchat.checkpoints.store import Checkpoint
from mmchat.cli import main
from mmchat.errors import CheckpointError
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.model.sequence import build_sequence
from mmchat.training import run

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VISION = {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32}
DIMENSIONS = ModelDimensions(
    n_mels=80, n_audio_ctx=1500, n_audio_state=16, n_audio_head=2, n_audio_layer=2,
    n_vocab=51864, n_text_ctx=8, n_text_state=16, n_text_head=2, n_text_layer=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `llama`, `clip` and `whisper.pt`."""
    place = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerFast = qwen_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(place / "llama")
    # like Qwen2's, its table of embeddings is longer than its vocabulary
    LlamaForCausalLM(LlamaConfig(**TEXT)).save_pretrained(place / "llama")
    text = {"context_length": 8, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}
    model = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": text, "quick_gelu": True}
    tower = open_clip.CLIP(**model)
    (place / "clip").mkdir()
    settings = {"model_cfg": model, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}
    (place / "clip" / "open_clip_config.json").write_text(json.dumps(settings))
    save_file(tower.state_dict(), place / "clip" / "open_clip_model.safetensors")
    whisper = Whisper(DIMENSIONS)
    torch.save({"dims": asdict(DIMENSIONS), "model_state_dict": whisper.state_dict()}, place / "whisper.pt")
    return place


@pytest.fixture(scope="module")
def composed(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("composed") / "mine"
    arguments = ["--decoder", f"{parts}/llama", "--image", f"local-dir:{parts}/clip", "--audio", f"{parts}/whisper.pt"]
    assert main(["compose", str(folder), *arguments]) == 0
    return folder


PICTURE = ImagePart.from_pil(Image.new("RGB", (40, 30), (200, 40, 40)))


def test_text_is_answered_as_the_language_model_does(parts: Path, composed: Path) -> None:
    checkpoint = Checkpoint(composed)
    tokenizer, model = checkpoint.tokenizer(), checkpoint.load()
    sequence = build_sequence([Message.user("what is this?")], tokenizer, lambda _: 1)
    base = PreTrainedTokenizerFast.from_pretrained(parts / "llama")
    ids = base.apply_chat_template(
        [{"role": "user", "content": "what is this?"}], add_generation_prompt=True, return_dict=False
    )
    assert list(sequence.ids) == ids
    lm = LlamaForCausalLM.from_pretrained(parts / "llama").eval()
    with torch.no_grad():
        assert torch.allclose(model([sequence]), lm(torch.tensor([ids])).logits, atol=1e-5)
    assert Assistant.load(composed, device="cpu").reply("what is this?", max_new_tokens=4).usage.completion_tokens


@torch.no_grad()
def test_encoders_are_those_of_their_makers(parts: Path, composed: Path) -> None:
    checkpoint = Checkpoint(composed)
    encoders = {}
    for sense in ("image", "audio"):
        fresh = checkpoint.load().fresh(sense)
        fresh[f"{sense}_encoder"].load_state_dict(_weights(checkpoint, f"{sense}_encoder"))
        encoders[sense] = fresh[f"{sense}_encoder"].eval()
    tower = open_clip.create_model(f"local-dir:{parts}/clip").visual.eval()
    pixels = encoders["image"].preprocess([PICTURE.image])
    theirs = tower.forward_intermediates(pixels, indices=[1], intermediates_only=True)["image_intermediates"][0]
    assert torch.allclose(encoders["image"](pixels), theirs.flatten(2).transpose(1, 2), atol=1e-5)
    whisper = Whisper(DIMENSIONS)
    whisper.load_state_dict(torch.load(parts / "whisper.pt", weights_only=True)["model_state_dict"])
    ((mel, _),) = encoders["audio"].preprocess(clip(30).waveform)
    assert torch.allclose(encoders["audio"](mel[None]), whisper.encoder(mel[None]), atol=1e-5)


@torch.no_grad()
def test_a_tower_of_timm_gives_the_features_that_open_clip_has(parts: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "avg", "timm_proj": "linear", "image_size": 224}
    text = {"context_length": 8, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}
    model = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "clip").mkdir()
    seen = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    settings = {"model_cfg": model, "preprocess_cfg": seen}
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(settings))
    save_file(open_clip.CLIP(**model).state_dict(), tmp_path / "clip" / "open_clip_model.safetensors")
    arguments = ["--decoder", f"{parts}/llama", "--image", f"local-dir:{tmp_path}/clip"]
    assert main(["compose", str(tmp_path / "mine"), *arguments]) == 0
    checkpoint = Checkpoint(tmp_path / "mine")
    encoder: Any = checkpoint.load().fresh("image")["image_encoder"].eval()
    encoder.load_state_dict(_weights(checkpoint, "image_encoder"))
    pixels = encoder.preprocess([PICTURE.image])
    tower = open_clip.create_model(f"local-dir:{tmp_path}/clip").visual.eval()
    theirs = tower.forward_intermediates(pixels, indices=[-2], intermediates_only=True)["image_intermediates"][0]
    assert torch.allclose(encoder(pixels), theirs.flatten(2).transpose(1, 2), atol=1e-5)
    assert checkpoint.config.image_encoder is not None
    assert checkpoint.config.image_encoder.resize == "stretch"


def _weights(checkpoint: Checkpoint, component: str) -> dict[str, torch.Tensor]:
    weights = checkpoint.weights(component)
    return {name: weights.tensor(name) for name in weights.shapes()}


@pytest.mark.parametrize(("part", "sense"), [(PICTURE, "image"), (clip(1), "audio")])
def test_a_fresh_projector_never_answers(composed: Path, part: ImagePart, sense: str) -> None:
    assistant = Assistant.load(composed, device="cpu")
    with pytest.raises(CheckpointError, match=f"the {sense} projector of mine is fresh: train it first"):
        assistant.reply([part, "what is this?"])


def test_training_makes_it_see(composed: Path, tmp_path: Path) -> None:
    """With its decoder, which is too random to be led by a projector alone; what was not trained is still refused."""
    (tmp_path / "data").mkdir()
    PICTURE.image.save(tmp_path / "data" / "red.png")
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "image", "image": "red.png"}, {"type": "text", "text": "describe"}]},
            {"role": "assistant", "content": "It is a cat."},
        ]
    }
    (tmp_path / "data" / "dialogues.jsonl").write_text(json.dumps(row) + "\n")
    stage = {
        "stage": "chat", "name": "align", "model": str(composed / "config.json"), "data": str(tmp_path / "data"),
        "start": [str(composed)], "out": str(tmp_path / "trained"), "train": ["image_projector", "decoder"],
        "media": ["image"], "batch_size": 1, "max_steps": 60, "optimizer": {"learning_rate": 0.01},
    }  # fmt: skip
    (tmp_path / "align.yaml").write_text(yaml.safe_dump(stage))
    run(tmp_path / "align.yaml", {}, Console(quiet=True))
    trained = Checkpoint(tmp_path / "trained")
    assert trained.config.untrained == ("audio_projector",)
    assistant = Assistant.load(tmp_path / "trained", device="cpu")
    assert assistant.reply([PICTURE, "describe"], max_new_tokens=12).text == "It is a cat."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decoder": "nowhere"}, "no model 'nowhere'"),
        ({"image": "ViT-Enormous:x"}, "cannot load the open_clip model ViT-Enormous:x"),
        ({"audio": "enormous"}, "no Whisper 'enormous'"),
    ],
)
def test_a_part_that_is_not_there_is_one_line(parts: Path, tmp_path: Path, changes: dict[str, str], said: str) -> None:
    given = {"decoder": f"{parts}/llama", "image": None, "audio": None, **changes}
    with pytest.raises(CheckpointError) as caught:
        compose(tmp_path / "mine", "mine", **given)  # type: ignore[arg-type]
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine").exists()
