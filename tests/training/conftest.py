"""A dataset of coloured squares and tones, a model that learns it in seconds, and configurations of stages."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image, ImageDraw
from pydantic import TypeAdapter
from rich.console import Console

from mmchat.config import ModelConfig, load_model_config
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.settings import StageConfig, TokenizerStage
from mmchat.training.tokenizer import train_tokenizer

CHAT_TEMPLATE = Path(__file__).parents[2] / "configs" / "tiny" / "chat_template.jinja"
COLOURS = {"red": (230, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230)}
TONES = {"red": 220, "green": 440, "blue": 880}  # Hz
MODEL: dict[str, Any] = {
    "name": "toy",
    "knows": "Four colours, seen and whistled.",
    "decoder": {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 64,
        "n_positions": 32,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "initializer_range": 0.1,  # with the usual 0.02 so narrow a network takes far longer to attend to anything
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "image_encoder": {
        "embed_dim": 32,
        "vision": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "head_width": 64},
    },
    "image_projector": {"reduce": "pool", "neighbours": 1, "hidden": 64},
    "audio_encoder": {"n_audio_state": 32, "n_audio_head": 2, "n_audio_layer": 1},
    "audio_projector": {"reduce": "stack", "neighbours": 8, "hidden": 64},
}
OPTIMIZER = {"learning_rate": 3e-3, "warmup": 0.1}
STAGES: dict[str, dict[str, Any]] = {
    "tokenizer": {"stage": "tokenizer", "vocab_size": 512, "chat_template": str(CHAT_TEMPLATE)},
    "language": {"stage": "language", "context": 24, "batch_size": 4, "optimizer": OPTIMIZER},
    "naming": {"stage": "naming", "batch_size": 4, "optimizer": OPTIMIZER},
    "contrastive": {
        "stage": "contrastive",
        "batch_size": 4,
        "text": {"context_length": 12, "width": 32, "heads": 2, "layers": 1},
        "optimizer": OPTIMIZER,
    },
    "speech": {"stage": "speech", "batch_size": 3, "optimizer": OPTIMIZER},
    "chat": {"stage": "chat", "train": ["decoder"], "batch_size": 8, "optimizer": OPTIMIZER},
}

Configure = Callable[..., Any]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two squares and one tone of each colour, and what can be said of them."""
    folder = tmp_path_factory.mktemp("toys") / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "audio").mkdir()
    regions, captions, transcripts, dialogues = [], [], [], []
    for colour, rgb in COLOURS.items():
        for number, margin in enumerate((4, 10)):
            picture = f"images/{colour}-{number}.png"
            draw_square(folder / picture, rgb, margin)
            box = [margin / 32, margin / 32, (33 - margin) / 32, (33 - margin) / 32]
            regions.append({"image": picture, "regions": [{"name": colour, "box": box}]})
            captions.append({"image": picture, "text": f"a {colour} square"})
            question = [{"type": "image", "image": picture}, {"type": "text", "text": "what is this?"}]
            dialogues.append(dialogue("name", question, f"This is {colour}.", colour))
        clip = f"audio/{colour}.wav"
        soundfile.write(folder / clip, tone(TONES[colour]), SAMPLE_RATE)
        transcripts.append({"audio": clip, "text": f"say {colour}"})
        dialogues.append(dialogue("spoken", [{"type": "audio", "audio": clip}], f"You say {colour}.", colour))
        dialogues.append(dialogue("fact", f"is {colour} a colour?", f"Yes, {colour} is one.", colour))
    write_rows(folder / "regions.jsonl", regions)
    write_rows(folder / "captions.jsonl", captions)
    write_rows(folder / "transcripts.jsonl", transcripts)
    write_rows(folder / "dialogues.jsonl", dialogues)
    write_rows(folder / "texts.jsonl", [{"text": f"The colour {colour} is bright."} for colour in COLOURS])
    return folder


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.yaml"
    path.write_text(yaml.safe_dump(MODEL), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def toy_model(model_file: Path) -> ModelConfig:
    return load_model_config(model_file)


@pytest.fixture(scope="session")
def configure(dataset: Path, model_file: Path) -> Configure:
    """A stage's configuration by its kind; values that are given replace those of `STAGES`."""

    def build(kind: str, **given: Any) -> Any:
        common = {"name": kind, "model": model_file, "data": dataset, "out": Path("out")}
        budget = {} if kind == "tokenizer" else {"max_steps": 10}
        return TypeAdapter(StageConfig).validate_python({**common, **budget, **STAGES[kind], **given})

    return build


@pytest.fixture(scope="session")
def tokenizer_folder(configure: Configure, toy_model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tokenizer stage writes."""
    config = configure("tokenizer", out=tmp_path_factory.mktemp("tokenizer") / "out")
    assert isinstance(config, TokenizerStage)
    train_tokenizer(config, toy_model)
    return config.out


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path, toy_model: ModelConfig) -> ChatTokenizer:
    return ChatTokenizer.load(tokenizer_folder, toy_model.tokens)


@pytest.fixture
def screen() -> Console:
    """A console that shows nothing to anybody; its `file` holds what was printed."""
    return Console(file=io.StringIO(), width=200)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def dialogue(kind: str, question: str | Sequence[dict[str, str]], answer: str, *accept: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "kind": kind, "accept": list(accept)}


def draw_square(path: Path, rgb: tuple[int, int, int], margin: int, side: int = 32) -> None:
    image = Image.new("RGB", (side, side), "grey")
    ImageDraw.Draw(image).rectangle((margin, margin, side - margin, side - margin), fill=rgb)
    image.save(path)


def tone(hertz: float, seconds: float = 0.64) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights and buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
