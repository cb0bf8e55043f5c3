"""Toy parts of public checkpoints, with the habits of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from mmchat.checkpoints.public import open_checkpoint
from mmchat.config import GenerationOptions, Modality
from mmchat.generation.engine import Engine
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.model.multimodal import Multimodal
from mmchat.model.sequence import MixedSequence
from mmchat.model.tokenizer import ChatTokenizer

LINES = ["USER: what is this? ASSISTANT: It is a cat.", "describe the picture on the left", "user assistant system"]
TEXT = {
    "vocab_size": 448,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama's was converted from SentencePiece: blanks are ▁, one more at each beginning, and <s> comes first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<s>", "</s>", *bytes_], show_progress=False, vocab_size=420)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer = without_bytes_as_added_tokens(tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    tokenizer.add_tokens([AddedToken("<image>", normalized=False, special=False), AddedToken("<pad>", special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def without_bytes_as_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The trainer makes every token it is given an added one; bytes are plain members of the vocabulary."""
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = [each for each in settings["added_tokens"] if not each["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(settings))


def qwen_tokenizer(*placeholders: str) -> PreTrainedTokenizerFast:
    """Byte-level, nothing added at the beginning."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        vocab_size=400,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in placeholders])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def clip(seconds: float, seed: int = 0) -> AudioPart:
    """A tone that rises, with noise in it."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    waveform = 0.4 * np.sin(2 * np.pi * (150 + 20 * seed + 20 * time) * time) + noise
    return AudioPart.from_waveform(waveform.astype(np.float32), SAMPLE_RATE)


def loaded(folder: Path, modality: Modality) -> tuple[Multimodal, ChatTokenizer]:
    """The model of a folder with one of its senses."""
    checkpoint = open_checkpoint(folder)
    model = checkpoint.load()
    checkpoint.add(model, modality)
    return model, checkpoint.tokenizer()


def greedy_ids(model: Multimodal, tokenizer: ChatTokenizer, sequence: MixedSequence, count: int = 64) -> list[int]:
    """The greedy answer to a conversation."""
    engine = Engine(model.decoder, tokenizer.stop_ids)
    prefill = engine.prefill(model.embed(sequence, model.encode([span.media for span in sequence.spans]))[None])
    return list(engine.decode(prefill, sequence.ids, GenerationOptions(max_new_tokens=count), seed=0))
