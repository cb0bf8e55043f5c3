"""Speech-to-text pre-training: spelling, batches of clips of nearly one length, masking, and the CTC loss."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.functional import ctc_loss

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import AudioError, CheckpointError, ConfigError, DatasetError, TrainingError
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder
from mmchat.training.speech import SpeechBatch, SpeechTraining, Targets
from mmchat.training.spelling import ALPHABET, Letters
from training.conftest import Configure, tone, weights_of, write_rows

CPU = torch.device("cpu")


def spelt(letters: list[int]) -> str:
    return "".join(ALPHABET[letter - 1] for letter in letters)


@pytest.fixture
def stage(configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer) -> SpeechTraining:
    torch.manual_seed(0)
    return SpeechTraining(configure("speech"), toy_model, tokenizer, CPU)


@pytest.fixture
def lengths(tmp_path: Path) -> Path:
    """A dataset of clips of 0.2 s to 1 s, one of which says nothing that can be spelt."""
    rows = []
    for tenths in (10, 2, 6, 4, 8):
        soundfile.write(tmp_path / f"{tenths}.wav", tone(440, tenths / 10), SAMPLE_RATE)
        rows.append({"audio": f"{tenths}.wav", "text": "a" * tenths})
    write_rows(tmp_path / "transcripts.jsonl", [*rows, {"audio": "gone.wav", "text": "1, 2, 3!"}])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("What is this?", "what is this"),
        ("it's a  CAT - really", "it's a cat really"),
        ("...no", "no"),
        ("42 cats", "cats"),
        ("¿?", ""),
        ("", ""),
    ],
)
def test_spelling_keeps_letters_spaces_and_apostrophes(text: str, kept: str) -> None:
    letters = Letters(4)
    assert spelt(letters.ids(text)) == kept
    assert letters.blank not in letters.ids(text)


def test_a_batch_holds_clips_and_their_letters(stage: SpeechTraining) -> None:
    batch = stage.batch(0)
    clips, bands, frames = batch.mels.shape
    assert (clips, bands) == (3, 80)
    assert 54 <= frames <= 74  # 0.64 s, heard a little faster or slower
    assert spelt(batch.targets[0].ids.tolist()) == "".join(f"say {colour}" for colour in ("red", "green", "blue"))
    assert batch.targets[0].lengths.tolist() == [7, 9, 8]


def test_a_batch_holds_neighbours_in_length(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, lengths: Path
) -> None:
    """Sorted by length they are 2, 4, 6, 8 and 10 tenths; two in a row make a batch as long as the longer of them."""
    stage = SpeechTraining(configure("speech", data=lengths, batch_size=2), toy_model, tokenizer, CPU)
    batches = [stage.batch(step) for step in range(30)]
    assert {tuple(batch.targets[0].lengths.tolist()) for batch in batches} == {(low, low + 2) for low in (2, 4, 6, 8)}
    paces = [batch.mels.shape[-1] / (10 * float(batch.targets[0].lengths.max())) for batch in batches]
    assert 0.84 < min(paces) < 0.95
    assert 1.05 < max(paces) < 1.16


def test_a_step_has_the_same_batch_again(stage: SpeechTraining) -> None:
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert torch.equal(first.mels, again.mels)
    assert torch.equal(first.targets[0].ids, again.targets[0].ids)
    assert not torch.equal(first.mels, other.mels)


def test_the_loss_is_what_every_spelling_path_adds_up_to(stage: SpeechTraining) -> None:
    """CTC by its definition: the probability of a text is that of all paths that read it once repeats and blanks go."""
    batch = SpeechBatch(stage.batch(0).mels[:1, :, :8], (Targets(torch.tensor([3, 4]), torch.tensor([2])),))
    with torch.no_grad():
        ours = stage.loss(batch)
        scores = stage.module["heads"]["letters"](stage.module["encoder"](batch.mels))[0].softmax(-1)  # T, A
    total = 0.0
    for path in itertools.product((0, 3, 4), repeat=len(scores)):
        read = [letter for letter, _ in itertools.groupby(path) if letter != 0]
        if read == [3, 4]:
            total += float(np.prod([scores[time, letter] for time, letter in enumerate(path)]))
    assert len(scores) == 4
    assert float(ours.value) == pytest.approx(-np.log(total) / 2, rel=1e-4)  # a letter
    assert ours.items == 1


def test_where_nothing_is_said_nothing_is_spelt(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """The loss of a clip of no words is that each of its steps says none."""
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", tone(440, 0.5), SAMPLE_RATE)
    write_rows(tmp_path / "transcripts.jsonl", [{"audio": f"{name}.wav", "text": ""} for name in "ab"])
    stage = SpeechTraining(configure("speech", data=tmp_path, batch_size=2), toy_model, tokenizer, CPU)
    batch = stage.batch(0)
    assert batch.targets[0].lengths.tolist() == [0, 0]
    with torch.no_grad():
        scores = stage.module["heads"]["letters"](stage.module["encoder"](batch.mels)).log_softmax(-1)  # B, T, A
        assert float(stage.loss(batch).value) == pytest.approx(-float(scores[..., 0].sum(1).mean()), rel=1e-4)


def test_a_batch_without_labels_is_refused(stage: SpeechTraining) -> None:
    """A text with more characters than its clip has features cannot be aligned: CTC would make its loss zero."""
    batch = SpeechBatch(stage.batch(0).mels[:2, :, :8], (Targets(torch.tensor([3] * 11), torch.tensor([5, 6])),))
    with pytest.raises(TrainingError, match="speech: a batch without labels: its texts are too long for their clips"):
        stage.loss(batch)


def test_in_bfloat16_it_learns_from_nearly_the_same_loss(stage: SpeechTraining) -> None:
    whole = stage.loss(stage.batch(0)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.loss(stage.batch(0)).value
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.03, atol=0.03)


def test_it_goes_on_from_an_encoder_that_a_start_folder_holds(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, stage: SpeechTraining, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "heard", toy_model, stage.components(), tokenizer, dtype=torch.float32)
    again = SpeechTraining(configure("speech", start=(tmp_path / "heard",)), toy_model, tokenizer, CPU)
    ours, theirs = weights_of(again.module["encoder"]), weights_of(stage.module["encoder"])
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_learns(stage: SpeechTraining) -> None:
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=3e-3)
    losses = []
    for step in range(12):
        loss = stage.loss(stage.batch(step)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_it_hands_on_the_encoder_without_its_spelling_head(stage: SpeechTraining) -> None:
    handed = stage.components()
    assert list(handed) == ["audio_encoder"]
    trained = weights_of(stage.module["encoder"])
    assert all(torch.equal(tensor, trained[name]) for name, tensor in weights_of(handed["audio_encoder"]).items())


def test_a_model_without_ears_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    deaf = toy_model.model_copy(update={"audio_encoder": None, "audio_projector": None})
    with pytest.raises(ConfigError, match=r"speech: .*model\.yaml has no audio_encoder to train"):
        SpeechTraining(configure("speech"), deaf, tokenizer, CPU)


def test_fewer_clips_than_a_batch_are_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, lengths: Path
) -> None:
    with pytest.raises(DatasetError, match=r"transcripts\.jsonl has 5 clips to learn, a batch needs more"):
        SpeechTraining(configure("speech", data=lengths, batch_size=6), toy_model, tokenizer, CPU)


def test_a_clip_that_would_be_cut_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """The encoder hears 30 s at once: the rest would be lost while its letters were still asked for."""
    soundfile.write(tmp_path / "long.flac", tone(440, 30.1), SAMPLE_RATE)
    write_rows(tmp_path / "transcripts.jsonl", [{"audio": "long.flac", "text": "on and on"}])
    with pytest.raises(DatasetError, match=r"long\.flac is longer than the encoder hears at once"):
        SpeechTraining(configure("speech", data=tmp_path, batch_size=1), toy_model, tokenizer, CPU)


def test_a_missing_clip_is_named(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    write_rows(tmp_path / "transcripts.jsonl", [{"audio": "gone.wav", "text": "hello"}])
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        SpeechTraining(configure("speech", data=tmp_path, batch_size=1), toy_model, tokenizer, CPU)


# --------------------------------------------------------------------------------------------- in words of the decoder


@pytest.fixture
def words(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> tuple[SpeechTraining, TransformersDecoder]:
    """A stage that starts from a decoder, and that decoder."""
    torch.manual_seed(0)
    decoder = TransformersDecoder({**toy_model.decoder, "vocab_size": tokenizer.vocab_size})
    save_checkpoint(tmp_path / "start", toy_model, {"decoder": decoder}, tokenizer, dtype=torch.float32)
    config = configure("speech", start=(tmp_path / "start",), spell_in=("words",))
    return SpeechTraining(config, toy_model, tokenizer, CPU), decoder


def test_words_are_those_a_person_would_type(
    words: tuple[SpeechTraining, TransformersDecoder], tokenizer: ChatTokenizer
) -> None:
    batch = words[0].batch(0)
    said = torch.split(batch.targets[0].ids, batch.targets[0].lengths.tolist())
    assert [tokenizer.decode(ids.tolist()) for ids in said] == [f"say {colour}" for colour in ("red", "green", "blue")]


@torch.no_grad()
def test_a_word_is_told_by_the_embeddings_of_the_decoder(
    words: tuple[SpeechTraining, TransformersDecoder], tokenizer: ChatTokenizer
) -> None:
    stage, decoder = words
    features = stage.module["encoder"](stage.batch(0).mels)
    head = stage.module["heads"]["words"]
    scores = head(features)
    tokens = stage.components()["audio_projector"](features)
    embeddings = decoder.embed(torch.arange(tokenizer.vocab_size))
    assert scores.shape == (3, tokens.shape[1], tokenizer.vocab_size + 1)
    alike = tokens @ embeddings.T * 10 / embeddings.square().sum(1).mean()
    any_word = head.scores.speaks(tokens).sigmoid()
    torch.testing.assert_close(scores[..., :-1].exp(), any_word * alike.softmax(-1))
    torch.testing.assert_close(scores[..., -1:].exp(), 1 - any_word)


def test_a_projector_that_hears_words_keeps_what_tells_them(
    words: tuple[SpeechTraining, TransformersDecoder],
    configure: Configure,
    toy_model: ModelConfig,
    tokenizer: ChatTokenizer,
) -> None:
    stage, _ = words
    assert not any("heard" in key for key in stage.components()["audio_projector"].state_dict())
    assert toy_model.audio_projector is not None
    projector = toy_model.audio_projector.model_copy(update={"heard": "words"})
    model = toy_model.model_copy(update={"audio_projector": projector})
    config = configure("speech", start=stage._config.start, spell_in=("words",))
    hearing = SpeechTraining(config, model, tokenizer, CPU)
    batch = hearing.batch(0)
    ours = hearing.components()["audio_projector"]
    heard = ours.get_submodule("heard")
    features = hearing.module["encoder"](batch.mels)
    torch.testing.assert_close(hearing.module["heads"]["words"](features), heard(ours(features)))
    hearing.loss(batch).value.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None and weight.grad.norm() > 0 for weight in heard.parameters())


def test_encoder_and_projector_learn_the_words_and_the_embeddings_stay(
    words: tuple[SpeechTraining, TransformersDecoder],
) -> None:
    stage, decoder = words
    before = {name: weights_of(part) for name, part in stage.components().items()}
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        loss = stage.loss(stage.batch(step)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert list(stage.components()) == ["audio_encoder", "audio_projector"]
    for name, part in stage.components().items():
        assert any(not torch.equal(tensor, before[name][key]) for key, tensor in weights_of(part).items())
    embeddings = dict(stage.module.named_buffers())["heads.words.embeddings"]
    assert torch.equal(embeddings, decoder.embed(torch.arange(len(embeddings))))
    assert "heads.words.embeddings" not in stage.module.state_dict()


def test_without_a_decoder_there_are_no_words(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    tmp_path.joinpath("start").mkdir()
    with pytest.raises(CheckpointError, match=r"speech: no decoder, whose words these are, in any of: .*start"):
        SpeechTraining(configure("speech", start=(tmp_path / "start",), spell_in=("words",)), toy_model, tokenizer, CPU)


def test_letters_beside_words_share_the_encoder(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """The loss is the mean of both, and nothing of the letters is handed on."""
    torch.manual_seed(0)
    decoder = TransformersDecoder({**toy_model.decoder, "vocab_size": tokenizer.vocab_size})
    save_checkpoint(tmp_path / "start", toy_model, {"decoder": decoder}, tokenizer, dtype=torch.float32)
    config = configure("speech", start=(tmp_path / "start",), spell_in=("letters", "words"))
    stage = SpeechTraining(config, toy_model, tokenizer, CPU)
    batch = stage.batch(0)
    letters, words = batch.targets
    assert spelt(letters.ids.tolist()) == "say redsay greensay blue"
    assert tokenizer.decode(words.ids.tolist()) == "say redsay greensay blue"
    with torch.no_grad():
        features = stage.module["encoder"](batch.mels)
        each = []
        for name, targets in (("letters", letters), ("words", words)):
            scores = stage.module["heads"][name](features).log_softmax(-1).transpose(0, 1)
            heard, blank = torch.full((3,), len(scores)), 0 if name == "letters" else tokenizer.vocab_size
            each.append(ctc_loss(scores, targets.ids, heard, targets.lengths, blank))
        torch.testing.assert_close(stage.loss(batch).value, torch.stack(each).mean())
    assert list(stage.components()) == ["audio_encoder", "audio_projector"]
