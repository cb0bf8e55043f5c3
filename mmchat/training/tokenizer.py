"""The tokenizer stage: byte-level BPE over all text of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import DatasetError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.data import parts_of, read_dialogues, read_rows
from mmchat.training.settings import TokenizerStage


def train_tokenizer(config: TokenizerStage, model: ModelConfig) -> None:
    """Train a tokenizer and write it, with the chat template, as the first checkpoint of the recipe.

    Raises:
        DatasetError: the dataset has no text, or the chat template is missing.
    """
    try:
        template = config.chat_template.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"cannot read {config.chat_template}: {error.strerror}") from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(model.tokens.all),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_all_text(config.data), trainer)
    save_checkpoint(config.out, model, {}, ChatTokenizer(tokenizer, template, model.tokens))


def _all_text(folder: Path) -> Iterator[str]:
    for name in ("texts.jsonl", "captions.jsonl", "transcripts.jsonl"):
        if (folder / name).is_file():
            yield from (str(row["text"]) for row in read_rows(folder / name, "text"))
    for row in read_dialogues(folder / "dialogues.jsonl"):
        yield from (part["text"] for part in parts_of(row) if part["type"] == "text")
