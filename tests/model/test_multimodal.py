"""The whole model at toy size: media reaches the logits, batches change nothing, and transformers agrees."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmchat.config import GenerationOptions, Modality, ModelConfig
from mmchat.errors import ConfigError, FusionError, MessageError
from mmchat.generation.engine import Engine
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, PartLike
from mmchat.model.heard import HeardWords
from mmchat.model.multimodal import Multimodal
from mmchat.model.sequence import MixedSequence, build_sequence
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder


class Toy:
    """The tiny model with its tokenizer."""

    def __init__(self, model: Multimodal, tokenizer: ChatTokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def read(self, *messages: Message, answer_next: bool = True) -> MixedSequence:
        return build_sequence(messages, self.tokenizer, self.model.num_tokens, answer_next=answer_next)

    def ask(self, *parts: PartLike) -> MixedSequence:
        return self.read(Message.user(*parts))

    def last_logits(self, *parts: PartLike) -> Tensor:
        logits: Tensor = self.model([self.ask(*parts)])
        return logits[0, -1]


@pytest.fixture(scope="module")
def toy(tiny_model: Multimodal, tiny_tokenizer: ChatTokenizer) -> Toy:
    return Toy(tiny_model, tiny_tokenizer)


def noise(samples: int) -> AudioPart:
    return AudioPart(np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32))


# What media costs


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (500, 20)])
def test_a_picture_of_any_size_costs_the_same(toy: Toy, size: tuple[int, int]) -> None:
    part = ImagePart(Image.new("RGB", size, "red"))
    assert toy.model.num_tokens(part) == 4
    assert toy.model.encode([part])[0].shape == (4, toy.model.decoder.width)


@pytest.mark.parametrize(
    ("seconds", "tokens"), [(0.01, 1), (1, 7), (2.1, 14), (30, 188), (30 + 1 / SAMPLE_RATE, 189), (75, 470)]
)
def test_a_clip_costs_what_was_said_beforehand(toy: Toy, seconds: float, tokens: int) -> None:
    """Eight features of 20 ms a token; each 30 s begin anew, and nothing after them is dropped."""
    part = noise(round(seconds * SAMPLE_RATE))
    assert toy.model.num_tokens(part) == tokens
    assert toy.model.encode([part])[0].shape == (tokens, toy.model.decoder.width)


# Media is used


def test_another_picture_moves_the_logits(toy: Toy, cat_image: ImagePart, dog_image: ImagePart) -> None:
    moved = toy.last_logits("what is this?", cat_image) - toy.last_logits("what is this?", dog_image)
    assert moved.abs().max() > 0.1


def test_another_clip_moves_the_logits(toy: Toy, question_clip: AudioPart) -> None:
    """Of the same length, so that the layout is the same."""
    other = AudioPart(question_clip.waveform[::-1].copy())
    moved = toy.last_logits("hello", question_clip) - toy.last_logits("hello", other)
    assert moved.abs().max() > 0.1


def test_the_end_of_a_long_clip_moves_the_logits(toy: Toy) -> None:
    """Whisper reads 30 s and drops the rest in silence: that would be a difference of zero. Of this second's seven
    tokens among two hundred the decoder's random weights make little; `mmchat doctor` asks for as much."""
    whole = noise(31 * SAMPLE_RATE)
    other = whole.waveform.copy()
    other[-SAMPLE_RATE:] = 0.5 * np.sin(np.arange(SAMPLE_RATE, dtype=np.float32) / 4)
    moved = toy.last_logits("a", whole) - toy.last_logits("a", AudioPart(other))
    assert moved.abs().max() > 1e-3


def test_the_order_of_pictures_moves_the_logits(toy: Toy, cat_image: ImagePart, dog_image: ImagePart) -> None:
    moved = toy.last_logits(cat_image, dog_image) - toy.last_logits(dog_image, cat_image)
    assert moved.abs().max() > 0.1


def test_features_that_were_made_for_another_question_are_refused(toy: Toy, cat_image: ImagePart) -> None:
    sequence = toy.ask(cat_image)
    with pytest.raises(FusionError, match=r"cat\.png in turn 1: 4 placeholders, but 3 cross-modal tokens"):
        toy.model.embed(sequence, [toy.model.encode([cat_image])[0][:3]])


# Batches


def test_media_in_a_batch_is_encoded_as_alone(
    toy: Toy, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart, remark_clip: AudioPart
) -> None:
    """Clips of several lengths, one of more than 30 s, two of one length; each comes back at its own place."""
    same_length = AudioPart(question_clip.waveform[::-1].copy())
    media: list[ImagePart | AudioPart] = [
        remark_clip,
        cat_image,
        question_clip,
        noise(31 * SAMPLE_RATE),
        dog_image,
        same_length,
        cat_image,
    ]
    for part, together in zip(media, toy.model.encode(media), strict=True):
        torch.testing.assert_close(together, toy.model.encode([part])[0], rtol=1e-4, atol=1e-4)


def test_the_chunks_of_a_long_clip_keep_their_order(toy: Toy) -> None:
    """Beside another clip, whose full chunk runs through the encoder together with theirs."""
    long, other = noise(75 * SAMPLE_RATE), noise(31 * SAMPLE_RATE)
    window = 30 * SAMPLE_RATE
    pieces = [AudioPart(long.waveform[start : start + window]) for start in range(0, len(long.waveform), window)]
    together = toy.model.encode([other, long])[1]
    torch.testing.assert_close(together, torch.cat(toy.model.encode(pieces)), rtol=1e-4, atol=1e-4)


def test_nothing_is_encoded_to_nothing(toy: Toy) -> None:
    assert toy.model.encode([]) == []


def test_padded_rows_equal_rows_alone(
    toy: Toy, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart, remark_clip: AudioPart
) -> None:
    batch = [
        toy.ask("hello"),
        toy.read(Message.user(cat_image, "what is this?", question_clip), Message.assistant("a cat")),
        toy.ask(remark_clip, dog_image, dog_image),
    ]
    together = toy.model(batch)
    assert together.shape == (3, max(map(len, batch)), toy.tokenizer.vocab_size)
    for row, sequence in zip(together, batch, strict=True):
        torch.testing.assert_close(row[: len(sequence)], toy.model([sequence])[0], rtol=1e-4, atol=1e-4)


def test_positions_may_begin_elsewhere(toy: Toy) -> None:
    sequence = toy.ask("hello")
    usual = toy.model([sequence])
    count = torch.arange(len(sequence))[None]
    torch.testing.assert_close(toy.model([sequence], count), usual)
    assert (toy.model([sequence], count + 9) - usual).abs().max() > 0.1


def test_gradients_reach_every_component(
    tiny_config: ModelConfig, toy: Toy, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    torch.manual_seed(0)
    model = Multimodal(tiny_config, TransformersDecoder(tiny_config.decoder))
    model.attach(model.fresh("image") | model.fresh("audio"))
    model([toy.ask("what is this?", cat_image, question_clip)]).square().mean().backward()
    for name, component in model.named_children():
        norms = [weight.grad.norm() for weight in component.parameters() if weight.grad is not None]
        assert sum(norms) > 0, name


# Beside transformers


def test_greedy_decoding_equals_that_of_transformers(
    toy: Toy, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart
) -> None:
    """Token for token, from one prompt with pictures and voice over two turns."""
    sequence = toy.read(
        Message.user("what is this?", cat_image), Message.assistant("a cat"), Message.user(question_clip, dog_image)
    )
    embeddings = toy.model.embed(sequence, toy.model.encode([span.media for span in sequence.spans]))[None]
    theirs = toy.model.decoder.lm.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
        do_sample=False,
        max_new_tokens=40,
    )[0].tolist()
    engine = Engine(toy.model.decoder, frozenset())
    options = GenerationOptions.create(max_new_tokens=40)
    ours = list(engine.decode(engine.prefill(embeddings), sequence.ids, options, seed=0))
    assert ours == theirs
    assert len(set(ours)) > 10, "the toy model repeats itself, so that this test shows nothing"


# A model without a sense


@pytest.mark.parametrize(
    ("modality", "line"),
    [
        ("image", "tiny cannot see pictures: ask it in text or choose another model"),
        ("audio", "tiny cannot hear: ask it in text or choose another model"),
    ],
)
def test_a_model_made_without_a_sense_says_so(tiny_config: ModelConfig, modality: Modality, line: str) -> None:
    config = tiny_config.model_copy(update={f"{modality}_encoder": None, f"{modality}_projector": None})
    with pytest.raises(MessageError) as caught:
        Multimodal(config, TransformersDecoder(config.decoder)).fresh(modality)
    assert str(caught.value) == line


# Positions of the cross-modal tokens


def with_positions(config: ModelConfig, modality: Modality, positions: int) -> Multimodal:
    name = f"{modality}_projector"
    projector = getattr(config, name).model_copy(update={"positions": positions})
    return Multimodal(config.model_copy(update={name: projector}), TransformersDecoder(config.decoder))


def test_a_picture_has_a_position_for_each_of_its_tokens(tiny_config: ModelConfig) -> None:
    projector = with_positions(tiny_config, "image", 4).fresh("image")["image_projector"]
    assert projector.get_parameter("positions").shape[0] == 4


def test_positions_that_do_not_fit_a_picture_are_refused(tiny_config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"image_projector\.positions: a picture has 4 tokens, not 5"):
        with_positions(tiny_config, "image", 5).fresh("image")


def test_clips_take_no_positions(tiny_config: ModelConfig) -> None:
    """They are of any length, and Whisper's features know the time."""
    with pytest.raises(ConfigError, match=r"audio_projector\.positions"):
        with_positions(tiny_config, "audio", 4).fresh("audio")


# Words of a clip


@pytest.fixture
def hearing(toy: Toy) -> Toy:
    """The tiny model, whose projector takes a token for a word if its first number is more than that of most."""
    torch.manual_seed(0)
    model = copy.deepcopy(toy.model)
    assert model.audio_projector is not None
    heard = HeardWords(model.decoder.width, model.decoder.vocab_size).requires_grad_(False)
    nn.init.normal_(heard.words.weight)
    nn.init.zeros_(heard.speaks.weight)[0, 0] = 1e6
    (tokens,) = toy.model.encode([noise(2 * SAMPLE_RATE)])
    nn.init.constant_(heard.speaks.bias, -1e6 * float(tokens[:, 0].median()))
    model.audio_projector.heard = heard
    return Toy(model, toy.tokenizer)


@pytest.mark.parametrize("seconds", [2, 31])
def test_the_decoder_reads_the_words_of_a_whole_clip_before_the_rest(hearing: Toy, seconds: int) -> None:
    """Those of its second 30 s too, and as many tokens as without."""
    clip, model = noise(seconds * SAMPLE_RATE), hearing.model
    (in_time,) = model.in_time([clip], model.features([clip]))
    assert model.audio_projector is not None
    heard = model.audio_projector.heard
    assert heard is not None
    likely = heard(in_time)[:, :-1].softmax(-1)
    said = [i for i in range(len(in_time)) if in_time[i, 0] > -heard.speaks.bias / 1e6]
    begins = [i for i in said if i - 1 not in said or likely[i].argmax() != likely[i - 1].argmax()]
    assert 0 < len(begins) < model.num_tokens(clip) == len(in_time)
    assert begins != list(range(len(begins)))
    (read,) = model.encode([clip])
    words = likely[begins] @ model.decoder.embed(torch.arange(model.decoder.vocab_size))
    torch.testing.assert_close(read[: len(begins)], words)
    assert torch.equal(read[len(begins) :], in_time[[i for i in range(len(in_time)) if i not in begins]])


def test_pictures_beside_a_clip_stay_as_they_are(hearing: Toy, cat_image: ImagePart, question_clip: AudioPart) -> None:
    features = hearing.model.features([cat_image, question_clip])
    seen, heard = hearing.model.in_time([cat_image, question_clip], features)
    read_seen, read_heard = hearing.model.encode([cat_image, question_clip])
    assert torch.equal(read_seen, seen)
    assert not torch.equal(read_heard, heard)


def test_a_clip_of_known_words_is_read_as_the_text_is(hearing: Toy) -> None:
    """What is read of a word that was surely said is what is read of it in writing."""
    model = hearing.model
    assert model.audio_projector is not None
    assert model.audio_projector.heard is not None
    clip, ids = noise(SAMPLE_RATE), hearing.tokenizer.encode("describe the cat")
    tokens = torch.zeros(model.num_tokens(clip), model.decoder.width)
    tokens[: len(ids), 0] = 1e3
    nn.init.zeros_(model.audio_projector.heard.words.weight)
    nn.init.constant_(model.audio_projector.heard.speaks.bias, -1e3)
    for place, word in enumerate(ids):
        tokens[place, 1 + place] = 1
        model.audio_projector.heard.words.weight[word, 1 + place] = 1e3
    (read,) = model.as_read([clip], [tokens])
    torch.testing.assert_close(read[: len(ids)], model.decoder.embed(torch.tensor(ids)))


def test_pictures_say_no_words(tiny_config: ModelConfig) -> None:
    assert tiny_config.image_projector is not None
    projector = tiny_config.image_projector.model_copy(update={"heard": "words"})
    config = tiny_config.model_copy(update={"image_projector": projector})
    with pytest.raises(ConfigError, match=r"image_projector\.heard"):
        Multimodal(config, TransformersDecoder(config.decoder)).fresh("image")
