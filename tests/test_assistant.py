"""The one door, over a tiny checkpoint with random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from whisper.model import Whisper

import mmchat
from mmchat.assistant import Assistant, MediaCheck, MediaReceipt, Reply, ReplyStream, Usage
from mmchat.checkpoints.store import Checkpoint, load_component
from mmchat.config import Modality
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.encoders.transcriber import Transcriber
from mmchat.encoders.whisper import WhisperAudioEncoder
from mmchat.errors import CheckpointError, ContextError, MessageError, OptionError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.model.multimodal import Multimodal
from mmchat.model.placement import ON_CPU
from mmchat.model.projector import Projector
from mmchat.model.sequence import build_sequence
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder

SHORT: dict[str, Any] = {"max_new_tokens": 12}
SAMPLED: dict[str, Any] = {"temperature": 1.5, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def assistant(tiny_checkpoint: Path) -> Assistant:
    return Assistant.load(tiny_checkpoint, device="cpu")


@pytest.fixture
def fresh(tiny_checkpoint: Path) -> Assistant:
    """One that has seen and heard nothing yet."""
    return Assistant.load(tiny_checkpoint, device="cpu")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the encoders are run on, in order: "image" or "audio" for each picture and chunk."""
    runs: list[str] = []
    for name, encoder in (("image", ClipImageEncoder), ("audio", WhisperAudioEncoder)):
        forward = encoder.forward

        def counted(
            self: Any, batch: torch.Tensor, *heard: int, name: str = name, forward: Any = forward
        ) -> torch.Tensor:
            runs.extend([name] * len(batch))
            features: torch.Tensor = forward(self, batch, *heard)
            return features

        monkeypatch.setattr(encoder, "forward", counted)
    return runs


def reference(checkpoint: Checkpoint) -> TransformersDecoder:
    """What transformers makes of the decoder's weights."""
    decoder = TransformersDecoder(checkpoint.config.decoder)
    load_component(checkpoint.folder, "decoder", decoder)
    return decoder.eval()


def outcome(reply: Reply) -> tuple[object, ...]:
    """All of a reply that does not depend on the clock."""
    return reply.text, reply.media, reply.usage, reply.finish_reason, reply.seed, reply.model


def read_all(stream: ReplyStream) -> tuple[list[str], Reply]:
    pieces = list(stream)
    assert stream.reply is not None
    return pieces, stream.reply


# Answers


def test_greedy_answers_equal_those_of_transformers(
    assistant: Assistant, tiny_tokenizer: ChatTokenizer, cat_image: ImagePart, question_clip: AudioPart,
    tiny_checkpoint: Path,
) -> None:  # fmt: skip
    """From a question to its text, with picture and voice, beside `generate(do_sample=False)` on the same weights."""
    checkpoint = Checkpoint(tiny_checkpoint)
    model: Multimodal = checkpoint.load()
    checkpoint.add(model, "image")
    checkpoint.add(model, "audio")
    question = Message.user("what is this?", cat_image, question_clip)
    sequence = build_sequence([question], tiny_tokenizer, model.num_tokens)
    with torch.no_grad():
        embeddings = model.embed(sequence, model.encode([cat_image, question_clip]))[None]
        theirs = (
            reference(checkpoint)
            .lm.generate(
                inputs_embeds=embeddings,
                attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
                do_sample=False,
                max_new_tokens=60,
                eos_token_id=tiny_tokenizer.end_id,
                pad_token_id=tiny_tokenizer.pad_id,
            )[0]
            .tolist()
        )
    ours = assistant.reply(question, max_new_tokens=60)
    assert ours.text == tiny_tokenizer.decode(theirs)
    assert ours.usage == Usage(len(sequence), len(theirs) - (theirs[-1] == tiny_tokenizer.end_id))
    assert len(set(theirs)) > 10, "the toy model repeats itself, so that this test shows nothing"


def test_a_reply_says_what_was_used_and_what_it_cost(
    assistant: Assistant, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    reply = assistant.reply([question_clip, "what is this?", cat_image], seed=5, **SHORT)
    assert reply.media == (
        MediaReceipt("audio", "question.wav", 9, 1.3),
        MediaReceipt("image", "cat.png", 4),
    )
    text = assistant.reply("what is this?", **SHORT).usage.prompt_tokens
    assert reply.usage == Usage(text + 9 + 2 + 4 + 2, 12)
    assert (reply.finish_reason, reply.seed, reply.model) == ("length", 5, "tiny")
    assert 0 <= reply.timing.first_token_s <= reply.timing.total_s
    assert reply.timing.load_s > 0


@pytest.mark.parametrize(
    ("receipt", "text"),
    [
        (MediaReceipt("image", "cat.png", 9), "cat.png → 9 tokens"),
        (MediaReceipt("audio", "question.wav", 14, 2.1), "question.wav 2.1 s → 14 tokens"),
        (MediaReceipt("image", "a.gif", 9, note="first frame of 12"), "a.gif → 9 tokens (first frame of 12)"),
    ],
)
def test_receipts_read_well(receipt: MediaReceipt, text: str) -> None:
    assert str(receipt) == text


def test_a_note_on_a_picture_reaches_the_receipt(assistant: Assistant, cat_image: ImagePart) -> None:
    part = ImagePart(cat_image.image, "a.gif", note="first frame of 12")
    assert str(assistant.reply(part, **SHORT).media[0]) == "a.gif → 4 tokens (first frame of 12)"


def test_every_spelling_of_a_question_gets_the_same_answer(assistant: Assistant, tmp_path: Path) -> None:
    """Text, a path, a PIL picture, a waveform with its rate; parts, messages, dicts."""
    image = Image.new("RGB", (20, 30), "red")
    path = tmp_path / "picture.png"
    image.save(path)
    message = Message.user("a", ImagePart.from_pil(image))
    spellings: list[Any] = [["a", path], ["a", image], message, [message], message.to_dict(), [message.to_dict()]]
    assert len({assistant.reply(each, **SHORT).text for each in spellings}) == 1
    wave = np.sin(np.arange(SAMPLE_RATE) / 9).astype(np.float32)
    clip = AudioPart.from_waveform(wave, SAMPLE_RATE)
    assert assistant.reply((wave, SAMPLE_RATE), **SHORT).text == assistant.reply(clip, **SHORT).text


def test_media_changes_the_answer(
    assistant: Assistant, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart, remark_clip: AudioPart
) -> None:
    questions: list[Any] = [
        ["a"], ["a", cat_image], ["a", dog_image], ["a", question_clip], ["a", remark_clip],
        ["a", cat_image, dog_image], ["a", dog_image, cat_image],
        ["a", cat_image, question_clip], ["a", question_clip, cat_image],
    ]  # fmt: skip
    assert len({assistant.reply(question, max_new_tokens=30).text for question in questions}) == len(questions)


def test_a_system_prompt_is_put_first(assistant: Assistant) -> None:
    told = assistant.reply("hello", system="it is a cat", **SHORT)
    written = assistant.reply([Message.system("it is a cat"), Message.user("hello")], **SHORT)
    assert outcome(told)[:4] == outcome(written)[:4]
    bare = assistant.reply("hello", **SHORT)
    assert told.usage.prompt_tokens > bare.usage.prompt_tokens
    assert told.text != bare.text


def test_an_assistant_keeps_no_conversation(assistant: Assistant, cat_image: ImagePart) -> None:
    """Two people who ask in turns never read each other."""
    first = assistant.reply("hello", **SHORT)
    assistant.reply(["what is this?", cat_image], system="a", **SHORT)
    assert outcome(assistant.reply("hello", **SHORT))[:4] == outcome(first)[:4]


def test_stop_strings_end_the_answer(assistant: Assistant) -> None:
    whole = assistant.reply("hello", **SHORT).text
    stop = whole[4:6]
    reply = assistant.reply("hello", stop=[stop], **SHORT)
    assert (reply.text, reply.finish_reason) == (whole[: whole.index(stop)], "stop")


def test_the_end_of_a_turn_ends_the_answer(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The same weights, with the first token of the answer as the one that ends a turn."""
    assistant = Assistant.load(tiny_checkpoint, device="cpu")
    prompt = assistant._read("hello")
    first = int(prompt.prefill.logits.argmax())
    assistant._scheduler.engine.stop_ids = frozenset({first})
    reply = assistant.reply("hello", **SHORT)
    assert (reply.text, reply.finish_reason, reply.usage.completion_tokens) == ("", "stop", 0)


# Streams


@pytest.mark.parametrize("options", [SHORT, SAMPLED | {"seed": 3}, {"max_new_tokens": 60}])
def test_the_pieces_of_a_stream_are_the_reply(
    assistant: Assistant, cat_image: ImagePart, options: dict[str, Any]
) -> None:
    question: list[Any] = ["what is this?", cat_image]
    pieces, streamed = read_all(assistant.stream(question, **options))
    assert "".join(pieces) == streamed.text
    assert all(pieces)
    assert len(pieces) > 1
    whole = assistant.reply(question, **options)
    assert (streamed.text, streamed.usage, streamed.finish_reason) == (whole.text, whole.usage, whole.finish_reason)


def test_a_stream_is_computed_as_it_is_read(assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing it stops the work; there is no thread that goes on."""
    steps: list[int] = []
    handle = assistant._model.decoder.register_forward_hook(lambda *_: steps.append(1))
    try:
        stream = assistant.stream("hello", max_new_tokens=50)
        assert len(steps) == 1, "the question is read at once, so that its mistakes show at once"
        next(stream)
        seen = len(steps)
        assert seen < 25
        stream.close()
        assert list(stream) == []
        assert len(steps) == seen
    finally:
        handle.remove()
    assert stream.reply is None


def test_a_mistake_shows_before_the_first_piece(assistant: Assistant) -> None:
    with pytest.raises(MessageError, match="empty"):
        assistant.stream("  ")
    with pytest.raises(OptionError, match="temperature"):
        assistant.stream("hello", temperature=-1)
    with pytest.raises(OptionError, match="stop"):
        assistant.stream("hello", stop=[""])


def test_streams_may_be_read_in_turns(assistant: Assistant, cat_image: ImagePart, dog_image: ImagePart) -> None:
    """Two tabs of the page."""
    streams = [assistant.stream(["what is this?", image], **SHORT) for image in (cat_image, dog_image)]
    texts = ["", ""]
    open_streams: list[tuple[int, Iterator[str]]] = list(enumerate(streams))
    while open_streams:
        index, stream = open_streams.pop(0)
        piece = next(stream, None)
        if piece is not None:
            texts[index] += piece
            open_streams.append((index, stream))
    assert texts == [assistant.reply(["what is this?", image], **SHORT).text for image in (cat_image, dog_image)]


def test_people_may_ask_at_the_same_time(
    fresh: Assistant, assistant: Assistant, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart
) -> None:
    """The first of them loads the encoders, the others wait for it and for nothing else."""
    questions: list[Any] = [["a", cat_image], ["a", question_clip], "hello", [dog_image, question_clip]] * 3
    with ThreadPoolExecutor(len(questions)) as pool:
        texts = list(pool.map(lambda question: fresh.reply(question, **SHORT).text, questions))
    assert texts == [assistant.reply(question, **SHORT).text for question in questions]


# Seeds and several answers


def test_several_answers_equal_single_ones_with_the_seeds_that_follow(
    assistant: Assistant, cat_image: ImagePart
) -> None:
    question: list[Any] = ["what is this?", cat_image]
    together = assistant.replies(question, 3, seed=7, **SAMPLED)
    assert [reply.seed for reply in together] == [7, 8, 9]
    alone = [assistant.reply(question, seed=seed, **SAMPLED) for seed in (7, 8, 9)]
    assert [outcome(reply) for reply in together] == [outcome(reply) for reply in alone]
    assert len({reply.text for reply in together}) == 3


def test_a_reported_seed_gives_the_same_answer_again(assistant: Assistant) -> None:
    first = assistant.reply("hello", **SAMPLED)
    assert assistant.reply("hello", seed=first.seed, **SAMPLED).text == first.text
    assert len({assistant.reply("hello", **SAMPLED).seed for _ in range(3)}) == 3


def test_seed_zero_is_a_seed(assistant: Assistant) -> None:
    assert assistant.reply("hello", seed=0, **SAMPLED).seed == 0


@pytest.mark.parametrize("n", [0, -1])
def test_no_answers_at_all_are_refused(assistant: Assistant, n: int) -> None:
    with pytest.raises(OptionError) as caught:
        assistant.replies("hello", n)
    assert str(caught.value) == f"cannot give {n} answers: ask for 1 or more"


def test_an_option_that_does_not_exist_is_refused(assistant: Assistant) -> None:
    with pytest.raises(OptionError, match="unknown key temprature"):
        assistant.reply("hello", temprature=1)


# How probable an answer is, and how it may go on


def test_the_likelihood_of_an_answer_is_the_loss_of_transformers(
    assistant: Assistant, tiny_tokenizer: ChatTokenizer, tiny_checkpoint: Path, cat_image: ImagePart
) -> None:
    """Of the last answer and the end of its turn alone, however many turns came before."""
    checkpoint = Checkpoint(tiny_checkpoint)
    model: Multimodal = checkpoint.load()
    checkpoint.add(model, "image")
    before = [Message.user("hello"), Message.assistant("describe this"), Message.user("what is this?", cat_image)]
    sequence = build_sequence(
        [*before, Message.assistant("it is a cat")], tiny_tokenizer, model.num_tokens, answer_next=False
    )
    count = len(tiny_tokenizer.encode("it is a cat")) + 1
    said = [position for position, label in enumerate(sequence.labels) if label >= 0][-count:]
    labels = [id_ if position in said else -100 for position, id_ in enumerate(sequence.ids)]
    with torch.no_grad():
        embeddings = model.embed(sequence, model.encode([cat_image]))[None]
        loss = reference(checkpoint).lm(inputs_embeds=embeddings, labels=torch.tensor([labels])).loss
    nats, tokens = assistant.log_likelihood(before, "it is a cat")
    assert tokens == count
    assert -nats / tokens == pytest.approx(float(loss), rel=1e-4)


def test_each_token_has_its_likelihood(assistant: Assistant, tiny_tokenizer: ChatTokenizer) -> None:
    """They add up to that of the answer; that of a beginning is part of it."""
    tokens = assistant.token_log_likelihoods("hello", "it is a cat")
    assert len(tokens) == len(tiny_tokenizer.encode("it is a cat")) + 1
    assert "".join(text for text, _ in tokens) == "it is a cat"
    assert tokens[-1][0] == ""
    assert all(nats < 0 for _, nats in tokens)
    assert sum(nats for _, nats in tokens) == assistant.log_likelihood("hello", "it is a cat")[0]
    beginning = assistant.token_log_likelihoods("hello", "it is")
    assert [nats for _, nats in beginning[:-1]] == pytest.approx([nats for _, nats in tokens[: len(beginning) - 1]])


def test_each_token_has_its_attention_to_media(
    assistant: Assistant, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    """A share for each cross-modal token, of all that there is to attend to."""
    texts, paid = assistant.token_attention([cat_image, question_clip, "what is this?"], "it is a cat")
    tokens = assistant.token_log_likelihoods([cat_image, question_clip, "what is this?"], "it is a cat")
    assert texts == [text for text, _ in tokens]
    reply = assistant.reply([cat_image, question_clip, "what is this?"], max_new_tokens=1)
    assert [tuple(each.shape) for each in paid] == [(len(texts), receipt.tokens) for receipt in reply.media]
    total = sum(each.sum(1) for each in paid)
    assert ((total > 0) & (total < 1)).all()  # type: ignore[union-attr]
    _, (other, _) = assistant.token_attention([cat_image, question_clip, "what is this?"], "a dog")
    assert not torch.allclose(paid[0][-1], other[-1])


def test_attention_to_a_clip_is_told_in_time_though_the_decoder_reads_words_first(
    fresh: Assistant, question_clip: AudioPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it reads the clip backwards."""
    read: list[torch.Tensor] = []
    attention = fresh._model.decoder.attention

    def spy(embeddings: torch.Tensor, chosen_at: torch.Tensor) -> torch.Tensor:
        read.append(attention(embeddings, chosen_at))
        return read[-1]

    monkeypatch.setattr(fresh._model.decoder, "attention", spy)
    monkeypatch.setattr(Projector, "order", lambda self, tokens: torch.arange(len(tokens)).flip(0))
    _, (paid,) = fresh.token_attention([question_clip], "a cat")
    runs = read[0].unfold(1, paid.shape[1], 1)  # K, first of the run, n
    assert (runs == paid.flip(1)[:, None]).all((0, 2)).sum() == 1
    assert not (runs == paid[:, None]).all((0, 2)).any()


def test_a_system_prompt_counts_for_the_likelihood(assistant: Assistant) -> None:
    alone = assistant.log_likelihood("hello", "a cat")
    assert assistant.log_likelihood("hello", "a cat", system="describe this")[0] != pytest.approx(alone[0])


def test_an_answer_that_does_not_fit_has_no_likelihood(assistant: Assistant) -> None:
    with pytest.raises(ContextError, match="the model reads 255"):
        assistant.log_likelihood("hello", "cat " * 300)


def test_the_first_continuation_goes_on_as_the_answer_does(assistant: Assistant, cat_image: ImagePart) -> None:
    """One beam is greedy; `reply` alone drops the bytes of a character that the budget cut."""
    question = Message.user("what is this?", cat_image)
    answer = assistant.reply(question, max_new_tokens=6).text
    (text,) = assistant.continuations(question, "", 1, stop=(), max_new_tokens=6)
    assert text.rstrip("\N{REPLACEMENT CHARACTER}") == answer


def test_an_opening_changes_what_follows_and_is_not_part_of_it(assistant: Assistant, cat_image: ImagePart) -> None:
    plain = assistant.continuations(cat_image, "", 3, stop=(), max_new_tokens=4)
    begun = assistant.continuations(cat_image, "it is a", 3, stop=(), max_new_tokens=4)
    assert plain != begun
    assert not any(text.startswith("it is a") for text in begun)


def test_continuations_end_before_a_stop_string(assistant: Assistant, cat_image: ImagePart) -> None:
    free = assistant.continuations(cat_image, "", 1, stop=(), max_new_tokens=8)[0]
    stop = free[len(free) // 2]
    assert assistant.continuations(cat_image, "", 1, stop=(stop,), max_new_tokens=8) == [free.partition(stop)[0]]


def test_as_many_continuations_as_asked_for(assistant: Assistant) -> None:
    assert len(assistant.continuations("hello", "", 5, stop=(), max_new_tokens=4)) == 5
    with pytest.raises(OptionError, match="cannot give 0 continuations: ask for 1 or more"):
        assistant.continuations("hello", "", 0, stop=(), max_new_tokens=4)


# What is loaded and encoded


def test_text_alone_loads_no_encoder(fresh: Assistant) -> None:
    fresh.reply("hello", **SHORT)
    assert [name for name, _ in fresh._model.named_children()] == ["decoder"]


def test_a_picture_does_not_load_the_ears(fresh: Assistant, cat_image: ImagePart, question_clip: AudioPart) -> None:
    before = fresh.reply("hello", **SHORT).timing.load_s
    assert fresh.reply(cat_image, **SHORT).timing.load_s > before
    assert fresh._model.audio_encoder is None
    fresh.reply(question_clip, **SHORT)
    assert fresh._model.audio_encoder is not None


def test_text_and_pictures_import_neither_open_clip_nor_transformers_nor_whisper(tiny_checkpoint: Path) -> None:
    """They take seconds to import. In a process of its own, since these tests have imported them."""
    script = (
        "import json, sys\n"
        "from PIL import Image\n"
        "from mmchat import Assistant\n"
        "picture = Image.new('RGB', (40, 30), 'red')\n"
        "text = Assistant.load(sys.argv[1], device='cpu').reply(['hi', picture], max_new_tokens=3).text\n"
        "print(json.dumps([text, *sorted(sys.modules)]))\n"
    )
    root = Path(mmchat.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_checkpoint)], cwd=root, capture_output=True, text=True, check=True
    )
    text, *modules = json.loads(done.stdout)
    assert text
    assert "torch" in modules
    heavy = {
        "open_clip",
        "timm",
        "torchvision",
        "transformers",
        "whisper",
        "gradio",
        "mmchat.checkpoints.families.llava",
    }
    assert not heavy & set(modules)
    assert done.stderr == ""


def test_a_picture_is_encoded_once_a_conversation(
    fresh: Assistant, encoded: list[str], cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart
) -> None:
    """A new turn costs its new tokens, not the whole history; also when the picture is read from its file again."""
    first = Message.user("what is this?", cat_image, question_clip)
    turns = [first, Message.assistant(fresh.reply(first, **SHORT).text or "a cat")]
    assert encoded == ["image", "audio"]
    again = Message.user("hello", ImagePart(cat_image.image.copy(), "again.png"))
    reply = fresh.reply([*turns, again], **SHORT)
    assert encoded == ["image", "audio"]
    assert [receipt.name for receipt in reply.media] == ["cat.png", "question.wav", "again.png"]
    fresh.reply([*turns, again, Message.user(dog_image, dog_image)], **SHORT)
    assert encoded == ["image", "audio", "image"]


def test_an_answer_from_memory_is_the_same(
    fresh: Assistant, assistant: Assistant, cat_image: ImagePart, dog_image: ImagePart
) -> None:
    fresh.reply(dog_image, **SHORT)
    fresh.reply([dog_image, cat_image], **SHORT)
    question = [cat_image, dog_image]
    assert fresh.reply(question, **SHORT).text == assistant.reply(question, **SHORT).text


def test_memory_is_bounded(fresh: Assistant, encoded: list[str], cat_image: ImagePart) -> None:
    """What was used lately stays; a page that runs for weeks does not grow."""
    for shade in range(70):
        fresh.reply(["a", ImagePart(Image.new("RGB", (8, 8), (shade, 0, 0))), cat_image], max_new_tokens=1)
    assert len(encoded) == 71
    assert len(fresh._media._tokens) == 64


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_damaged_encoder_never_answers(
    tiny_checkpoint: Path, tmp_path: Path, cat_image: ImagePart, question_clip: AudioPart, modality: Modality
) -> None:
    """The second question used to be answered by an encoder with random weights. Text still works."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    path = folder / f"{modality}_projector.safetensors"
    weights = load_file(path)
    del weights["norm.bias"]
    save_file(weights, path)
    damaged = Assistant.load(folder, device="cpu")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=f"{modality}_projector.safetensors: norm.bias is missing"):
            damaged.reply(cat_image if modality == "image" else question_clip)
    assert damaged.reply("hello", **SHORT).text


def test_a_tokenizer_with_more_tokens_than_the_decoder_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Its last ids would be an index error in the middle of an answer; on CUDA they end the process."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    count = len(values["model"]["vocab"])
    values["model"]["vocab"]["surplus"] = count
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError) as caught:
        Assistant.load(folder, device="cpu")
    assert str(caught.value) == f"{folder}: the tokenizer has {count + 1} tokens, the decoder embeds {count}"


# What does not fit


def test_a_conversation_over_the_context_says_what_it_costs(assistant: Assistant, cat_image: ImagePart) -> None:
    with pytest.raises(ContextError) as caught:
        assistant.reply(["?" * 300, cat_image])
    assert str(caught.value) == (
        "the conversation needs 309 tokens (cat.png 4, text 305), the model reads 255: shorten it or start a new one"
    )


def test_a_clip_over_the_context_is_an_error_and_never_cut(assistant: Assistant) -> None:
    minute = AudioPart(np.random.default_rng(0).normal(0, 0.1, 60 * SAMPLE_RATE).astype(np.float32), "speech.wav")
    with pytest.raises(ContextError, match=r"speech\.wav 376, text 5\), the model reads 255"):
        assistant.reply(minute)


def test_an_answer_ends_with_the_context(assistant: Assistant) -> None:
    reply = assistant.reply("?" * 245, max_new_tokens=10_000)
    assert reply.usage.prompt_tokens + reply.usage.completion_tokens == 256
    assert reply.finish_reason == "length"


# About the model


def test_the_model_describes_itself(assistant: Assistant, tiny_checkpoint: Path) -> None:
    about = assistant.describe()
    assert (about.name, about.path, about.knows) == ("tiny", tiny_checkpoint, "Nothing at all.")
    assert (about.context, about.device, about.dtype) == (256, "cpu", "float32")
    assert (about.tokens_per_image, about.tokens_per_second) == (4, 6.3)
    assert set(about.parameters) == {
        "decoder", "image_encoder", "image_projector", "audio_encoder", "audio_projector",
    }  # fmt: skip


def test_a_model_without_senses_describes_itself(tiny_checkpoint: Path, tmp_path: Path, cat_image: ImagePart) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    for modality in ("image", "audio"):
        for part in ("encoder", "projector"):
            del values[f"{modality}_{part}"]
            (folder / f"{modality}_{part}.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(values))
    blind = Assistant.load(folder, device="cpu")
    about = blind.describe()
    assert (about.tokens_per_image, about.tokens_per_second, list(about.parameters)) == (None, None, ["decoder"])
    with pytest.raises(MessageError, match="tiny cannot see pictures: ask it in text or choose another model"):
        blind.reply(["what is this?", cat_image])


class Scribe(Transcriber):
    """Hears how long a clip is."""

    def __init__(self) -> None:
        super().__init__(cast(Whisper, nn.Identity()), "scribe")

    def _heard(self, waveform: np.ndarray) -> str:
        return f"{len(waveform)} samples"


def test_a_model_that_cannot_hear_reads_a_transcript(
    tiny_checkpoint: Path, tmp_path: Path, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    """In the clip's place, and the receipts say so, in the order of the conversation."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    for part in ("encoder", "projector"):
        del values[f"audio_{part}"]
        (folder / f"audio_{part}.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(values))
    deaf = Assistant(Checkpoint(folder), ON_CPU, Scribe())
    heard = f"{len(question_clip.waveform)} samples"
    reply = deaf.reply([question_clip, "of", cat_image], **SHORT)
    assert reply.text == deaf.reply([f"{heard} ", "of", cat_image], **SHORT).text
    clip, picture = reply.media
    assert (clip.kind, clip.name, clip.note) == ("audio", "question.wav", f'scribe heard "{heard}"')
    assert clip.tokens == len(deaf._tokenizer.encode(heard))
    assert (picture.kind, picture.name, picture.tokens, picture.note) == ("image", "cat.png", 4, None)
    assert (deaf.describe().tokens_per_second, deaf.describe().transcriber) == (None, "scribe")
    assert deaf.media_check(question_clip).ok is False  # the same length backwards
    with pytest.raises(MessageError, match="tiny cannot hear"):
        Assistant.load(folder, device="cpu").reply(question_clip)


def test_nothing_is_written_down_for_a_model_that_hears(tiny_checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="tiny hears by itself: leave the transcriber out"):
        Assistant.load(tiny_checkpoint, device="cpu", transcriber="base")


def test_the_self_test_notices_that_media_is_used(
    assistant: Assistant, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    checks = [assistant.media_check(cat_image), assistant.media_check(question_clip)]
    assert [(check.kind, check.ok) for check in checks] == [("image", True), ("audio", True)]


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_self_test_notices_that_media_is_not_used(
    fresh: Assistant, cat_image: ImagePart, question_clip: AudioPart, modality: Modality
) -> None:
    """A projector that gives every picture the same tokens, as one that was never trained may."""
    part = cat_image if modality == "image" else question_clip
    fresh.reply("a", **SHORT)
    fresh._need(modality)
    torch.nn.init.zeros_(getattr(fresh._model, f"{modality}_projector").mlp[2].weight)
    assert fresh.media_check(part) == MediaCheck(modality, 0.0)
    assert not fresh.media_check(part).ok


def test_files_are_verified(assistant: Assistant, tiny_checkpoint: Path) -> None:
    assert assistant.verify() == len(list(tiny_checkpoint.iterdir())) - 1


# Models


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model"):
        Assistant.load(tmp_path / "nope")


def test_the_package_offers_assistant_and_message() -> None:
    assert (mmchat.Assistant, mmchat.Message) == (Assistant, Message)
    with pytest.raises(AttributeError, match="no attribute 'Assistent'"):
        _ = mmchat.Assistent
