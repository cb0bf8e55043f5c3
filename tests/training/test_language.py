"""Language-model pre-training: what a batch holds, and what the loss is of."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import ConfigError, DatasetError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.language import LanguageTraining
from training.conftest import Configure, dialogue, weights_of, write_rows

CPU = torch.device("cpu")


@pytest.fixture
def stage(configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer) -> LanguageTraining:
    torch.manual_seed(0)
    return LanguageTraining(configure("language"), toy_model, tokenizer, CPU)


def test_documents_and_text_dialogues_are_packed_end_to_end(stage: LanguageTraining, tokenizer: ChatTokenizer) -> None:
    ids, _ = stage.batch(0)
    assert ids.shape == (4, 24)
    text = "".join(tokenizer.decode([token]) or f"<{token}>" for token in ids.flatten().tolist())
    end, user, assistant = (tokenizer.token_id(f"<|{name}|>") for name in ("end", "user", "assistant"))
    whole = text.split(f"<{end}>")[:-1]
    assert any("is bright." in piece for piece in whole)
    assert any(piece.startswith(f"<{user}>is ") and piece.endswith("a colour?") for piece in whole)
    assert any(piece.startswith(f"<{assistant}>Yes, ") for piece in whole)
    assert not any("what is this" in piece for piece in whole)


def test_dialogues_with_media_are_left_out(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """Four texts and three dialogues in text alone; the other nine hold pictures and clips."""
    stage = LanguageTraining(configure("language"), toy_model, tokenizer, CPU)
    assert len(stage._documents) == 6


def test_a_step_has_the_same_batch_again(stage: LanguageTraining) -> None:
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_positions_cover_the_context(stage: LanguageTraining) -> None:
    """Rows begin anywhere, so that a position beyond the length of a row is learnt too."""
    starts = set()
    for step in range(40):
        _, positions = stage.batch(step)
        assert torch.equal(positions - positions[:, :1], torch.arange(24).expand(4, 24))
        starts.update(positions[:, 0].tolist())
    assert starts == set(range(32 - 24 + 1))


def test_the_loss_is_that_of_each_next_token(stage: LanguageTraining, tokenizer: ChatTokenizer) -> None:
    ids, _ = stage.batch(0)
    positions = torch.arange(24).expand(4, 24)
    ours = stage.loss((ids, positions))
    logits = stage.module.lm(input_ids=ids).logits
    theirs = -logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).mean()
    torch.testing.assert_close(ours.value, theirs)
    assert ours.items == 96
    assert float(ours.value.detach()) == pytest.approx(math.log(tokenizer.vocab_size), rel=0.2)


def test_positions_are_used(stage: LanguageTraining) -> None:
    ids, _ = stage.batch(0)
    positions = torch.arange(24).expand(4, 24)
    assert not torch.equal(stage.loss((ids, positions)).value, stage.loss((ids, positions + 4)).value)


def test_in_bfloat16_it_learns_from_nearly_the_same_loss(stage: LanguageTraining) -> None:
    whole = stage.loss(stage.batch(0)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.loss(stage.batch(0)).value
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.03, atol=0.03)


def test_it_goes_on_from_a_decoder_that_a_start_folder_holds(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, stage: LanguageTraining, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "read", toy_model, stage.components(), tokenizer, dtype=torch.float32)
    again = LanguageTraining(configure("language", start=(tmp_path / "read",)), toy_model, tokenizer, CPU)
    ours, theirs = weights_of(again.module), weights_of(stage.module)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_learns(stage: LanguageTraining) -> None:
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=1e-2)
    losses = []
    for step in range(15):
        loss = stage.loss(stage.batch(step)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_it_hands_on_the_decoder(stage: LanguageTraining, tokenizer: ChatTokenizer) -> None:
    assert list(stage.components()) == ["decoder"]
    assert stage.components()["decoder"].vocab_size == tokenizer.vocab_size


def test_a_row_longer_than_the_context_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    with pytest.raises(ConfigError, match="language: context 33 is over the decoder's 32"):
        LanguageTraining(configure("language", context=33), toy_model, tokenizer, CPU)


def test_a_missing_file_is_named(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    write_rows(tmp_path / "texts.jsonl", [{"text": "hello"}])
    with pytest.raises(DatasetError, match=r"cannot read .*dialogues\.jsonl"):
        LanguageTraining(configure("language", data=tmp_path), toy_model, tokenizer, CPU)
    write_rows(tmp_path / "dialogues.jsonl", [dialogue("greeting", "hello", "hello!")])
    LanguageTraining(configure("language", data=tmp_path), toy_model, tokenizer, CPU)
