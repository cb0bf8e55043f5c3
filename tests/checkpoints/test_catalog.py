"""Which models there are: a cache of the hub on disk, as huggingface_hub lays it out, with nothing behind it."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir

from mmchat.checkpoints import catalog
from mmchat.checkpoints.catalog import Model, models, remove
from mmchat.checkpoints.presets import presets
from mmchat.checkpoints.public import FAMILIES
from mmchat.errors import CheckpointError

CARD = "---\nlicense: mit\n---\n\n# A model\n"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(catalog, "scan_cache_dir", partial(scan_cache_dir, folder))
    return folder


def put(cache: Path, repo_id: str, config: dict[str, Any], card: str = CARD, weights: int = 1000) -> Path:
    """A downloaded repository; its snapshot."""
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    commit = hashlib.sha1(repo_id.encode()).hexdigest()
    snapshot = repo / "snapshots" / commit
    files = {"config.json": json.dumps(config), "README.md": card, "model.safetensors": "x" * weights}
    for folder in (repo / "refs", repo / "blobs", snapshot):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    for name, content in files.items():
        (repo / "blobs" / name).write_text(content)
        (snapshot / name).symlink_to(repo / "blobs" / name)
    return snapshot


def named(name: str) -> Model:
    (found,) = [model for model in models() if model.name == name]
    return found


def test_without_a_cache_there_are_the_bundled_model_and_the_presets(cache: Path) -> None:
    first, *rest = models()
    assert (first.name, first.state, first.takes) == ("mmchat-tiny", "bundled", ("text", "pictures", "voice"))
    assert first.licence == "apache-2.0"
    assert 10e6 < first.disk_bytes < 48e6
    assert {model.name for model in rest} == presets().keys()
    assert {(model.state, model.disk_bytes) for model in rest} == {("available", 0)}


def test_a_preset_that_is_downloaded_keeps_its_name_and_facts(cache: Path) -> None:
    preset = presets()["llava-7b"]
    put(cache, preset.id, {"model_type": "llava"}, card="")
    model = named("llava-7b")
    assert (model.id, model.state, model.takes) == (preset.id, "downloaded", ("text", "pictures"))
    assert (model.needed_bytes, model.licence) == (preset.needed_bytes, preset.licence)
    assert 1000 < model.disk_bytes < 1500


def test_other_models_of_a_family_and_of_our_own_are_listed(cache: Path) -> None:
    put(cache, "someone/voxtral", {"model_type": "voxtral"})
    put(cache, "someone/ours", {"format": 1, "decoder": {}, "image_encoder": {"embed_dim": 8}, "audio_encoder": None})
    assert named("someone/voxtral").takes == ("text", "voice")
    assert named("someone/ours").takes == ("text", "pictures")
    assert named("someone/ours").licence == "mit"
    assert named("someone/ours").needed_bytes == named("someone/ours").disk_bytes


def test_what_another_model_needs_is_listed_last(cache: Path) -> None:
    put(cache, "someone/ultravox", {"model_type": "ultravox", "text_model_id": "someone/llama", "audio_model_id": None})
    put(cache, "someone/llama", {"model_type": "llama"})
    put(cache, "someone/else", {"model_type": "llama"})
    downloaded = [model for model in models() if model.state == "downloaded"]
    assert [(model.name, model.about) for model in downloaded] == [
        ("someone/ultravox", ""),
        ("someone/llama", "part of someone/ultravox"),
    ]


@pytest.mark.parametrize("card", ["", "no matter", "---\n- a\n---\n", "---\n: [\n---\n", "---\nlanguage: en\n---\n"])
def test_a_card_without_a_licence_says_nothing(cache: Path, card: str) -> None:
    put(cache, "someone/voxtral", {"model_type": "voxtral"}, card)
    assert named("someone/voxtral").licence == "unknown"


def test_a_damaged_download_is_passed_over(cache: Path) -> None:
    snapshot = put(cache, "someone/voxtral", {"model_type": "voxtral"})
    (snapshot / "config.json").resolve().write_text("{")
    assert [model for model in models() if model.state == "downloaded"] == []


@pytest.mark.parametrize("name", ["llava-7b", "llava-hf/llava-1.5-7b-hf"])
def test_a_model_is_removed_by_either_name_and_no_other(cache: Path, name: str) -> None:
    put(cache, "llava-hf/llava-1.5-7b-hf", {"model_type": "llava"})
    put(cache, "someone/voxtral", {"model_type": "voxtral"})
    assert remove(name) > 1000
    assert [model.name for model in models() if model.state == "downloaded"] == ["someone/voxtral"]


@pytest.mark.parametrize("name", ["llava-7b", "nobody/nothing", "mmchat-tiny"])
def test_what_is_not_downloaded_cannot_be_removed(cache: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name} is not downloaded: mmchat models lists what is"):
        remove(name)


def test_every_family_has_a_preset(cache: Path) -> None:
    """And says of it what the family takes."""
    spoken = {sense for preset in presets().values() for sense in preset.takes}
    assert spoken == {sense for takes in FAMILIES.values() for sense in takes}
    assert len({preset.id for preset in presets().values()}) == len(presets())
    for name, preset in presets().items():
        assert any(name.startswith(family.split("_")[0]) for family in FAMILIES), name
        assert 1e9 < preset.parameters < 1e11, name
