"""`mmchat models`, `pull`, `rm` and `push`: whole transcripts; the hub and its cache are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from fake_assistant import Run, Screen

from mmchat.checkpoints import catalog, hub
from mmchat.checkpoints.catalog import Model
from mmchat.checkpoints.store import write_hashes
from mmchat.errors import CheckpointError

FOUND = [
    Model("mmchat-tiny", None, "bundled", ("text", "voice"), 18_300_000, 18_300_000, "apache-2.0", "a little world"),
    Model("some/part", "some/part", "downloaded", (), 2_000_000_000, 0, "mit", "part of some/model"),
    Model("llava", "l/l", "available", ("text", "pictures"), 0, 14_120_000_000, "Llama 2", "LLaVA"),
]


def test_models_as_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "models", lambda: FOUND)
    assert run("models") == Screen(
        0,
        "NAME         TAKES               ON DISK  MEMORY   LICENCE\n"
        "mmchat-tiny  text, voice         18 MB    18 MB    apache-2.0\n"
        "some/part    part of some/model  2.0 GB   -        mit\n"
        "llava        text, pictures      -        14.1 GB  Llama 2\n",
        "on disk 2.0 GB; memory is that of the weights in bfloat16\n",
    )


def test_models_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "models", lambda: FOUND[:1])
    screen = run("models", "--json")
    (model,) = json.loads(screen.out)
    assert (screen.code, model["name"], model["takes"]) == (0, "mmchat-tiny", ["text", "voice"])


def test_pull_says_what_came(run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "find_model", lambda name: asked.append(name) or tiny_checkpoint)
    screen = run("pull", "owner/name")
    assert (screen.code, screen.err, asked) == (0, "", ["owner/name"])
    assert screen.out.startswith("tiny ")
    assert screen.out.endswith(f"weights in {tiny_checkpoint}\n")


def test_pull_of_what_is_not_there_is_one_line(run: Run) -> None:
    line = "no model 'nope': give a checkpoint folder, an owner/name on the hub, or one that mmchat models lists"
    assert run("pull", "nope") == Screen(2, "", f"mmchat: {line}\n")


def test_rm_asks_no_pipe(run: Run) -> None:
    line = "nobody is here to ask whether llava-7b may be deleted: give --yes"
    assert run("rm", "llava-7b") == Screen(2, "", f"mmchat: {line}\n")


def test_rm_says_how_much_is_free_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(catalog, "remove", lambda name: asked.append(name) or 14_120_000_000)
    assert run("rm", "llava-7b", "--yes") == Screen(0, "llava-7b           14.1 GB are free again\n", "")
    assert asked == ["llava-7b"]


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would go to the hub."""
    calls: list[tuple[Any, ...]] = []

    class HfApi:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
            calls.append(("create", name, private, exist_ok))

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            calls.append(("upload", repo_id, folder_path))

    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    return calls


@pytest.fixture
def carded(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint with a model card."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "README.md").write_text("# Mine\n")
    write_hashes(folder)
    return folder


def test_push_uploads_the_folder(run: Run, carded: Path, uploads: list[tuple[Any, ...]]) -> None:
    screen = run("push", "me/mine", str(carded), "--private")
    assert (screen.code, screen.err) == (0, "")
    assert "config.json" in screen.out
    assert screen.out.endswith("me/mine            https://huggingface.co/me/mine\n")
    assert uploads == [("create", "me/mine", True, True), ("upload", "me/mine", carded)]


def test_a_dry_run_uploads_nothing(run: Run, carded: Path, uploads: list[tuple[Any, ...]]) -> None:
    screen = run("push", "me/mine", str(carded), "--dry-run")
    names = [line.split()[0] for line in screen.out.splitlines()]
    assert names == sorted(path.name for path in carded.iterdir())
    assert uploads == []


def test_push_refuses_a_model_without_a_card(run: Run, carded: Path, uploads: list[tuple[Any, ...]]) -> None:
    (carded / "README.md").unlink()
    write_hashes(carded)
    screen = run("push", "me/mine", str(carded))
    assert (screen.code, uploads) == (2, [])
    assert screen.err == f"mmchat: {carded} has no model card: write README.md, for whoever finds the model\n"


def test_a_refused_upload_is_one_line(run: Run, carded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class HfApi:
        def create_repo(self, *_: object, **__: object) -> None:
            raise OSError("401\nlog in first")

    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    with pytest.raises(CheckpointError, match="cannot upload to me/mine: 401 log in first"):
        hub.push_folder("me/mine", carded, private=False)
