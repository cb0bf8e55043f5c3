"""A toy Voxtral, saved by transformers, answers here as it does there, with Mistral's own tokenizer beside ours."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    VoxtralConfig,
    VoxtralEncoderConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)
from transformers.tokenization_mistral_common import MistralCommonBackend

from checkpoints.toys import LINES, TEXT, clip, greedy_ids, loaded
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.inputs.messages import Message, TextPart
from mmchat.model.sequence import build_sequence

NAMED = {
    0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]",
    7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]", 10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]",
    13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]", 16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]",
    18: "[/SYSTEM_PROMPT]", 19: "[TOOL_CONTENT]", 24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]",
}  # fmt: skip
SPECIAL = 40
PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write_tekken(path: Path) -> None:
    """Bytes, then the beginnings of the words of some lines, each one byte longer than the one before."""
    words = {word.encode() for line in LINES for word in (f" {each}" for each in line.split())}
    pieces = [bytes([byte]) for byte in range(256)]
    pieces += sorted(
        {word[:end] for word in words for end in range(2, len(word) + 1)}, key=lambda each: (len(each), each)
    )
    settings = {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": len(pieces),
            "default_vocab_size": len(pieces) + SPECIAL,
            "default_num_special_tokens": SPECIAL,
            "version": "v7",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
            for rank, piece in enumerate(pieces)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": NAMED.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(SPECIAL)
        ],
        "audio": {
            "sampling_rate": SAMPLE_RATE,
            "frame_rate": 12.5,
            "chunk_length_s": 30.0,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
        },
    }
    path.write_text(json.dumps(settings))


@dataclass(frozen=True)
class Reference:
    """A checkpoint as transformers wrote it, and what reads it there."""

    folder: Path
    model: VoxtralForConditionalGeneration
    processor: VoxtralProcessor

    def inputs(self, messages: list[Message]) -> dict[str, Tensor]:
        content = [
            {
                "role": message.role,
                "content": message.content[0].text  # type: ignore[union-attr]
                if message.role != "user"
                else [
                    {"type": "text", "text": part.text}
                    if isinstance(part, TextPart)
                    else {"type": "audio", "base64": wav(part.waveform)}  # type: ignore[union-attr]
                    for part in message.content
                ],
            }
            for message in messages
        ]
        return dict(self.processor.apply_chat_template(content))


def wav(waveform: np.ndarray) -> str:
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("voxtral")
    torch.manual_seed(0)
    write_tekken(folder / "tekken.json")
    tokenizer = MistralCommonBackend(tokenizer_path=str(folder / "tekken.json"))
    audio = VoxtralEncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.3
    )
    text = LlamaConfig(**{**TEXT, "vocab_size": 512, "max_position_embeddings": 2048, "head_dim": 8})
    model = VoxtralForConditionalGeneration(
        VoxtralConfig(audio_config=audio, text_config=text, audio_token_id=24)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    return Reference(folder, model, VoxtralProcessor(WhisperFeatureExtractor(feature_size=128), tokenizer))


CONVERSATIONS = {
    "text": [Message.user("what is this?")],
    "0.4 s": [Message.user(clip(0.4), "what is this?")],
    "3 s": [Message.user("describe the", clip(3.0123))],
    "30 s": [Message.user(clip(30), "on the left", "Grüße, 日本語")],
    "75 s": [Message.user(clip(75), "what is this?")],
    "system": [Message.system("user assistant"), Message.user("what?"), Message.assistant("It is."), Message.user("a")],
    "turns": [
        Message.user(clip(1.1, 1), "and", clip(0.7, 2)),
        Message.assistant("It is a cat."),
        Message.user("what?"),
    ],
}
ANY = pytest.mark.parametrize("name", CONVERSATIONS)


@ANY
@torch.no_grad()
def test_ids_and_logits_are_those_of_transformers(reference: Reference, name: str) -> None:
    inputs = reference.inputs(CONVERSATIONS[name])
    model, tokenizer = loaded(reference.folder, "audio")
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
    model, tokenizer = loaded(reference.folder, "audio")
    sequence = build_sequence(CONVERSATIONS[name], tokenizer, model.num_tokens)
    ours = greedy_ids(model, tokenizer, sequence)
    assert ours == [index for index in theirs if index not in tokenizer.stop_ids]
    assert len(ours) > 5


def test_a_system_prompt_before_a_clip_is_refused_as_there(reference: Reference) -> None:
    messages = [Message.system("user assistant"), Message.user(clip(1))]
    with pytest.raises(ValueError, match="system messages"):
        reference.inputs(messages)
    model, tokenizer = loaded(reference.folder, "audio")
    with pytest.raises(CheckpointError, match="this family takes no system prompt where there is a clip"):
        build_sequence(messages, tokenizer, model.num_tokens)
