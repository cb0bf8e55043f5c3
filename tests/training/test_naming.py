"""Naming: what a batch holds, that a region is read where it lies, and that a tower learns names from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from mmchat.checkpoints.store import save_checkpoint
from mmchat.config import ModelConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.errors import ConfigError, DatasetError, ImageError
from mmchat.training.naming import NamingTraining
from training.conftest import COLOURS, Configure, weights_of, write_rows

CPU = torch.device("cpu")


@pytest.fixture
def stage(configure: Configure, toy_model: ModelConfig) -> NamingTraining:
    torch.manual_seed(0)
    return NamingTraining(configure("naming"), toy_model, CPU)


def test_a_batch_is_pictures_and_what_stands_where_in_them(stage: NamingTraining) -> None:
    for step in range(4):
        batch = stage.batch(step)
        assert batch.pixels.shape == (4, 3, 32, 32)
        assert batch.pixels.dtype == torch.uint8
        assert len(batch.owners) == len(batch.boxes) == len(batch.names)
        for owner, box, name in zip(batch.owners, batch.boxes, batch.names, strict=True):
            column, row = ((box[:2] + box[2:]) / 2 * 32).int().tolist()
            colour = batch.pixels[owner, :, row, column].tolist()
            assert tuple(colour) == COLOURS[sorted(COLOURS)[name]]


def test_a_step_has_the_same_batch_again(stage: NamingTraining) -> None:
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.views.turns, again.views.turns)
    assert torch.equal(first.names, again.names)
    assert not torch.equal(first.views.turns, other.views.turns)


def test_pictures_in_which_nothing_has_a_name_are_left_out(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path
) -> None:
    named = [{"image": f"{name}.png", "regions": [{"name": name, "box": [0, 0, 1, 1]}]} for name in ("a", "b")]
    write_rows(tmp_path / "regions.jsonl", [*named, {"image": "gone.png", "regions": []}])
    for row in named:
        Image.new("RGB", (32, 32)).save(tmp_path / row["image"])
    stage = NamingTraining(configure("naming", data=tmp_path), toy_model, CPU)
    assert sorted(stage.batch(0).names.tolist()) == [0, 1]


def test_cut_out_each_thing_is_seen_alone(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    """A picture of a red and a blue half: each is a row of its own, and its colour fills the views of it."""
    image = Image.new("RGB", (32, 32), "red")
    image.paste("blue", (16, 0, 32, 32))
    image.save(tmp_path / "halves.png")
    regions = [{"name": "a red half", "box": [0, 0, 0.5, 1]}, {"name": "a blue half", "box": [0.5, 0, 1, 1]}]
    write_rows(tmp_path / "regions.jsonl", [{"image": "halves.png", "regions": regions}])
    stage = NamingTraining(configure("naming", data=tmp_path, crop=64, batch_size=2), toy_model, CPU)
    shown: list[torch.Tensor] = []
    stage._encoder.grid = lambda pixels: shown.append(pixels * stage._encoder.std + stage._encoder.mean) or pixels  # type: ignore[func-returns-value, method-assign]
    stage._head = torch.nn.Linear(3, 2)
    batch = stage.batch(0)
    assert batch.owners.tolist() == [0, 1]
    assert sorted(batch.names.tolist()) == [0, 1]
    views = replace(batch.views, colours=torch.eye(3).expand(2, 3, 3), contrast=torch.ones(2, 1, 1, 1))
    assert stage.loss(replace(batch, views=views)).items == 2
    (pixels,) = shown
    assert pixels.shape == (2, 3, 64, 64)
    boxes = views.of_boxes(batch.boxes, batch.owners)
    for picture, name, (left, _, right, _) in zip(pixels, batch.names, boxes, strict=True):
        red, _, blue = picture[:, 32, int((left + right) / 2 * 64)]
        assert (blue > red) == (name == 0)  # names are sorted: "a blue half", "a red half"


def test_a_tower_of_patches_is_not_shown_crops(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    image_encoder = toy_model.image_encoder.model_copy(update={"vision": vision})  # type: ignore[union-attr]
    model = toy_model.model_copy(update={"image_encoder": image_encoder})
    with pytest.raises(ConfigError, match=r"^naming: crop: a tower of patches sees pictures of one size$"):
        NamingTraining(configure("naming", crop=64), model, CPU)


def test_a_region_is_read_where_it_lies(stage: NamingTraining, toy_model: ModelConfig) -> None:
    """With a tower whose features are the colours of the picture itself, one pixel a feature."""
    stage._encoder.grid = lambda pixels: pixels * stage._encoder.std + stage._encoder.mean  # type: ignore[method-assign]
    stage._head = torch.nn.Identity()  # type: ignore[assignment]
    pixels = torch.zeros(2, 3, 32, 32)
    pixels[0, 0, :16, :16] = 1.0
    pixels[1, 2, 16:, 8:24] = 1.0
    regions = torch.tensor([[0, 0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1, 1], [1, 0.25, 0.5, 0.75, 1], [1, 0.25, 0, 0.75, 1]])
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0.5]])
    torch.testing.assert_close(stage.name(pixels, regions), expected, atol=0.05, rtol=0)


def test_the_loss_is_the_mean_over_pictures_of_the_mean_over_their_regions(stage: NamingTraining) -> None:
    """Against each region by itself, in the view that was drawn of its picture."""
    stage.module.eval()
    batch = stage.batch(0)
    more = torch.tensor([0, 0])  # two regions more of the first picture
    batch = replace(
        batch,
        owners=torch.cat([batch.owners, more]),
        boxes=torch.cat([batch.boxes, torch.tensor([[0, 0, 0.5, 0.5], [0.25, 0, 1, 0.5]])]),
        names=torch.cat([batch.names, more]),
    )
    with torch.no_grad():
        ours = stage.loss(batch)
        seen = batch.views.of(batch.pixels.float() / 255)
        boxes = batch.views.of_boxes(batch.boxes, batch.owners)
        losses: list[list[torch.Tensor]] = [[] for _ in batch.pixels]
        for owner, box, name in zip(batch.owners, boxes, batch.names, strict=True):
            pixels = (seen[owner : owner + 1] - stage._encoder.mean) / stage._encoder.std
            logits = stage.name(stage._encoder.grid(pixels), torch.cat([torch.zeros(1), box])[None])
            losses[owner].append(F.cross_entropy(logits, name[None], label_smoothing=0.1))
    assert ours.items == len(batch.names)
    torch.testing.assert_close(ours.value, torch.stack([torch.stack(each).mean() for each in losses]).mean())


def test_held_features_cost_how_far_they_moved(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    """Twice the features are as far from them as they are from nothing: a whole share of their square."""
    assert toy_model.image_encoder is not None
    save_checkpoint(tmp_path, toy_model, {"image_encoder": ClipImageEncoder(toy_model.image_encoder)}, None)
    stage = NamingTraining(configure("naming", hold=0.5, start=[tmp_path]), toy_model, CPU)
    stage.module.eval()
    torch.nn.init.zeros_(stage._head.weight)  # so that the names cost the same whatever the features are
    batch = stage.batch(0)
    unmoved = stage.loss(batch).value
    grid = stage._encoder.grid
    stage._encoder.grid = lambda pixels: 2 * grid(pixels)  # type: ignore[method-assign]
    torch.testing.assert_close(stage.loss(batch).value, unmoved + 0.5)


def test_held_a_tower_keeps_the_statistics_of_its_norms(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path
) -> None:
    assert toy_model.image_encoder is not None
    save_checkpoint(tmp_path, toy_model, {"image_encoder": ClipImageEncoder(toy_model.image_encoder)}, None)
    for hold, kept in ((0.5, True), (0.0, False)):
        stage = NamingTraining(configure("naming", hold=hold, start=[tmp_path]), toy_model, CPU)
        before = stage._encoder.tower.bn1.running_mean.clone()
        stage.module.train()
        stage.loss(stage.batch(0)).value.backward()
        assert torch.equal(stage._encoder.tower.bn1.running_mean, before) == kept


def test_what_is_held_has_to_be_there(configure: Configure, toy_model: ModelConfig) -> None:
    complaint = "^naming: hold: nothing in start has an image_encoder whose features could be held$"
    with pytest.raises(ConfigError, match=complaint):
        NamingTraining(configure("naming", hold=1.0), toy_model, CPU)


def test_in_bfloat16_it_learns_from_nearly_the_same_loss(stage: NamingTraining) -> None:
    stage.module.eval()
    whole = stage.loss(stage.batch(0)).value
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.loss(stage.batch(0)).value
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.03, atol=0.03)


def test_a_tower_learns_to_name_two_shapes_of_two_colours(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path
) -> None:
    """A red disc or a blue bar somewhere on grey, asked about pictures as they are: chance is right half the time."""
    rows: list[dict[str, Any]] = []
    for number in range(16):
        image = Image.new("RGB", (32, 32), "grey")
        left, top = 4 * (number // 2 % 4), 16 * (number // 8)
        name = ("disc", "bar")[number % 2]
        if name == "disc":
            ImageDraw.Draw(image).ellipse((left, top, left + 14, top + 14), fill="red")
        else:
            ImageDraw.Draw(image).rectangle((left, top + 4, left + 14, top + 9), fill="blue")
        image.save(tmp_path / f"{number}.png")
        box = [left / 32, top / 32, (left + 15) / 32, (top + 15) / 32]
        rows.append({"image": f"{number}.png", "regions": [{"name": name, "box": box}]})
    write_rows(tmp_path / "regions.jsonl", rows)
    torch.manual_seed(0)
    stage = NamingTraining(configure("naming", data=tmp_path, batch_size=16), toy_model, CPU)
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=3e-3)
    for step in range(20):
        optimizer.zero_grad()
        stage.loss(stage.batch(step)).value.backward()
        optimizer.step()
    batch = stage.batch(0)
    with torch.no_grad():
        regions = torch.cat([batch.owners[:, None], batch.boxes], 1)
        pixels = (batch.pixels.float() / 255 - stage._encoder.mean) / stage._encoder.std
        guesses = stage.name(stage._encoder.grid(pixels), regions).argmax(1)
    assert int((guesses == batch.names).sum()) >= 14


def test_it_hands_on_the_tower_that_inference_reads(stage: NamingTraining, toy_model: ModelConfig) -> None:
    handed = stage.components()
    assert list(handed) == ["image_encoder"]
    assert toy_model.image_encoder is not None
    assert set(handed["image_encoder"].state_dict()) == set(ClipImageEncoder(toy_model.image_encoder).state_dict())
    trained = weights_of(stage.module["tower"])
    assert all(
        torch.equal(tensor, trained[name.removeprefix("tower.")])
        for name, tensor in weights_of(handed["image_encoder"]).items()
    )


def test_it_goes_on_from_a_tower_that_a_start_folder_holds(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path
) -> None:
    assert toy_model.image_encoder is not None
    given = ClipImageEncoder(toy_model.image_encoder)
    save_checkpoint(tmp_path / "seen", toy_model, {"image_encoder": given}, None, dtype=torch.float32)
    stage = NamingTraining(configure("naming", start=(tmp_path / "seen",)), toy_model, CPU)
    started = weights_of(stage.module["tower"])
    assert all(torch.equal(tensor, started[name]) for name, tensor in weights_of(given.tower).items())


def test_a_model_without_eyes_is_refused(configure: Configure, toy_model: ModelConfig) -> None:
    blind = toy_model.model_copy(update={"image_encoder": None, "image_projector": None})
    with pytest.raises(ConfigError, match=r"naming: .*model\.yaml has no image_encoder to train"):
        NamingTraining(configure("naming"), blind, CPU)


@pytest.mark.parametrize("names", [[], ["cat"], ["cat", "cat"]])
def test_fewer_than_two_names_are_refused(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path, names: list[str]
) -> None:
    regions = [{"name": name, "box": [0, 0, 1, 1]} for name in names]
    write_rows(tmp_path / "regions.jsonl", [{"image": "0.png", "regions": regions}])
    with pytest.raises(DatasetError, match=r"regions\.jsonl names fewer than two things"):
        NamingTraining(configure("naming", data=tmp_path), toy_model, CPU)


@pytest.mark.parametrize(
    "region",
    [
        "cat",
        {"name": "cat"},
        {"box": [0, 0, 1, 1]},
        {"name": 7, "box": [0, 0, 1, 1]},
        {"name": "cat", "box": [0, 0, 1]},
        {"name": "cat", "box": [0, 0, 1, "1"]},
        {"name": "cat", "box": [0.5, 0, 0.5, 1]},
        {"name": "cat", "box": [0, 1, 1, 0]},
    ],
)
def test_a_region_that_is_no_name_and_box_is_refused(
    configure: Configure, toy_model: ModelConfig, tmp_path: Path, region: object
) -> None:
    write_rows(tmp_path / "regions.jsonl", [{"image": "0.png", "regions": [region]}])
    with pytest.raises(DatasetError) as caught:
        NamingTraining(configure("naming", data=tmp_path), toy_model, CPU)
    assert str(caught.value) == (
        f"{tmp_path / 'regions.jsonl'}: a region of 0.png is not a name and a box [left, top, right, bottom]"
    )


def test_a_missing_picture_is_named(configure: Configure, toy_model: ModelConfig, tmp_path: Path) -> None:
    regions = [{"name": name, "box": [0, 0, 1, 1]} for name in ("cat", "dog")]
    write_rows(tmp_path / "regions.jsonl", [{"image": "gone.png", "regions": regions}])
    stage = NamingTraining(configure("naming", data=tmp_path), toy_model, CPU)
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        stage.batch(0)
