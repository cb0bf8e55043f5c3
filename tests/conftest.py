"""A tiny model with random weights, in the format and with the chat template of the bundled one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import AudioEncoderConfig, ImageEncoderConfig, ModelConfig, ProjectorConfig, SpecialTokens
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.model.multimodal import Multimodal
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder

TEMPLATE = Path(__file__).parents[1] / "configs" / "tiny" / "chat_template.jinja"
LINES = ("what is this?", "describe this", "it is a cat", "a cat is an animal", "where is the cat?", "hello")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Threads cost more than they bring at this size."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that tests run keep nothing in the history of the person who tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def raw_tokenizer() -> Tokenizer:
    """Byte-level BPE over a few lines, with the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=list(SpecialTokens().all),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_tokenizer(raw_tokenizer: Tokenizer) -> ChatTokenizer:
    return ChatTokenizer(raw_tokenizer, TEMPLATE.read_text(encoding="utf-8"), SpecialTokens())


@pytest.fixture(scope="session")
def tiny_config(tiny_tokenizer: ChatTokenizer) -> ModelConfig:
    """Every kind of part that the bundled model has; a picture costs 4 tokens, a second of voice 7.

    With the usual initialisation a random GPT-2 repeats one token for ever, and any loop would look right: hence its
    wide weights.
    """
    return ModelConfig(
        name="tiny",
        knows="Nothing at all.",
        decoder={
            "model_type": "gpt2",
            "vocab_size": tiny_tokenizer.vocab_size,
            "n_layer": 2,
            "n_head": 2,
            "n_embd": 32,
            "n_positions": 256,
            "initializer_range": 0.4,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        image_encoder=ImageEncoderConfig(
            embed_dim=32, vision={"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "head_width": 32}
        ),
        image_projector=ProjectorConfig(reduce="pool", neighbours=1, hidden=32),
        audio_encoder=AudioEncoderConfig(n_audio_state=16, n_audio_head=2, n_audio_layer=1),
        audio_projector=ProjectorConfig(reduce="stack", neighbours=8, hidden=32),
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_config: ModelConfig) -> Multimodal:
    """Every weight and running statistic is random, and wide enough that what goes in matters for what comes out. Fresh
    ones are zeros and ones here and there: a part that is left out would not be missed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = TransformersDecoder(tiny_config.decoder)
        model = Multimodal(tiny_config, decoder)
        model.attach(model.fresh("image"))
        model.attach(model.fresh("audio"))
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) and module is not decoder.lm.lm_head:
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.2)
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: ModelConfig,
    tiny_model: Multimodal,
    tiny_tokenizer: ChatTokenizer,
) -> Path:
    """The folder of `tiny_model`; read only."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_checkpoint(folder, tiny_config, dict(tiny_model.named_children()), tiny_tokenizer, card="# tiny\n")
    return folder


@pytest.fixture(scope="session")
def cat_image() -> ImagePart:
    """A picture, not square and of no single colour."""
    pixels = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return ImagePart(Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC), "cat.png")


@pytest.fixture(scope="session")
def dog_image() -> ImagePart:
    """Another picture."""
    pixels = np.random.default_rng(2).integers(0, 256, (8, 5, 3), dtype=np.uint8)
    return ImagePart(Image.fromarray(pixels).resize((50, 80), Image.Resampling.BICUBIC), "dog.png")


@pytest.fixture(scope="session")
def question_clip() -> AudioPart:
    """A clip of 1.3 seconds."""
    return AudioPart(_chirp(1.3, 200), "question.wav")


@pytest.fixture(scope="session")
def remark_clip() -> AudioPart:
    """Another clip, of 0.7 seconds."""
    return AudioPart(_chirp(0.7, 900), "remark.wav")


def _chirp(seconds: float, pitch: float) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * pitch * time * (1 + time))).astype(np.float32)
