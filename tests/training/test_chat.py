"""Chat tuning: what is learnt, what stays as it is, and where each component comes from."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import load_file

from mmchat.checkpoints.store import COMPONENTS, save_checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import CheckpointError, ConfigError, ContextError, DatasetError, ImageError, TrainingError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.model.multimodal import Multimodal
from mmchat.model.sequence import IGNORED
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder
from mmchat.training.chat import ChatTraining
from mmchat.training.loop import fit
from training.conftest import COLOURS, Configure, dialogue, weights_of, write_rows

CPU = torch.device("cpu")
PICTURE = {"type": "image", "image": "images/red-0.png"}
Start = Callable[..., Path]
Build = Callable[..., ChatTraining]


@pytest.fixture
def start(toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path) -> Start:
    """A checkpoint folder with some components, their weights drawn from a seed."""

    def write(name: str, seed: int, *components: str) -> Path:
        torch.manual_seed(seed)
        config = with_vocabulary(toy_model, tokenizer)
        model = Multimodal(config, TransformersDecoder(config.decoder))
        for modality in ("image", "audio"):
            model.attach(model.fresh(modality))
        parts = {component: getattr(model, component) for component in components}
        save_checkpoint(tmp_path / name, toy_model, parts, tokenizer, dtype=torch.float32)
        return tmp_path / name

    return write


@pytest.fixture
def build(configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer) -> Build:
    """A stage, by default one that trains everything from fresh weights."""

    def make(**given: Any) -> ChatTraining:
        torch.manual_seed(0)
        model = given.pop("toy", toy_model)
        return ChatTraining(configure("chat", **{"train": COMPONENTS, **given}), model, tokenizer, CPU)

    return make


def with_vocabulary(model: ModelConfig, tokenizer: ChatTokenizer) -> ModelConfig:
    return model.model_copy(update={"decoder": {**model.decoder, "vocab_size": tokenizer.vocab_size}})


def is_from(folder: Path, name: str, component: torch.nn.Module) -> bool:
    """Whether a component holds the weights of a folder."""
    path = folder / f"{name}.safetensors"
    ours = weights_of(component)
    return path.is_file() and all(torch.equal(tensor, ours[key]) for key, tensor in load_file(path).items())


# ------------------------------------------------------------------------------------------------------------ batches


def test_labels_are_what_the_assistant_says(build: Build, tokenizer: ChatTokenizer, dataset: Path) -> None:
    batch = build(batch_size=12).batch(0)
    sequences, positions = batch.sequences, batch.positions
    assert len(sequences) == len(positions) == 12
    for sequence in sequences:
        said = [label for label in sequence.labels if label != IGNORED]
        assert said[-1] == tokenizer.end_id
        assert tokenizer.decode(said).split(" ")[0] in ("This", "You", "Yes,")
    kinds = sorted(tuple(type(span.media).__name__ for span in sequence.spans) for sequence in sequences)
    assert kinds == [()] * 3 + [("AudioPart",)] * 3 + [("ImagePart",)] * 6


def test_positions_begin_at_zero_or_anywhere_that_the_row_fits(build: Build) -> None:
    stage = build()
    starts = []
    for step in range(20):
        batch = stage.batch(step)
        sequences, positions = batch.sequences, batch.positions
        longest = max(len(sequence) for sequence in sequences)
        assert torch.equal(positions - positions[:, :1], torch.arange(longest).expand(len(sequences), -1))
        assert 0 <= int(positions.min()) <= int(positions.max()) < 32
        starts += positions[:, 0].tolist()
    assert 0.3 < starts.count(0) / len(starts) < 0.8
    assert len(set(starts)) > 5


def test_a_step_has_the_same_batch_again(build: Build) -> None:
    stage = build()
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert [sequence.ids for sequence in first.sequences] == [sequence.ids for sequence in again.sequences]
    assert torch.equal(first.positions, again.positions)
    assert [sequence.ids for sequence in first.sequences] != [sequence.ids for sequence in other.sequences]


def test_every_row_once_an_epoch(build: Build) -> None:
    stage = build(batch_size=6)
    epoch = [sequence.ids for step in (0, 1) for sequence in stage.batch(step).sequences]
    assert len(epoch) == len(stage._rows) == 12
    assert sum(len(sequence.spans) for step in (0, 1) for sequence in stage.batch(step).sequences) == 9


def test_clips_end_on_a_grid(build: Build) -> None:
    """Clips of one length run through the encoder at once; the tones of 0.64 s end on the grid of 0.32 s."""
    clips = [span.media for sequence in build(batch_size=12).batch(0).sequences for span in sequence.spans]
    assert {len(clip.waveform) for clip in clips if isinstance(clip, AudioPart)} == {10_240}


def test_clips_are_heard_anew_in_each_step_and_the_same_again(build: Build, start: Start) -> None:
    """A frozen encoder, too, is asked for what it makes of each hearing, and keeps none."""

    def heard(step: int) -> list[str]:
        spans = [span.media for sequence in stage.batch(step).sequences for span in sequence.spans]
        return sorted(clip.digest for clip in spans if isinstance(clip, AudioPart))

    folder = start("start", 7, *COMPONENTS)
    stage = build(start=(folder,), train=("decoder",), batch_size=12)
    assert heard(0) == heard(1)  # an epoch is one step, and each clip is as it is
    stage = build(start=(folder,), train=("decoder",), batch_size=12, hear_anew=True)
    assert heard(0) == heard(0)
    assert not set(heard(0)) & set(heard(1))
    stage.module.eval()
    for step in range(3):
        stage.loss(stage.batch(step))
    assert len(stage._cache._kept) == 6  # the pictures


def test_pictures_are_seen_anew_in_each_step_and_the_same_again(build: Build, start: Start) -> None:
    """As clips are heard anew: encoded each time, and what is frozen keeps none."""

    def seen(step: int) -> list[str]:
        spans = [span.media for sequence in stage.batch(step).sequences for span in sequence.spans]
        return sorted(picture.digest for picture in spans if isinstance(picture, ImagePart))

    folder = start("start", 7, *COMPONENTS)
    stage = build(start=(folder,), train=("decoder",), batch_size=12)
    assert seen(0) == seen(1)
    stage = build(start=(folder,), train=("decoder",), batch_size=12, see_anew=True)
    assert seen(0) == seen(0)
    assert not set(seen(0)) & set(seen(1))
    stage.module.eval()
    for step in range(3):
        stage.loss(stage.batch(step))
    assert len(stage._cache._kept) == 3  # the clips


def test_what_users_type_is_phrased_anew_but_what_is_answered_stays(
    build: Build, dataset: Path, tokenizer: ChatTokenizer
) -> None:
    asked = "what is it now"
    write_rows(dataset / "typed.jsonl", [dialogue("typed", asked, "red") for _ in range(12)])

    def typed(step: int) -> set[str]:
        batch = stage.batch(step).sequences
        answers = [tokenizer.decode([label for label in row.labels if label != IGNORED]) for row in batch]
        assert all("red" in answer for answer in answers)
        return {
            tokenizer.decode([i for i, label in zip(row.ids, row.labels, strict=True) if label == IGNORED])
            for row in batch
        }

    stage = build(files=("typed.jsonl",), media=(), train=("decoder",), batch_size=12)
    assert len(typed(0)) == 1
    stage = build(files=("typed.jsonl",), media=(), train=("decoder",), batch_size=12, type_anew=True)
    assert typed(0) == typed(0)
    assert len(set.union(*map(typed, range(10)))) > 5


def test_rows_with_clips_are_repeated(build: Build) -> None:
    assert len(build(repeat_audio=3)._rows) == 12 + 2 * 3


def test_rows_of_a_kind_are_repeated_as_their_kind_or_their_clip_asks_for(build: Build) -> None:
    """Twelve rows, three of them of facts and three spoken."""
    assert len(build(repeat={"fact": 4})._rows) == 12 + 3 * 3
    assert len(build(repeat={"fact": 4, "spoken": 2}, repeat_audio=3)._rows) == 12 + 3 * 3 + 3 * 2


def test_a_kind_that_is_not_there_is_named(build: Build) -> None:
    with pytest.raises(DatasetError, match=r"repeat: no row of .* is facts or names$"):
        build(repeat={"facts": 2, "names": 2, "fact": 2})


def test_a_caption_is_what_the_assistant_says_to_its_picture(build: Build, tokenizer: ChatTokenizer) -> None:
    stage = build(files=("captions.jsonl",), media=("image",), train=("decoder", "image_projector", "image_encoder"))
    assert len(stage._rows) == 6
    sequences = stage.batch(0).sequences
    for sequence in sequences:
        assert [type(span.media).__name__ for span in sequence.spans] == ["ImagePart"]
        said = tokenizer.decode([label for label in sequence.labels if label != IGNORED])
        assert said in {f"a {colour} square" for colour in COLOURS}


def test_media_that_are_left_out_take_their_rows_and_components_along(build: Build) -> None:
    seeing = ("decoder", "image_encoder", "image_projector")
    stage = build(media=("image",), train=seeing)
    assert len(stage._rows) == 12 - 3
    assert set(stage.components()) == set(seeing)
    assert stage.loss(stage.batch(0)).value.isfinite()
    with pytest.raises(ConfigError, match="chat: no audio_projector to train"):
        build(media=("image",), train=(*seeing, "audio_projector"))


def test_the_loss_is_that_of_the_labels_alone(build: Build) -> None:
    """Against each conversation by itself: padding and the rows beside it change nothing."""
    stage = build(batch_size=12)
    stage.module.eval()
    batch = stage.batch(0)
    sequences, positions = batch.sequences, batch.positions
    with torch.no_grad():
        ours = stage.loss(batch)
        losses = []
        for sequence, row in zip(sequences, positions, strict=True):
            logits = stage.module([sequence], row[None, : len(sequence)])[0, :-1]
            losses.append(F.cross_entropy(logits, torch.tensor(sequence.labels)[1:], reduction="none"))
    said = torch.cat([loss[torch.tensor(s.labels)[1:] != IGNORED] for loss, s in zip(losses, sequences, strict=True)])
    assert ours.items == len(said)
    torch.testing.assert_close(ours.value, said.mean())


def spoken(path: Path, *transcripts: object) -> Path:
    """Two clips that are asked about in one row, beside a row without any."""
    turns = [{"type": "audio", "audio": f"audio/{colour}.wav"} for colour in ("red", "blue")]
    row = dialogue("heard", [*turns, {"type": "text", "text": "which?"}], "red")
    write_rows(path / "spoken.jsonl", [{**row, "transcripts": list(transcripts)}, dialogue("typed", "hello", "hello")])
    return path


def test_what_is_heard_is_told_to_the_ear_too(build: Build, dataset: Path, tokenizer: ChatTokenizer) -> None:
    """CTC by the decoder's embeddings, beside the loss of the answer, and with the weight that was asked for."""
    spoken(dataset, "red", "blue")
    stage = build(files=("spoken.jsonl",), batch_size=2, ctc_weight=0.5)
    plain = build(files=("spoken.jsonl",), batch_size=2)
    batch = stage.batch(0)
    assert batch.said == [tokenizer.encode("red"), tokenizer.encode("blue")]
    for each in (stage, plain):
        each.module.eval()
    stage._model.load_state_dict(plain._model.state_dict())
    heard = stage._heard
    assert heard is not None
    with torch.no_grad():
        media = [span.media for sequence in batch.sequences for span in sequence.spans]
        embeddings = stage._model.decoder.embed(torch.arange(tokenizer.vocab_size))
        losses = []
        for tokens, words in zip(stage._model.encode(media), batch.said, strict=True):
            assert words is not None
            similar = tokens @ embeddings.T * 10 / embeddings.square().sum(1).mean()
            assert heard.scores.speaks is not None
            any_word = heard.scores.speaks(tokens).sigmoid()
            scores = torch.cat([any_word * similar.softmax(-1), 1 - any_word], 1).log()
            ids, lengths = torch.tensor([words]), torch.tensor([len(words)])
            losses.append(F.ctc_loss(scores, ids, torch.tensor([len(tokens)]), lengths, blank=len(embeddings)))
        ours, without = stage.loss(batch), plain.loss(plain.batch(0))
    torch.testing.assert_close(ours.value, without.value + 0.5 * torch.stack(losses).mean())
    assert ours.items == without.items


def test_what_tells_words_learns_from_ctc_where_it_is_kept(
    build: Build, dataset: Path, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    """The loss is that of the words which the projector itself hears, and nothing is thrown away afterwards."""
    spoken(dataset, "red", "blue")
    assert toy_model.audio_projector is not None
    projector = toy_model.audio_projector.model_copy(update={"heard": "words"})
    toy = with_vocabulary(toy_model.model_copy(update={"audio_projector": projector}), tokenizer)
    stage = build(toy=toy, files=("spoken.jsonl",), batch_size=2, ctc_weight=0.5)
    batch = stage.batch(0)
    media = [span.media for sequence in batch.sequences for span in sequence.spans]
    tokens = stage._model.in_time(media, stage._model.features(media))
    assert stage._model.audio_projector is not None
    heard = stage._model.audio_projector.heard
    assert heard is not None
    losses = [
        F.ctc_loss(
            heard(clip), torch.tensor([ids]), torch.tensor([len(clip)]), torch.tensor([len(ids)]), tokenizer.vocab_size
        )
        for clip, ids in zip(tokens, [ids for ids in batch.said if ids is not None], strict=True)
    ]
    loss = stage._ctc(tokens, batch.said)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None and weight.grad.norm() > 0 for weight in heard.parameters())
    assert {id(weight) for weight in stage.module.parameters()} == {id(weight) for weight in stage._model.parameters()}


def test_the_ear_learns_from_ctc_though_the_embeddings_do_not(build: Build, dataset: Path) -> None:
    spoken(dataset, "red", "blue")
    stage = build(files=("spoken.jsonl",), batch_size=2, ctc_weight=1.0)
    tokens = stage._model.encode([part for s in stage.batch(0).sequences for part in (x.media for x in s.spans)])
    words = torch.arange(stage._tokenizer.vocab_size)
    stage._ctc(tokens, stage.batch(0).said).backward()  # type: ignore[no-untyped-call]
    assert stage._heard is not None
    assert all(weight.grad is not None for weight in stage._heard.parameters())
    assert stage._model.audio_encoder is not None
    assert any(weight.grad is not None for weight in stage._model.audio_encoder.parameters())
    assert all(weight.grad is None for weight in stage._model.decoder.parameters())
    assert stage._model.decoder.embed(words).requires_grad


def test_clips_whose_words_no_row_tells_add_nothing(build: Build, dataset: Path) -> None:
    """Nor does a batch that has no others."""
    spoken(dataset, "red", "blue")
    stage = build(files=("dialogues.jsonl", "spoken.jsonl"), batch_size=14, ctc_weight=1.0)
    batch = stage.batch(0)
    clips = [torch.randn(2, stage._model.decoder.width) for _ in batch.said]
    known = [(clip, words) for clip, words in zip(clips, batch.said, strict=True) if words is not None]
    assert 0 < len(known) < len(clips)
    assert torch.equal(stage._ctc(clips, batch.said), stage._ctc(*zip(*known, strict=True)))
    assert stage._ctc(clips, [None] * len(clips)) == 0


def test_ctc_without_a_word_to_hear_is_refused(build: Build) -> None:
    with pytest.raises(DatasetError, match=r"chat: ctc_weight: no row of .* has transcripts"):
        build(ctc_weight=1.0)


def test_a_clip_without_speech_is_silence_from_end_to_end(build: Build, dataset: Path) -> None:
    spoken(dataset, "", "")
    stage = build(files=("spoken.jsonl",), batch_size=2, ctc_weight=1.0)
    assert stage.batch(0).said == [[], []]
    assert stage.loss(stage.batch(0)).value.isfinite()


@pytest.mark.parametrize("transcripts", [["red"], ["red", "blue", "green"], ["red", 3]])
def test_transcripts_that_do_not_belong_to_the_clips_are_named(
    build: Build, dataset: Path, transcripts: list[object]
) -> None:
    spoken(dataset, *transcripts)
    build(files=("spoken.jsonl",), batch_size=2)
    with pytest.raises(DatasetError, match=r'^chat: "transcripts" must be a text for each clip \(2\), not \[\'red\''):
        build(files=("spoken.jsonl",), batch_size=2, ctc_weight=1.0)


def test_ctc_that_nothing_would_learn_from_is_refused(build: Build, dataset: Path, start: Start) -> None:
    spoken(dataset, "red", "blue")
    given = {"files": ("spoken.jsonl",), "start": (start("start", 7, *COMPONENTS),), "ctc_weight": 1.0}
    with pytest.raises(ConfigError, match="chat: ctc_weight: train names neither audio_encoder nor audio_projector"):
        build(train=("decoder",), **given)
    build(train=("audio_projector",), **given)


def test_a_batch_without_labels_is_refused(build: Build, tmp_path: Path) -> None:
    """Its loss would be 0 / 0, and the mean over nothing would spread NaN into the weights."""
    write_rows(tmp_path / "dialogues.jsonl", [{"messages": [{"role": "user", "content": "hello"}]}])
    stage = build(data=tmp_path, name="mute")
    with pytest.raises(TrainingError, match="mute: a batch without labels: its conversations have no assistant turn"):
        stage.loss(stage.batch(0))


def test_in_bfloat16_it_learns_from_nearly_the_same_loss(build: Build) -> None:
    stage = build(batch_size=12)
    whole = stage.loss(stage.batch(0)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.loss(stage.batch(0)).value
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.03, atol=0.03)


TWO = [PICTURE, {"type": "text", "text": "or"}, {**PICTURE, "image": "images/blue-0.png"}]
CLIP = {"type": "audio", "audio": "audio/red.wav"}


def turns(*contents: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """User and assistant in turn."""
    return [{"role": ("user", "assistant")[number % 2], "content": each} for number, each in enumerate(contents)]


@pytest.mark.parametrize(
    ("messages", "media"),
    [
        ([{"role": "system", "content": "Be brief."}, *turns([PICTURE], "Red.")], ["red-0.png"]),
        (turns(TWO, "Two."), ["red-0.png", "blue-0.png"]),
        (turns([PICTURE, PICTURE], "Twins."), ["red-0.png", "red-0.png"]),
        (turns([CLIP], "Red.", [CLIP], "Red.", [PICTURE], "Red."), ["red.wav", "red.wav", "red-0.png"]),
        (turns([CLIP, *TWO, CLIP], "Red."), ["red.wav", "red-0.png", "blue-0.png", "red.wav"]),
    ],
    ids=["system", "two pictures", "one picture twice", "over several turns", "all at once"],
)
def test_any_conversation_of_the_chat_format_trains(
    build: Build,
    dataset: Path,
    tmp_path: Path,
    toy_model: ModelConfig,
    tokenizer: ChatTokenizer,
    messages: list[dict[str, Any]],
    media: list[str],
) -> None:
    """Every placeholder is filled, all that the assistant says is learnt, the gradient reaches whatever was used."""
    shutil.copytree(dataset, tmp_path / "data")
    write_rows(tmp_path / "data" / "dialogues.jsonl", [{"messages": messages}])
    roomy = toy_model.model_copy(update={"decoder": {**toy_model.decoder, "n_positions": 128}})
    stage = build(data=tmp_path / "data", batch_size=1, toy=roomy)
    batch = stage.batch(0)
    (sequence,) = batch.sequences
    assert [span.media.name for span in sequence.spans] == media
    said = [message["content"] for message in messages if message["role"] == "assistant"]
    learnt = [label for label in sequence.labels if label != IGNORED]
    assert learnt.count(tokenizer.end_id) == len(said)
    assert tokenizer.decode([label for label in learnt if label != tokenizer.end_id]) == "".join(said)
    stage.module.train()  # as the loop does
    stage.loss(batch).value.backward()
    used = {"image" if name.endswith(".png") else "audio" for name in media} | {"decoder"}
    for name, component in stage.components().items():
        gradients = [weight.grad for weight in component.parameters() if weight.grad is not None]
        assert any(gradient.any() for gradient in gradients) == (name.split("_")[0] in used), name


def test_media_that_stand_in_the_row_itself_train_too(build: Build, dataset: Path, tmp_path: Path) -> None:
    """Rows in the protocol of OpenAI, with the picture in base64, were once left out in silence."""
    data = base64.b64encode((dataset / PICTURE["image"]).read_bytes()).decode()
    inline: dict[str, Any] = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    write_rows(tmp_path / "dialogues.jsonl", [{"messages": turns([inline], "Red.")}])
    stage = build(data=tmp_path, batch_size=1)
    batch = stage.batch(0)
    (sequence,) = batch.sequences
    assert [span.media.name for span in sequence.spans] == ["picture"]
    stage.module.train()
    assert stage.loss(batch).value.isfinite()


def test_files_are_read_one_after_another(build: Build, dataset: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "one.jsonl", [dialogue("a", "hello", "hello!")])
    write_rows(tmp_path / "two.jsonl", [dialogue("b", "bye", "bye!"), dialogue("b", "thanks", "no worries")])
    assert len(build(data=tmp_path, files=("one.jsonl", "two.jsonl"))._rows) == 3


def test_extra_files_are_read_as_often_as_they_are_to_be_and_left_out_where_they_are_not_there(
    build: Build, dataset: Path
) -> None:
    rows = len(build()._rows)
    (dataset / "more.jsonl").write_text((dataset / "dialogues.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    assert len(build(extra_files={"more.jsonl": 2, "photographs.jsonl": 3})._rows) == 3 * rows


@pytest.mark.parametrize(
    ("content", "error", "complaint"),
    [
        ([{**PICTURE, "image": "images/gone.png"}], ImageError, r"gone\.png: no such file"),
        ("is red a colour? " * 10, ContextError, r"the conversation needs \d+ tokens .* the model reads 31"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    build: Build, tmp_path: Path, content: Any, error: type[Exception], complaint: str
) -> None:
    write_rows(tmp_path / "dialogues.jsonl", [dialogue("name", content, "This is red.")])
    stage = build(data=tmp_path)
    with pytest.raises(error, match=complaint):
        stage.batch(0)


def test_rows_without_messages_are_named(build: Build, tmp_path: Path) -> None:
    write_rows(tmp_path / "dialogues.jsonl", [dialogue("a", "hello", "hello!"), {"text": "hello"}])
    with pytest.raises(DatasetError, match=r"dialogues\.jsonl line 2 has no messages"):
        build(data=tmp_path)


# ----------------------------------------------------------------------------------------------------------- freezing


@pytest.mark.parametrize(
    "trained",
    [("image_projector", "audio_projector"), ("decoder",), ("image_encoder", "audio_projector"), COMPONENTS],
    ids=lambda trained: "+".join(trained) if len(trained) < 5 else "all",
)
def test_frozen_components_stay_bit_for_bit_and_trained_ones_move(
    build: Build, configure: Configure, start: Start, tmp_path: Path, screen: Console, trained: tuple[str, ...]
) -> None:
    """Buffers count: the batch norms of a frozen image tower must not move their running statistics."""
    folder = start("start", 7, *COMPONENTS)
    stage = build(start=(folder,), train=trained, batch_size=12)
    before = {name: weights_of(component) for name, component in stage.components().items()}
    fit(stage, configure("chat", max_steps=2, out=tmp_path / "out"), screen)
    after = {name: weights_of(component) for name, component in stage.components().items()}
    for name in COMPONENTS:
        same = {key: torch.equal(tensor, after[name][key]) for key, tensor in before[name].items()}
        if name in trained:
            assert not any(same[key] for key, _ in stage.components()[name].named_parameters()), name
        else:
            assert all(same.values()), name


# ------------------------------------------------------------------------------------------------------ start folders


def test_each_component_comes_from_the_first_folder_that_has_it(build: Build, start: Start) -> None:
    first = start("first", 1, "decoder", "image_encoder")
    second = start("second", 2, "decoder", "image_encoder", "audio_encoder", "audio_projector")
    third = start("third", 3, *COMPONENTS)
    parts = build(start=(first, second, third)).components()
    origin = {
        "decoder": first,
        "image_encoder": first,
        "image_projector": third,
        "audio_encoder": second,
        "audio_projector": second,
    }
    found = {name: [each for each in (first, second, third) if is_from(each, name, parts[name])] for name in parts}
    assert found == {name: [folder] for name, folder in origin.items()}


def test_what_is_trained_may_begin_fresh(build: Build, start: Start) -> None:
    folder = start("some", 1, "decoder", "image_encoder", "audio_encoder")
    parts = build(start=(folder,), train=("image_projector", "audio_projector")).components()
    assert set(parts) == set(COMPONENTS)


@pytest.mark.parametrize("missing", COMPONENTS)
def test_what_is_neither_trained_nor_given_is_an_error(build: Build, start: Start, missing: str) -> None:
    one = start("one", 1, *(name for name in COMPONENTS if name not in (missing, "decoder")))
    two = start("two", 1, *(name for name in COMPONENTS if name != missing))
    train = tuple(name for name in COMPONENTS if name != missing)[:1]
    with pytest.raises(CheckpointError) as caught:
        build(start=(one, two), train=train)
    assert str(caught.value) == f"chat: {missing} is not trained here and stands in none of: {one}, {two}"


def test_weights_of_another_shape_are_named(build: Build, start: Start, toy_model: ModelConfig) -> None:
    folder = start("start", 1, "decoder")
    wider = toy_model.model_copy(update={"decoder": {**toy_model.decoder, "n_embd": 128}})
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors: .* has the shape .*, the model needs .*128"):
        build(start=(folder,), toy=wider)


def test_training_what_the_model_lacks_is_an_error(build: Build, toy_model: ModelConfig) -> None:
    blind = toy_model.model_copy(update={"image_encoder": None, "image_projector": None})
    assert set(build(toy=blind, train=("decoder", "audio_encoder", "audio_projector")).components()) == {
        "decoder",
        "audio_encoder",
        "audio_projector",
    }
    complaint = (
        r"chat: no image_encoder and no image_projector to train: .*model\.yaml has none, or media leaves it out"
    )
    with pytest.raises(ConfigError, match=complaint):
        build(toy=blind, train=COMPONENTS)
