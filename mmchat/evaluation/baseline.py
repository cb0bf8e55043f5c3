"""What a user would otherwise pick: transformers, generating from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from mmchat.checkpoints.store import Checkpoint
from mmchat.model.placement import Placement
from mmchat.model.tokenizer import TOKENIZER_FILE
from mmchat.model.transformers_decoder import TransformersDecoder, without_bar

SCRIPT = """\
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, question = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
messages = [{"role": "user", "content": [{"type": "text", "text": question}]}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
ids = model.generate(**inputs, max_new_tokens=128, do_sample=False)
print(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
"""
"""One question in text, as the examples of transformers have it; its arguments are a folder and the question."""


def reference_decoder(checkpoint: Checkpoint, place: Placement) -> TransformersDecoder:
    """The decoder of a checkpoint as transformers runs it."""
    with torch.device("meta"):  # shapes alone
        decoder = TransformersDecoder(checkpoint.config.decoder)
    weights = checkpoint.weights("decoder")
    decoder.load_weights({name: weights.tensor(name) for name in weights.shapes()}, place)
    return decoder.eval()


def generate(decoder: TransformersDecoder, ids: Sequence[int], count: int) -> None:
    """Greedy ids after a prompt, `count` of them whatever they are.

    Args:
        decoder: in evaluation mode.
        ids: of the prompt.
        count: of new ids.
    """
    prompt = torch.tensor([ids], device=decoder.device)
    with torch.inference_mode():
        decoder.lm.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            min_new_tokens=count,
            max_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )


def save_for_transformers(checkpoint: Checkpoint, folder: Path) -> None:
    """Write decoder, tokenizer and chat template as transformers reads them."""
    decoder, tokenizer = reference_decoder(checkpoint, Placement()), checkpoint.tokenizer()
    decoder.lm.generation_config.eos_token_id = tokenizer.end_id
    decoder.lm.generation_config.pad_token_id = tokenizer.pad_id
    with without_bar():
        decoder.lm.save_pretrained(folder)
    tokenizer.save(folder)
    written = PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE), chat_template=tokenizer.template)
    written.save_pretrained(folder)
