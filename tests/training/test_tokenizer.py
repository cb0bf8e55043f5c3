"""The tokenizer stage, on the text of the toy dataset."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from mmchat.checkpoints.store import Checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import DatasetError
from mmchat.inputs.messages import Message
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.tokenizer import train_tokenizer
from training.conftest import CHAT_TEMPLATE, Configure, dialogue, write_rows


def test_special_tokens_come_first_and_all_bytes_are_there(tokenizer: ChatTokenizer, toy_model: ModelConfig) -> None:
    tokens = toy_model.tokens.all
    assert [tokenizer.token_id(token) for token in tokens] == list(range(len(tokens)))
    assert tokenizer.vocab_size >= len(tokens) + 256
    text = "Ünknown wörds 中文 \U0001f408 \x07"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_of_every_file_are_learnt(tokenizer: ChatTokenizer) -> None:
    """ "square" stands in captions alone, "say" in transcripts, "bright" in texts, "what is this?" in dialogues."""
    for text in ("a red square", "say red", "The colour red is bright.", "what is this?"):
        assert len(tokenizer.encode(text)) <= len(text.split()) + 1, text


def test_it_is_written_as_a_checkpoint(tokenizer_folder: Path, tokenizer: ChatTokenizer) -> None:
    checkpoint = Checkpoint(tokenizer_folder)
    assert checkpoint.verify() == 3
    assert checkpoint.parameters() == {}
    assert checkpoint.tokenizer().encode("a red square") == tokenizer.encode("a red square")
    assert checkpoint.tokenizer().template == CHAT_TEMPLATE.read_text(encoding="utf-8")


def test_the_chat_template_of_the_recipes_lays_out_a_conversation(tokenizer: ChatTokenizer) -> None:
    messages = [Message.system("be brief"), Message.user("hello"), Message.assistant("hello!")]
    tokens = tokenizer.render(messages, answer_next=True)
    laid_out = [
        "".join(tokenizer.tokens.all[token.id] for token in run)
        if turn is None
        else f"[{turn} {tokenizer.decode([token.id for token in run])}]"
        for turn, run in groupby(tokens, key=lambda token: token.turn)
    ]
    assert "".join(laid_out) == (
        "<|system|>[0 be brief]<|end|><|user|>[1 hello]<|end|><|assistant|>[2 hello!]<|end|><|assistant|>"
    )


def test_the_same_text_gives_the_same_tokenizer(
    configure: Configure, toy_model: ModelConfig, tokenizer_folder: Path, tmp_path: Path
) -> None:
    train_tokenizer(configure("tokenizer", out=tmp_path / "out"), toy_model)
    ours, theirs = (folder / "tokenizer.json" for folder in (tmp_path / "out", tokenizer_folder))
    assert ours.read_bytes() == theirs.read_bytes()


def test_dialogues_alone_are_enough(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    write_rows(tmp_path / "dialogues.jsonl", [dialogue("greeting", "hello", "hello!")])
    train_tokenizer(configure("tokenizer", data=tmp_path, out=tmp_path / "out"), toy_model)
    assert len(Checkpoint(tmp_path / "out").tokenizer().encode("hello")) == 1


def test_missing_text_and_template_are_named(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*dialogues\.jsonl: No such file"):
        train_tokenizer(configure("tokenizer", data=tmp_path, out=tmp_path / "out"), toy_model)
    with pytest.raises(DatasetError, match=r"cannot read .*gone\.jinja: No such file"):
        train_tokenizer(configure("tokenizer", chat_template="gone.jinja", out=tmp_path / "out"), toy_model)
    assert not (tmp_path / "out").exists()
