"""CLIP pre-training: what a batch holds, what it starts from, what its loss is, and what is handed on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ImageEncoderConfig, ModelConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.errors import ConfigError, DatasetError, ImageError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.contrastive import ContrastiveTraining
from training.conftest import COLOURS, Configure, draw_square, weights_of, write_rows

CPU = torch.device("cpu")


@pytest.fixture
def stage(configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer) -> ContrastiveTraining:
    torch.manual_seed(0)
    return ContrastiveTraining(configure("contrastive", batch_size=2), toy_model, tokenizer, CPU)


def test_a_batch_is_pictures_and_their_captions(stage: ContrastiveTraining, tokenizer: ChatTokenizer) -> None:
    for step in range(6):
        pairs = stage.batch(step)
        pixels, captions = pairs.views.of(pairs.pixels.float() / 255), pairs.captions
        assert pixels.shape == (2, 3, 32, 32)
        assert captions.shape == (2, 12)
        for picture, caption in zip(pixels, captions.tolist(), strict=True):
            end = caption.index(tokenizer.end_id)
            assert set(caption[end + 1 :]) == {tokenizer.pad_id}
            strongest = int(picture[:, 12:20, 12:20].mean((1, 2)).argmax())
            assert tokenizer.decode(caption[:end]) == f"a {[*COLOURS][strongest]} square"


def test_a_step_has_the_same_batch_again(stage: ContrastiveTraining) -> None:
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.views.turns, again.views.turns)
    assert torch.equal(first.captions, again.captions)
    assert not torch.equal(first.views.turns, other.views.turns)


def test_no_caption_stands_in_a_batch_twice(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    """Two pictures share each of the three captions: a batch of four cannot be filled, and holds three."""
    stage = ContrastiveTraining(configure("contrastive", batch_size=4), toy_model, tokenizer, CPU)
    for step in range(6):
        captions = stage.batch(step).captions
        assert len({tuple(caption) for caption in captions.tolist()}) == len(captions) == 3


def test_a_long_caption_keeps_its_end_token(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    """The text tower reads its answer at the end token."""
    text = {"context_length": 3, "width": 32, "heads": 2, "layers": 1}
    stage = ContrastiveTraining(configure("contrastive", text=text), toy_model, tokenizer, CPU)
    captions = stage.batch(0).captions
    assert captions.shape == (3, 3)
    assert set(captions[:, -1].tolist()) == {tokenizer.end_id}


def test_the_loss_is_symmetric_cross_entropy_of_the_similarities(stage: ContrastiveTraining) -> None:
    stage.module.eval()
    batch = stage.batch(0)
    with torch.no_grad():
        pixels = batch.views.of(batch.pixels.float() / 255)
        images = stage._clip.encode_image((pixels - stage._mean) / stage._std, normalize=True)
        texts = stage._clip.encode_text(batch.captions, normalize=True)
        similar = stage._clip.logit_scale.exp() * images @ texts.T
        pairs = torch.arange(2)
        theirs = (F.cross_entropy(similar, pairs) + F.cross_entropy(similar.T, pairs)) / 2
        ours = stage.loss(batch)
    torch.testing.assert_close(ours.value, theirs)
    assert ours.items == 2


def test_the_loss_falls_when_pairs_are_told_apart(stage: ContrastiveTraining) -> None:
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = stage.loss(stage.batch(step)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_it_hands_on_the_tower_that_inference_reads(stage: ContrastiveTraining, toy_model: ModelConfig) -> None:
    handed = stage.components()
    assert list(handed) == ["image_encoder"]
    assert toy_model.image_encoder is not None
    assert set(handed["image_encoder"].state_dict()) == set(ClipImageEncoder(toy_model.image_encoder).state_dict())
    assert not any("attnpool" in name for name in handed["image_encoder"].state_dict())
    trained = stage._clip.visual.state_dict()
    assert all(
        torch.equal(tensor, trained[name.removeprefix("tower.")])
        for name, tensor in weights_of(handed["image_encoder"]).items()
    )


def test_handing_on_leaves_the_stage_whole(stage: ContrastiveTraining) -> None:
    """The pooling head is taken off a copy: saving in the middle must not end the training."""
    stage.components()
    assert math.isfinite(float(stage.loss(stage.batch(0)).value.detach()))


@pytest.fixture
def seen(toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path) -> Path:
    """What a naming stage writes, every weight and running statistic of it drawn anew."""
    assert toy_model.image_encoder is not None
    encoder = ClipImageEncoder(toy_model.image_encoder)
    for tensor in encoder.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    save_checkpoint(tmp_path / "naming", toy_model, {"image_encoder": encoder}, None, dtype=torch.float32)
    return tmp_path / "naming"


def test_the_tower_goes_on_from_the_first_start_folder_that_has_one(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tokenizer_folder: Path, seen: Path
) -> None:
    """All of it but the pooling head, which inference has no use for: that is fresh, as the text tower is."""

    def build(*start: Path) -> ContrastiveTraining:
        torch.manual_seed(0)
        return ContrastiveTraining(configure("contrastive", start=start), toy_model, tokenizer, CPU)

    fresh, started = weights_of(build(tokenizer_folder).module), weights_of(build(tokenizer_folder, seen).module)
    given = load_file(seen / "image_encoder.safetensors")
    assert {f"visual.{name.removeprefix('tower.')}" for name in given} == {
        name for name in fresh if name.startswith("visual.") and "attnpool" not in name
    }
    for name, tensor in started.items():
        theirs = given.get(name.replace("visual.", "tower.", 1))
        assert torch.equal(tensor, fresh[name] if theirs is None else theirs), name


def test_a_vision_transformer_goes_on_from_a_start_folder_too(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """Its projection into the contrastive space is its pooling head."""
    assert toy_model.image_encoder is not None
    vision = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}
    encoder = toy_model.image_encoder.model_copy(update={"vision": vision})
    model = toy_model.model_copy(update={"image_encoder": encoder})
    given = ClipImageEncoder(encoder)
    save_checkpoint(tmp_path / "naming", model, {"image_encoder": given}, None, dtype=torch.float32)
    stage = ContrastiveTraining(configure("contrastive", start=(tmp_path / "naming",)), model, tokenizer, CPU)
    started = weights_of(stage.module.visual)
    assert all(torch.equal(tensor, started[name]) for name, tensor in weights_of(given.tower).items())
    assert started.keys() - weights_of(given.tower).keys() == {"proj"}
    assert math.isfinite(float(stage.loss(stage.batch(0)).value.detach()))


def test_in_bfloat16_the_similarities_are_still_compared_in_float32(stage: ContrastiveTraining) -> None:
    stage.module.eval()
    whole = stage.loss(stage.batch(0)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.loss(stage.batch(0)).value
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.1, atol=0.1)


def test_an_unknown_setting_of_the_text_tower_is_named(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    config = configure("contrastive", text={"context_length": 12, "depth": 2})
    with pytest.raises(ConfigError, match=r"contrastive: text: unknown key depth"):
        ContrastiveTraining(config, toy_model, tokenizer, CPU)


def test_a_model_without_eyes_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    blind = toy_model.model_copy(update={"image_encoder": None, "image_projector": None})
    with pytest.raises(ConfigError, match=r"contrastive: .*model\.yaml has no image_encoder to train"):
        ContrastiveTraining(configure("contrastive"), blind, tokenizer, CPU)


def test_a_tower_of_other_sizes_than_its_name_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    vision = {"timm_model_name": "vit_base_patch16_224", "timm_model_args": {"depth": 2}, "image_size": 224}
    image = ImageEncoderConfig(vision=vision, embed_dim=32)
    model = toy_model.model_copy(update={"image_encoder": image})
    with pytest.raises(ConfigError, match="contrastive: open_clip builds towers by their name"):
        ContrastiveTraining(configure("contrastive"), model, tokenizer, CPU)


def test_one_caption_alone_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    write_rows(tmp_path / "captions.jsonl", [{"image": f"{number}.png", "text": "a square"} for number in range(9)])
    with pytest.raises(DatasetError, match="has one caption alone"):
        ContrastiveTraining(configure("contrastive", data=tmp_path), toy_model, tokenizer, CPU)


def test_a_missing_picture_is_named(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    draw_square(tmp_path / "0.png", COLOURS["red"], 4)
    write_rows(tmp_path / "captions.jsonl", [{"image": f"{number}.png", "text": str(number)} for number in range(2)])
    stage = ContrastiveTraining(configure("contrastive", data=tmp_path), toy_model, tokenizer, CPU)
    with pytest.raises(ImageError, match=r"1\.png: no such file"):
        stage.batch(0)
