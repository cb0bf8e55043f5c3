"""CLIP pre-training: what a batch holds, augmentation that leaves captions true, and what is handed on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from mmchat.config import ModelConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.errors import ConfigError, DatasetError, ImageError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.contrastive import ContrastiveTraining, Pairs, augment
from training.conftest import COLOURS, Configure, draw_square, weights_of, write_rows

CPU = torch.device("cpu")


@pytest.fixture
def stage(configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer) -> ContrastiveTraining:
    torch.manual_seed(0)
    return ContrastiveTraining(configure("contrastive", batch_size=2), toy_model, tokenizer, CPU)


def captions_of(batch: Pairs) -> Tensor:
    assert batch.captions is not None
    return batch.captions


def test_a_batch_is_pictures_and_their_captions(stage: ContrastiveTraining, tokenizer: ChatTokenizer) -> None:
    for step in range(6):
        pairs = stage.batch(step)
        pixels, captions = pairs.pixels, captions_of(pairs)
        assert pixels.shape == (2, 3, 32, 32)
        assert captions.shape == (2, 12)
        assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
        for picture, caption in zip(pixels, captions.tolist(), strict=True):
            end = caption.index(tokenizer.end_id)
            assert set(caption[end + 1 :]) == {tokenizer.pad_id}
            strongest = int(picture[:, 12:20, 12:20].mean((1, 2)).argmax())
            assert tokenizer.decode(caption[:end]) == f"a {[*COLOURS][strongest]} square"


def test_a_step_has_the_same_batch_again(stage: ContrastiveTraining) -> None:
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(captions_of(first), captions_of(again))
    assert not torch.equal(first.pixels, other.pixels)


def test_no_caption_stands_in_a_batch_twice(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    """Two pictures share each of the three captions: a batch of four cannot be filled, and holds three."""
    stage = ContrastiveTraining(configure("contrastive", batch_size=4), toy_model, tokenizer, CPU)
    for step in range(6):
        captions = captions_of(stage.batch(step))
        assert len({tuple(caption) for caption in captions.tolist()}) == len(captions) == 3


def test_a_long_caption_keeps_its_end_token(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    """The text tower reads its answer at the end token."""
    text = {"context_length": 3, "width": 32, "heads": 2, "layers": 1}
    stage = ContrastiveTraining(configure("contrastive", text=text), toy_model, tokenizer, CPU)
    captions = captions_of(stage.batch(0))
    assert captions.shape == (3, 3)
    assert set(captions[:, -1].tolist()) == {tokenizer.end_id}


def test_the_loss_is_symmetric_cross_entropy_of_the_similarities(stage: ContrastiveTraining) -> None:
    stage.module.eval()
    batch = stage.batch(0)
    with torch.no_grad():
        images = stage._clip.encode_image((batch.pixels - stage._mean) / stage._std, normalize=True)
        texts = stage._clip.encode_text(captions_of(batch), normalize=True)
        similar = stage._clip.logit_scale.exp() * images @ texts.T
        pairs = torch.arange(2)
        theirs = (F.cross_entropy(similar, pairs) + F.cross_entropy(similar.T, pairs)) / 2
        ours = stage.loss(batch)
    torch.testing.assert_close(ours.value, theirs)
    assert ours.items == 2


def test_things_that_a_row_lists_are_named_beside_it(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """Two things of a picture have half a share each; a row without a list adds nothing."""
    listed: list[list[str] | None] = [["cat", "dog"], ["dog"], None]
    for number, things in enumerate(listed):
        draw_square(tmp_path / f"{number}.png", COLOURS["red"], 4)
        row = {"image": f"{number}.png", "text": str(number)}
        write_rows(tmp_path / f"{number}.jsonl", [row if things is None else {**row, "things": things}])
    rows = [(tmp_path / f"{number}.jsonl").read_text(encoding="utf-8") for number in range(3)]
    (tmp_path / "captions.jsonl").write_text("".join(rows), encoding="utf-8")
    stage = ContrastiveTraining(configure("contrastive", data=tmp_path, batch_size=3), toy_model, tokenizer, CPU)
    stage.module.eval()
    batch = stage.batch(0)
    captions = captions_of(batch).tolist()
    order = [int(tokenizer.decode(caption[: caption.index(tokenizer.end_id)])) for caption in captions]
    assert [batch.things[order.index(number)].tolist() for number in range(3)] == [[0.5, 0.5], [0, 1], [0, 0]]
    with torch.no_grad():
        both = stage.loss(batch).value
        pairs_alone = stage.loss(replace(batch, things=torch.zeros_like(batch.things))).value
        images = stage._clip.encode_image((batch.pixels - stage._mean) / stage._std)
        scores = stage._naming(images).log_softmax(-1)
    expected = -(batch.things * scores).sum() / 2
    torch.testing.assert_close(both - pairs_alone, expected)


def test_the_first_steps_only_name_pictures_of_one_thing(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    rows = [("0", "red", ["cat"]), ("1", "green", ["dog"]), ("2", "blue", ["cat", "dog"]), ("3", "blue", [])]
    for name, colour, _ in rows:
        draw_square(tmp_path / f"{name}.png", COLOURS[colour], 4)
    listed = [{"image": f"{name}.png", "text": name, "things": things} for name, _, things in rows]
    write_rows(tmp_path / "captions.jsonl", listed)
    config = configure("contrastive", data=tmp_path, batch_size=4, naming_steps=2)
    stage = ContrastiveTraining(config, toy_model, tokenizer, CPU)
    for step in range(2):
        batch = stage.batch(step)
        assert batch.captions is None
        assert sorted(batch.things.tolist()) == [[0, 1], [0, 1], [1, 0], [1, 0]]
        loss = stage.loss(batch)
        assert loss.items == 4
        images = stage._clip.encode_image((batch.pixels - stage._mean) / stage._std)
        torch.testing.assert_close(loss.value, F.cross_entropy(stage._naming(images), batch.things))
    assert stage.batch(2).captions is not None


def test_naming_steps_need_pictures_of_one_thing(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    with pytest.raises(DatasetError, match=r"captions.jsonl lists no picture of one thing, which naming_steps needs"):
        ContrastiveTraining(configure("contrastive", naming_steps=1), toy_model, tokenizer, CPU)


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


def test_a_model_without_eyes_is_refused(
    configure: Configure, toy_model: ModelConfig, tokenizer: ChatTokenizer
) -> None:
    blind = toy_model.model_copy(update={"image_encoder": None, "image_projector": None})
    with pytest.raises(ConfigError, match=r"contrastive: .*model\.yaml has no image_encoder to train"):
        ContrastiveTraining(configure("contrastive"), blind, tokenizer, CPU)


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


def left_red_right_blue(count: int) -> torch.Tensor:
    image = Image.new("RGB", (48, 48), (128, 128, 128))
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 18, 18, 30), fill=(220, 30, 30))
    draw.rectangle((30, 18, 42, 30), fill=(30, 30, 220))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).expand(count, 3, 48, 48) / 255


def views(seed: int, count: int) -> torch.Tensor:
    return augment(left_red_right_blue(count), torch.Generator().manual_seed(seed))


def test_augmentation_keeps_places_and_colours() -> None:
    """Captions say left and right, and colours: no view may be mirrored, turned over or given another hue."""
    columns, rows = np.meshgrid(np.arange(48), np.arange(48))
    for view in views(0, 64).double().numpy():
        assert view.shape == (3, 48, 48)
        redness = (view[0] - view[2]).clip(0)
        blueness = (view[2] - view[0]).clip(0)
        centre_of = {
            name: (float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum()))
            for name, weight in (("red", redness), ("blue", blueness))
        }
        assert centre_of["red"][0] < 24 < centre_of["blue"][0]
        assert abs(centre_of["red"][1] - centre_of["blue"][1]) < 14


def test_augmentation_gives_another_view_each_time_and_the_same_from_the_same_seed() -> None:
    first = views(3, 5)
    assert len({view.numpy().tobytes() for view in first}) == 5
    assert torch.equal(first, views(3, 5))
    assert not torch.equal(first, views(4, 5))
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
