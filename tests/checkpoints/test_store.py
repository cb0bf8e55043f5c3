"""The checkpoint folder: what is saved is loaded, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmchat.checkpoints import store
from mmchat.checkpoints.store import COMPONENTS, HASHES_FILE, Checkpoint, load_component, save_checkpoint
from mmchat.config import Modality, ModelConfig
from mmchat.errors import CheckpointError, ConfigError, MessageError
from mmchat.model.multimodal import Multimodal
from mmchat.model.placement import Placement
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder

CPU = torch.device("cpu")
FILES = {"config.json", "tokenizer.json", "chat_template.jinja", "README.md", HASHES_FILE} | {
    f"{name}.safetensors" for name in COMPONENTS
}


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def loaded(folder: Path, dtype: torch.dtype = torch.float16) -> Multimodal:
    checkpoint = Checkpoint(folder)
    model = checkpoint.load(Placement(CPU, dtype))
    checkpoint.add(model, "image")
    checkpoint.add(model, "audio")
    return model


def as_trained(folder: Path) -> Multimodal:
    """The folder's weights in the modules that learn, in float32."""
    config = Checkpoint(folder).config
    model = Multimodal(config, TransformersDecoder(config.decoder))
    model.attach(model.fresh("image") | model.fresh("audio"))
    for name in COMPONENTS:
        load_component(folder, name, getattr(model, name))
    return model


def alter(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        loaded(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# There and back


def test_a_folder_says_all_about_itself(tiny_checkpoint: Path, tiny_config: ModelConfig) -> None:
    assert {path.name for path in tiny_checkpoint.iterdir()} == FILES
    checkpoint = Checkpoint(tiny_checkpoint)
    assert checkpoint.config == tiny_config
    assert checkpoint.card() == "# tiny\n"


def test_what_is_saved_is_loaded_to_the_bit(tiny_checkpoint: Path, tiny_model: Multimodal) -> None:
    """Weights are stored as float16: what is read are the rounded ones, each of them, and no other."""
    ours, saved = as_trained(tiny_checkpoint).state_dict(), tiny_model.state_dict()
    assert ours.keys() == saved.keys()
    for name, tensor in saved.items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(ours[name], expected), name


def test_saving_what_was_loaded_writes_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint, model = Checkpoint(tiny_checkpoint), as_trained(tiny_checkpoint)
    again = tmp_path / "again"
    components = {name: getattr(model, name) for name in COMPONENTS}
    save_checkpoint(again, checkpoint.config, components, checkpoint.tokenizer(), card=checkpoint.card())
    assert (again / HASHES_FILE).read_text() == (tiny_checkpoint / HASHES_FILE).read_text()


def test_a_loaded_model_answers_and_does_not_learn(tiny_checkpoint: Path) -> None:
    model = loaded(tiny_checkpoint, torch.float32)
    assert not any(module.training for module in model.modules())
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_tied_weights_are_stored_once(tiny_checkpoint: Path) -> None:
    assert "lm.lm_head.weight" not in load_file(tiny_checkpoint / "decoder.safetensors")


def test_a_decoder_for_answering_alone_is_not_saved_without_its_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)
    with pytest.raises(AssertionError, match="the decoder has no weights to save"):
        save_checkpoint(tmp_path / "again", checkpoint.config, {"decoder": checkpoint.load().decoder}, None)


def test_parameters_are_counted_without_loading(tiny_checkpoint: Path, tiny_model: Multimodal) -> None:
    counts = Checkpoint(tiny_checkpoint).parameters()
    assert tuple(counts) == COMPONENTS
    for name in ("decoder", "image_projector", "audio_projector"):
        assert counts[name] == sum(weight.numel() for weight in getattr(tiny_model, name).parameters())


def test_a_stage_may_save_some_of_the_components(
    tiny_config: ModelConfig, tiny_model: Multimodal, tiny_tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "stage", tiny_config, {"decoder": tiny_model.decoder}, tiny_tokenizer)
    checkpoint = Checkpoint(tmp_path / "stage")
    assert list(checkpoint.parameters()) == ["decoder"]
    assert checkpoint.card() == ""
    assert checkpoint.verify() == 4


def test_saving_replaces_what_was_there(
    tiny_config: ModelConfig, tiny_model: Multimodal, tiny_tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """A weight of an earlier run that stayed behind would be loaded."""
    folder = tmp_path / "stage"
    components = {name: part for name, part in tiny_model.named_children() if name in ("decoder", "image_projector")}
    save_checkpoint(folder, tiny_config, components, tiny_tokenizer)
    (tmp_path / "stage.partial").mkdir()  # left by a run that was stopped
    save_checkpoint(folder, tiny_config, {"decoder": tiny_model.decoder}, tiny_tokenizer)
    assert list(Checkpoint(folder).parameters()) == ["decoder"]
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_an_unfinished_save_leaves_the_earlier_folder(
    folder: Path, tiny_model: Multimodal, tiny_tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(store, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(folder, Checkpoint(folder).config, {"decoder": tiny_model.decoder}, tiny_tokenizer)
    assert Checkpoint(folder).verify() == len(FILES) - 1


# Strictness


def test_a_missing_weight_is_named(folder: Path) -> None:
    path = folder / "decoder.safetensors"
    alter(path, lambda weights: weights.pop("lm.transformer.ln_f.bias"))
    assert refusal(folder) == f"{path}: lm.transformer.ln_f.bias is missing"


def test_an_extra_weight_is_named(folder: Path) -> None:
    path = folder / "image_projector.safetensors"
    alter(path, lambda weights: weights.update({"mlp.4.weight": torch.zeros(1)}))
    assert refusal(folder) == f"{path}: mlp.4.weight is not part of the model"


def test_a_misshapen_weight_is_named_with_both_shapes(folder: Path) -> None:
    path = folder / "audio_encoder.safetensors"
    alter(path, lambda weights: weights.update({"encoder.ln_post.bias": torch.zeros(17)}))
    assert refusal(folder) == f"{path}: encoder.ln_post.bias has the shape (17,), the model needs (16,)"


def test_a_shape_that_could_be_broadcast_is_refused(folder: Path) -> None:
    """`copy_` alone would fill a whole bias from one number."""
    alter(folder / "decoder.safetensors", lambda weights: weights.update({"lm.transformer.ln_f.bias": torch.zeros(1)}))
    assert "has the shape (1,), the model needs (32,)" in refusal(folder)


def test_many_wrong_weights_are_still_one_line(folder: Path) -> None:
    path = folder / "image_projector.safetensors"
    save_file({"other": torch.zeros(1), "more": torch.zeros(1)}, path)
    assert refusal(folder).endswith("mlp.0.bias is missing; mlp.2.weight is missing; 3 more")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.safetensors").unlink()
    assert refusal(folder) == f"{folder} lacks {name}.safetensors"


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_safetensors_is_named(folder: Path, content: bytes) -> None:
    path = folder / "decoder.safetensors"
    path.write_bytes(content)
    assert refusal(folder).startswith(f"{path} is malformed: ")


def test_a_cut_file_is_named(folder: Path) -> None:
    path = folder / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(folder).startswith(f"{path} is malformed: ")


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_damaged_encoder_never_becomes_part_of_the_model(folder: Path, modality: Modality) -> None:
    """The encoder was attached before its weights were read; the next question was then answered from random ones."""
    (folder / f"{modality}_projector.safetensors").unlink()
    checkpoint = Checkpoint(folder)
    model = checkpoint.load()
    with pytest.raises(CheckpointError):
        checkpoint.add(model, modality)
    assert [name for name, _ in model.named_children()] == ["decoder"]


def test_a_model_without_a_sense_says_so(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    del values["audio_encoder"], values["audio_projector"]
    path.write_text(json.dumps(values))
    checkpoint = Checkpoint(folder)
    with pytest.raises(MessageError, match="tiny cannot hear"):
        checkpoint.add(checkpoint.load(), "audio")


def test_an_unknown_config_key_is_named(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))
    with pytest.raises(ConfigError) as caught:
        Checkpoint(folder)
    assert str(caught.value) == f"{path}: unknown key colour"


@pytest.mark.parametrize("section", ["decoder", "image_encoder"])
def test_an_unknown_key_of_a_part_is_named(folder: Path, section: str) -> None:
    """Also in what transformers and open_clip read."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    (values["decoder"] if section == "decoder" else values[section]["vision"])["depth"] = 3
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="unknown key depth"):
        loaded(folder)


def test_a_folder_without_a_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not a checkpoint folder: it has no config.json"


def test_a_component_is_filled_in_place_and_in_its_own_type(folder: Path) -> None:
    decoder = TransformersDecoder(Checkpoint(folder).config.decoder)
    before = decoder.lm.lm_head.weight
    load_component(folder, "decoder", decoder)
    assert decoder.lm.lm_head.weight is before
    assert before.dtype == torch.float32


# Hashes


def test_hashes_are_those_of_the_files(tiny_checkpoint: Path) -> None:
    lines = (tiny_checkpoint / HASHES_FILE).read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == FILES - {HASHES_FILE}
    for line in lines:
        expected, name = line.split("  ")
        assert hashlib.sha256((tiny_checkpoint / name).read_bytes()).hexdigest() == expected
    assert Checkpoint(tiny_checkpoint).verify() == len(FILES) - 1


def test_hashes_are_lines_as_sha256sum_reads_them(tiny_checkpoint: Path) -> None:
    files = sorted(path for path in tiny_checkpoint.iterdir() if path.name != HASHES_FILE)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    assert (tiny_checkpoint / HASHES_FILE).read_text(encoding="utf-8") == "".join(lines)


@pytest.mark.parametrize("name", sorted(FILES - {HASHES_FILE, "config.json"}))
def test_an_altered_byte_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(folder).verify()
    assert str(caught.value) == f"{folder / name} is not the file that was saved: its hash differs"


def test_a_lost_file_is_noticed(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(folder).verify()
    assert str(caught.value) == f"{folder} lacks README.md"


def test_missing_hashes_are_noticed(folder: Path) -> None:
    (folder / HASHES_FILE).unlink()
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(folder).verify()
    assert str(caught.value) == f"{folder} has no {HASHES_FILE}"


@pytest.mark.parametrize("name", ["decoder.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_file_without_a_hash_is_noticed(folder: Path, name: str) -> None:
    """Hashes that were cut short would vouch for what is left of them."""
    path = folder / HASHES_FILE
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if name not in line))
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(folder).verify()
    assert str(caught.value) == f"{path} has no hash of {name}"


@pytest.mark.parametrize("content", [b"nonsense\n", b"\xff\xfe", b"abc  ../config.json\n"])
def test_malformed_hashes_are_noticed(folder: Path, content: bytes) -> None:
    path = folder / HASHES_FILE
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(folder).verify()
    assert str(caught.value) == f"{path} is malformed"
