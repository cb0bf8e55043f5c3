"""A toy Ultravox, in the shapes that are published, answers here as its parts do when transformers runs them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from checkpoints.toys import TEXT, clip, greedy_ids, loaded, qwen_tokenizer
from mmchat.checkpoints.public import open_checkpoint
from mmchat.checkpoints.store import copy_checkpoint
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.messages import Message, TextPart
from mmchat.model.sequence import build_sequence

WIDTH, STACK, HIDDEN, CHUNK = 16, 8, 40, 3000
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
AUDIO: dict[str, Any] = {
    "d_model": WIDTH,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 4 * WIDTH,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 4 * WIDTH,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "init_std": 0.3,
}


@dataclass(frozen=True)
class Reference:
    """The parts of a checkpoint, and how the published code puts them together."""

    folder: Path
    text: LlamaForCausalLM
    whisper: WhisperForConditionalGeneration
    projector: dict[str, Tensor]
    tokenizer: PreTrainedTokenizerFast
    extractor: WhisperFeatureExtractor

    def inputs(self, messages: list[Message]) -> tuple[list[int], Tensor]:
        """Ids with runs of the end token, and their embeddings (1, T, D) with the clips written over the runs."""
        content = [
            {
                "role": message.role,
                "content": "".join(
                    part.text if isinstance(part, TextPart) else "<|audio|>" for part in message.content
                ),
            }
            for message in messages
        ]
        text = self.tokenizer.apply_chat_template(content, tokenize=False, add_generation_prompt=True)
        between = iter(self.tokenizer(text.split("<|audio|>"), add_special_tokens=False)["input_ids"])
        ids = list(next(between))
        runs: list[tuple[int, Tensor]] = []
        for part in (part for message in messages for part in message.content if isinstance(part, AudioPart)):
            tokens = self.heard(part)
            runs.append((len(ids), tokens))
            ids += [self.tokenizer.eos_token_id] * len(tokens) + next(between)
        embeddings = self.text.get_input_embeddings()(torch.tensor([ids])).clone()
        for start, tokens in runs:
            embeddings[0, start : start + len(tokens)] = tokens
        return ids, embeddings

    def mel(self, part: AudioPart) -> Tensor:
        """(1, M, F): the clip as a whole, at its length."""
        return self.extractor(
            part.waveform, sampling_rate=SAMPLE_RATE, padding="longest", pad_to_multiple_of=160, truncation=False,
            return_tensors="pt",
        )["input_features"]  # fmt: skip

    def heard(self, part: AudioPart) -> Tensor:
        """(n, D): chunks of 30 s; if there are several the last ends in zeros, which no position attends to."""
        tokens = []
        chunks = self.mel(part).split(CHUNK, dim=2)
        for chunk in chunks:
            frames = chunk.shape[2]
            padded = F.pad(chunk, (0, CHUNK - frames)) if len(chunks) > 1 else chunk
            tokens.append(self.projected(self.tower(padded, (frames + 1) // 2))[0, : -(-frames // (2 * STACK))])
        return torch.cat(tokens)

    def tower(self, mel: Tensor, features: int) -> Tensor:
        encoder = self.whisper.model.encoder
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        mask = torch.zeros(1, 1, 1, x.shape[1])
        mask[..., features:] = torch.finfo(mask.dtype).min
        for layer in encoder.layers:
            out = layer(x, mask.expand(-1, -1, x.shape[1], -1))
            x = out[0] if isinstance(out, tuple) else out
        return encoder.layer_norm(x)

    def projected(self, x: Tensor) -> Tensor:
        """(1, T, E) to (1, n, D), in words of the published projector."""
        weights = self.projector
        x = F.pad(x, (0, 0, 0, -x.shape[1] % STACK))
        x = x.reshape(1, -1, STACK * WIDTH)
        x = F.rms_norm(x, x.shape[-1:], weights["ln_pre.weight"], eps=1e-6)
        value, gate = F.linear(x, weights["linear_1.weight"]).chunk(2, dim=-1)
        x = F.silu(gate) * value
        if "ln_mid.weight" in weights:
            x = F.rms_norm(x, x.shape[-1:], weights["ln_mid.weight"], eps=1e-6)
        x = F.linear(x, weights["linear_2.weight"])
        if "ln_post.weight" in weights:
            x = F.rms_norm(x, x.shape[-1:], weights["ln_post.weight"], eps=1e-6)
        return x


def save(place: Path, release: str) -> Reference:
    """Version 0.4 holds its projector alone, 0.5 its audio tower too, and a merged one everything."""
    torch.manual_seed(3)
    headers = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    base = qwen_tokenizer(*headers)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=base.backend_tokenizer, bos_token="<|begin_of_text|>", eos_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    sizes = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 2048}
    text = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
    whisper = WhisperForConditionalGeneration(WhisperConfig(**AUDIO)).eval()
    middle = release != "0.4"
    projector = {
        "ln_pre.weight": torch.rand(STACK * WIDTH) + 0.5,
        "linear_1.weight": torch.randn(HIDDEN, STACK * WIDTH) * 0.2,
        "linear_2.weight": torch.randn(TEXT["hidden_size"], HIDDEN // 2) * 0.2,
        ("ln_mid" if middle else "ln_post") + ".weight": torch.rand(
            HIDDEN // 2 if middle else TEXT["hidden_size"]
        ) + 0.5,
    }  # fmt: skip
    folder, text_folder, audio_folder = place / "ultravox", place / "llama", place / "whisper-toy"
    text.save_pretrained(text_folder)
    whisper.save_pretrained(audio_folder)
    settings: dict[str, Any] = {"model_type": "ultravox", "hidden_size": HIDDEN, "stack_factor": STACK}
    tensors = {f"multi_modal_projector.{name}": tensor for name, tensor in projector.items()}
    if release == "merged":
        settings["text_config"] = json.loads((text_folder / "config.json").read_text())
        tensors |= {f"language_model.{name}": tensor for name, tensor in text.state_dict().items()}
    else:
        settings["text_model_id"] = str(text_folder)
    if release == "0.4":
        settings["audio_model_id"] = str(audio_folder)
    else:
        settings |= {"projector_ln_mid": True, "audio_model_id": None, "audio_config": AUDIO}
        tensors |= {f"audio_tower.{name}": each for name, each in whisper.model.encoder.state_dict().items()}
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return Reference(folder, text, whisper, projector, tokenizer, WhisperFeatureExtractor(feature_size=80))


@pytest.fixture(scope="module", params=["0.4", "0.5", "merged"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return save(tmp_path_factory.mktemp("ultravox"), request.param)


CONVERSATIONS = {
    "text": [Message.user("what is this?")],
    "0.4 s": [Message.user(clip(0.4), "what is this?")],
    "3 s and a bit": [Message.user("describe the", clip(3.0123))],
    "30 s": [Message.user(clip(30))],
    "31.003 s": [Message.user(clip(31.003), "what is this?")],
    "59.9 s": [Message.user(clip(59.9), "what is this?")],
    "75 s": [Message.user(clip(75), "what is this?")],
    "turns": [
        Message.system("be brief"),
        Message.user(clip(1.1, 1), " and ", clip(0.7, 2)),
        Message.assistant("It is a cat."),
        Message.user("and this?", clip(2, 3)),
    ],
}
ANY = pytest.mark.parametrize("name", CONVERSATIONS)


@ANY
@torch.no_grad()
def test_ids_and_logits_are_those_of_the_parts(reference: Reference, name: str) -> None:
    ids, embeddings = reference.inputs(CONVERSATIONS[name])
    model, tokenizer = loaded(reference.folder, "audio")
    sequence = build_sequence(CONVERSATIONS[name], tokenizer, model.num_tokens)
    assert list(sequence.ids) == ids
    logits, theirs = model([sequence]), reference.text(inputs_embeds=embeddings).logits
    assert torch.allclose(logits, theirs, atol=1e-4), float((logits - theirs).abs().max())


@ANY
@torch.no_grad()
def test_greedy_ids_are_those_of_the_parts(reference: Reference, name: str) -> None:
    _, embeddings = reference.inputs(CONVERSATIONS[name])
    model, tokenizer = loaded(reference.folder, "audio")
    theirs = reference.text.generate(
        inputs_embeds=embeddings, max_new_tokens=64, do_sample=False, eos_token_id=sorted(tokenizer.stop_ids),
        attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long), pad_token_id=tokenizer.pad_id,
    )[0].tolist()  # fmt: skip
    sequence = build_sequence(CONVERSATIONS[name], tokenizer, model.num_tokens)
    ours = greedy_ids(model, tokenizer, sequence)
    assert ours == [index for index in theirs if index not in tokenizer.stop_ids]
    assert len(ours) > 5


@pytest.mark.parametrize("seconds", [0.005, 0.4, 3.0123, 30, 75])
def test_mel_features_are_those_of_the_reference_processor(reference: Reference, seconds: float) -> None:
    part = clip(seconds)
    longer = np.pad(part.waveform, (0, max(0, 320 - len(part.waveform))))  # its processor takes no fewer samples
    theirs = reference.mel(AudioPart.from_waveform(longer, SAMPLE_RATE))
    model, _ = loaded(reference.folder, "audio")
    assert model.audio_encoder is not None
    mel = torch.cat([chunk.mel for chunk in model.audio_encoder.preprocess(part.waveform)], dim=1)
    frames = min(theirs.shape[2], mel.shape[1])
    assert torch.allclose(mel[:, :frames], theirs[0, :, :frames], atol=1e-4)
    assert frames >= seconds * 100
    assert not mel[:, frames:].any()


def test_nobody_can_type_a_clip(reference: Reference) -> None:
    """Its placeholder is in no vocabulary of the text model: what is typed stays as many letters."""
    _, tokenizer = loaded(reference.folder, "audio")
    sequence = build_sequence([Message.user("say <|audio|> now")], tokenizer, lambda _: 1)
    assert tokenizer.decode([index for index in sequence.ids if index != tokenizer.end_id]).count("<|audio|>") == 1
    assert tokenizer.audio_id not in sequence.ids
    assert tokenizer.vocab_size == len(reference.tokenizer)


@torch.no_grad()
def test_a_folder_of_ours_says_the_same(reference: Reference, tmp_path: Path) -> None:
    copy_checkpoint(open_checkpoint(reference.folder), tmp_path / "ours")
    conversation = CONVERSATIONS["turns"]
    logits = []
    for folder in (reference.folder, tmp_path / "ours"):
        model, tokenizer = loaded(folder, "audio")
        logits.append(model([build_sequence(conversation, tokenizer, model.num_tokens)]))
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_model_id", "nowhere/at/all", "text_model_id: no model 'nowhere/at/all'"),
        ("audio_latency_block_size", 100, "audio_latency_block_size is not supported"),
        ("projector_act", "relu", "projector_act 'relu' is not supported"),
    ],
)
def test_what_is_not_supported_is_said(tmp_path: Path, key: str, value: object, said: str) -> None:
    folder = save(tmp_path, "0.5").folder
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, key: value}))
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(folder)


def damage(tensors: dict[str, Tensor], how: str, name: str) -> str:
    """Damage a tensor of a file; what has to be said of it."""
    tensor = tensors.pop(name)
    match how:
        case "missing":
            return f"{name} is missing"
        case "renamed":
            tensors[name + "s"] = tensor
            return f"{name}s is not part of the model"
        case "extra":
            tensors |= {name: tensor, "language_model.model.lora": tensor.clone()}
            return "language_model.model.lora is not part of the model"
    tensors[name] = tensor[:-1].clone()
    return f"{name} has the shape {tuple(tensors[name].shape)}, the model needs {tuple(tensor.shape)}"


@pytest.mark.parametrize("how", ["missing", "renamed", "extra", "reshaped"])
@pytest.mark.parametrize(
    "name", ["multi_modal_projector.ln_mid.weight", "audio_tower.layers.1.fc2.bias", "language_model.lm_head.weight"]
)
def test_damaged_weights_are_refused_by_name(tmp_path: Path, how: str, name: str) -> None:
    folder = save(tmp_path, "merged").folder
    tensors = load_file(folder / "model.safetensors")
    said = damage(tensors, how, name)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        loaded(folder, "audio")
    assert said in str(caught.value)
