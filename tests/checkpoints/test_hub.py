"""Where a model's name leads. The hub is a stand-in: nothing here touches the network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import filter_repo_objects

from mmchat.checkpoints import bundled, hub
from mmchat.checkpoints.bundled import BUNDLED
from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.store import Checkpoint
from mmchat.errors import CheckpointError


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folder of the repository is in the way, and nobody reaches the hub by accident."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))


def hub_answers(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[tuple[str, Any]]:
    """Put a stand-in for the hub; returns what it is asked."""
    asked: list[tuple[str, Any]] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append((name, options))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def refusal(model: str | Path | None) -> str:
    with pytest.raises(CheckpointError) as caught:
        find_model(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Folders


def test_a_folder_is_a_model(tiny_checkpoint: Path) -> None:
    assert find_model(tiny_checkpoint) == tiny_checkpoint
    assert find_model(str(tiny_checkpoint)) == tiny_checkpoint


def test_a_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert find_model("~/model") == tmp_path / "model"


def test_a_local_folder_comes_before_the_hub(tmp_path: Path) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert find_model("owner/name") == Path("owner/name")


def test_what_a_folder_is_called_changes_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_checkpoint, tmp_path / "llama-int8-chat")
    assert Checkpoint(find_model(other)).config == Checkpoint(tiny_checkpoint).config


@pytest.mark.parametrize(
    "model", ["nope", "./nope", "../nope", "a/b/c", "/nope", "owner/", "two words/name", "nope.gguf"]
)
def test_an_unknown_model_is_one_line_and_asks_no_hub(model: str) -> None:
    told = f"no model {model!r}: give a checkpoint folder, an owner/name on the hub, or one that mmchat models lists"
    assert refusal(model) == told


def test_a_missing_folder_beside_others_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    """A slip in `runs/chat` must not send its name to the network."""
    (tmp_path / "runs").mkdir()
    assert refusal("runs/chatt").startswith("no model 'runs/chatt'")


def test_a_path_is_never_looked_for_on_the_hub() -> None:
    assert refusal(Path("owner/name")).startswith("no model 'owner/name'")


# The bundled model


@pytest.mark.parametrize("model", [None, BUNDLED])
@pytest.mark.parametrize("place", ["mmchat/assets", "assets"], ids=["in a wheel", "in a checkout"])
def test_the_bundled_model_is_found(
    model: str | None, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "__file__", str(tmp_path / "mmchat" / "checkpoints" / "hub.py"))
    (tmp_path / place / BUNDLED).mkdir(parents=True)
    (tmp_path / place / BUNDLED / "config.json").touch()
    assert find_model(model) == tmp_path / place / BUNDLED


def test_an_install_without_the_bundled_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "__file__", str(tmp_path / "mmchat" / "checkpoints" / "hub.py"))
    told = "the bundled model mmchat-tiny is not in this install: train it as the README shows, or give --model"
    assert refusal(None) == told


# The hub


def test_a_name_on_the_hub_is_downloaded_without_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub_answers(monkeypatch, tmp_path / "snapshot")
    assert find_model("owner/name") == tmp_path / "snapshot"
    patterns = ["*.json", "*.safetensors", "*.jinja", "*.md", "SHA256SUMS"]
    (name, options), *more = asked
    assert (name, options["allow_patterns"], more) == ("owner/name", patterns, [])


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("tekken.json", True),
        ("consolidated.safetensors", False),
        ("model.fp32-00001-of-00002.safetensors", False),
        ("pytorch_model.bin", False),
    ],
)
def test_no_weights_are_downloaded_twice(file: str, wanted: bool) -> None:
    kept = filter_repo_objects([file], allow_patterns=hub._PATTERNS, ignore_patterns=hub._SECOND_COPIES)
    assert list(kept) == [file] * wanted


def test_a_preset_leads_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub_answers(monkeypatch, tmp_path / "snapshot")
    assert find_model("llava-7b") == tmp_path / "snapshot"
    assert [name for name, _ in asked] == ["llava-hf/llava-1.5-7b-hf"]


def test_the_patterns_cover_a_checkpoint(tiny_checkpoint: Path) -> None:
    """A kind of file that is not asked for would be missing from every download."""
    matched = {path for pattern in hub._PATTERNS for path in tiny_checkpoint.glob(pattern)}
    assert matched == set(tiny_checkpoint.iterdir())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RepositoryNotFoundError("404", response=MagicMock()),
         "the hub has no model owner/name, or it is private: check the name and log in"),
        (GatedRepoError("403", response=MagicMock()),
         "owner/name is gated: accept its licence at https://huggingface.co/owner/name and log in with hf auth login"),
        (HFValidationError("Cannot have -- or .. in repo_id"),
         "the hub has no such names as owner/name: Cannot have -- or .. in repo_id"),
        (LocalEntryNotFoundError("offline"),
         "cannot download owner/name: the hub cannot be reached and there is no local copy"),
        (HfHubHTTPError("500\nserver error", response=MagicMock()), "cannot download owner/name: 500 server error"),
        (OSError(28, "No space left on device"), "cannot download owner/name: [Errno 28] No space left on device"),
        (RuntimeError("connection reset"), "cannot download owner/name: connection reset"),
    ],
    ids=["missing", "gated", "name", "offline", "server", "disk", "network library"],
)  # fmt: skip
def test_what_goes_wrong_with_the_hub_is_one_line(error: Exception, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_answers(monkeypatch, error)
    assert refusal("owner/name") == line
