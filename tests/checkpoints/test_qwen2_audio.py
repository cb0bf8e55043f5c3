"""A toy Qwen2-Audio, saved by transformers, answers here as it does there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from checkpoints.toys import TEXT, clip, greedy_ids, loaded, qwen_tokenizer
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.messages import Message, TextPart
from mmchat.model.sequence import build_sequence

FULL = 30 * SAMPLE_RATE


@dataclass(frozen=True)
class Reference:
    """A checkpoint as transformers wrote it, and what reads it there."""

    folder: Path
    model: Qwen2AudioForConditionalGeneration
    processor: Qwen2AudioProcessor

    def inputs(self, messages: list[Message]) -> dict[str, Tensor]:
        content = [
            {
                "role": message.role,
                "content": [
                    {"type": "text", "text": part.text}
                    if isinstance(part, TextPart)
                    else {"type": "audio", "audio": part.waveform}  # type: ignore[union-attr]
                    for part in message.content
                ],
            }
            for message in messages
        ]
        text = self.processor.apply_chat_template(content, tokenize=False, add_generation_prompt=True)
        clips = [part.waveform for message in messages for part in message.content if isinstance(part, AudioPart)]
        return dict(self.processor(text=text, audio=clips or None, sampling_rate=SAMPLE_RATE, return_tensors="pt"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("qwen2-audio")
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    audio = Qwen2AudioEncoderConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64, initializer_range=0.3
    )
    config = Qwen2AudioConfig(
        audio_config=audio,
        text_config=Qwen2Config(**{**TEXT, "max_position_embeddings": 2048}),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    model = Qwen2AudioForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.save_pretrained(folder)
    processor = Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=128), tokenizer)
    tokenizer.save_pretrained(folder)
    return Reference(folder, model, processor)


CONVERSATIONS = {
    "text": [Message.user("what is this?")],
    "0.4 s": [Message.user(clip(0.4), "what is this?")],
    "3 s and a bit": [Message.user("describe the", clip(3.0123))],
    "30 s": [Message.user(clip(30))],
    "turns": [
        Message.system("be brief"),
        Message.user(clip(1.1, 1), "and", clip(0.7, 2)),
        Message.assistant("It is a cat."),
        Message.user("and this?", clip(2, 3)),
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


@pytest.mark.parametrize("seconds", [0.4, 3.0123, 30])
def test_mel_features_are_those_of_the_reference_processor(reference: Reference, seconds: float) -> None:
    waveform = clip(seconds).waveform
    theirs = reference.processor.feature_extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    model, _ = loaded(reference.folder, "audio")
    assert model.audio_encoder is not None
    ((mel, _),) = model.audio_encoder.preprocess(waveform)
    assert torch.allclose(mel, theirs["input_features"][0, :, : mel.shape[1]], atol=1e-4)


@torch.no_grad()
def test_a_long_clip_is_heard_in_chunks_to_its_end(reference: Reference) -> None:
    """transformers would cut it at 30 s; so it is given the chunks, and our ids."""
    long = clip(75)
    model, tokenizer = loaded(reference.folder, "audio")
    sequence = build_sequence([Message.user(long, "what is this?")], tokenizer, model.num_tokens)
    assert [span.length for span in sequence.spans] == [750 + 750 + 375]
    chunks = np.split(long.waveform, [FULL, 2 * FULL])
    heard = reference.processor.feature_extractor(
        chunks, sampling_rate=SAMPLE_RATE, return_attention_mask=True, padding="max_length", return_tensors="pt"
    )
    theirs = reference.model(
        input_ids=torch.tensor([sequence.ids]),
        attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
        input_features=heard["input_features"],
        feature_attention_mask=heard["attention_mask"],
    ).logits
    logits = model([sequence])
    assert torch.allclose(logits, theirs, atol=1e-4), float((logits - theirs).abs().max())


def test_not_even_a_click_is_ignored(reference: Reference) -> None:
    model, _ = loaded(reference.folder, "audio")
    click = clip(0.001)
    assert model.num_tokens(click) == len(model.encode([click])[0]) == 1


def test_damaged_weights_are_refused_by_name(reference: Reference, tmp_path: Path) -> None:
    key = "audio_tower.layer_norm.weight"
    for path in reference.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if name != key}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path, "audio")
    assert f"{key} is missing" in str(caught.value)
