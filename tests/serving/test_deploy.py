"""What a Space or a container gets: enough to run with nothing else, and no more than belongs there."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import httpx
import huggingface_hub
import pytest
import yaml

from mmchat.errors import CheckpointError, UserError
from mmchat.serving.deploy import docker_files, push_space, space_files, write_files

ROOT = Path(__file__).parents[2]


def head(card: bytes | Path) -> Any:
    """The front matter."""
    assert isinstance(card, bytes)
    return yaml.safe_load(card.decode().split("---\n")[1])


def test_a_space_runs_from_its_files_alone(tmp_path: Path) -> None:
    """In a folder of its own and without this checkout: the page is there, and says what the model knows."""
    write_files(space_files(), tmp_path / "space")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import sys; sys.path.insert(0, '.'); import mmchat; print(mmchat.__file__, flush=True)\n"
        f"from mmchat.serving import web; web.launch([], web.Door(port={port}, keep=False))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path / "space", stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE,
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            assert Path(server.stdout.readline().strip()).resolve().is_relative_to(tmp_path / "space")
            assert server.stderr is not None
            assert f"the page is at http://127.0.0.1:{port}" in server.stderr.readline()
            config = httpx.get(f"http://127.0.0.1:{port}/config", timeout=30).json()
            assert config["title"] == "mmchat"
        finally:
            server.terminate()


def test_the_head_of_a_space_says_how_it_is_run() -> None:
    files = space_files()
    found = head(files["README.md"])
    assert (found["sdk"], found["app_file"], found["python_version"]) == ("gradio", "app.py", "3.11")
    assert re.fullmatch(r"6\.\d+\.\d+", found["sdk_version"])
    assert len(found["short_description"]) <= 60, "the hub takes no more"
    assert files["app.py"] == (ROOT / "app.py").read_bytes()


def test_a_space_installs_what_mmchat_needs_and_no_more() -> None:
    files = space_files()
    assert isinstance(files["requirements.txt"], bytes)
    wanted = {re.split(r"[<>=\[ ;]", line)[0].lower() for line in files["requirements.txt"].decode().splitlines()}
    assert {"torch", "gradio", "safetensors", "openai-whisper"} <= wanted
    assert not {"pytest", "torchao", "matplotlib", "jiwer"} & wanted


def test_nothing_else_is_uploaded() -> None:
    """No caches, tests, datasets or runs."""
    names = set(space_files())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"README.md", "app.py", "requirements.txt", "mmchat"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert "mmchat/assets/mmchat-tiny/decoder.safetensors" in names
    assert "mmchat/configs/models/llava-7b.yaml" in names


def test_a_container_is_told_its_model() -> None:
    files = docker_files("owner/name")
    assert head(files["README.md"])["sdk"] == "docker"
    assert head(files["README.md"])["app_port"] == 7860
    assert isinstance(files["Dockerfile"], bytes)
    lines = files["Dockerfile"].decode().splitlines()
    assert "ENV GRADIO_SERVER_NAME=0.0.0.0 MMCHAT_MODEL=owner/name" in lines
    assert "USER mmchat" in lines, "not as root"
    assert b"MMCHAT_MODEL" not in bytes(docker_files()["Dockerfile"])  # type: ignore[arg-type]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    with pytest.raises(UserError, match="is in use: name another folder"):
        write_files({"a": b""}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    api = MagicMock()
    api.list_repo_files.return_value = [".gitattributes", "README.md", "mmchat/old.py", "mmchat/new.py"]
    api.get_space_variables.return_value = {"MMCHAT_MODEL": "old"}
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    return api


def test_a_space_is_made_and_filled_in_one_commit(hub: MagicMock, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("x = 1\n")
    files = {"README.md": b"card", "mmchat/new.py": tmp_path / "new.py"}
    address = push_space("owner/name", files, private=True, model="other/model")
    assert address == "https://huggingface.co/spaces/owner/name"
    hub.create_repo.assert_called_once_with(
        "owner/name", repo_type="space", space_sdk="gradio", private=True, exist_ok=True
    )
    ((_, operations), options) = hub.create_commit.call_args
    assert options == {"commit_message": "Deployed by mmchat", "repo_type": "space"}
    assert [(type(each).__name__, each.path_in_repo) for each in operations] == [
        ("CommitOperationAdd", "README.md"),
        ("CommitOperationAdd", "mmchat/new.py"),
        ("CommitOperationDelete", "mmchat/old.py"),
    ]
    hub.add_space_variable.assert_called_once_with("owner/name", "MMCHAT_MODEL", "other/model")


def test_a_space_of_the_bundled_model_forgets_the_one_it_had(hub: MagicMock) -> None:
    push_space("owner/name", {"README.md": b"card"}, private=False, model=None)
    hub.delete_space_variable.assert_called_once_with("owner/name", "MMCHAT_MODEL")
    hub.add_space_variable.assert_not_called()


def test_a_refusal_of_the_hub_is_one_line(hub: MagicMock) -> None:
    hub.create_repo.side_effect = RuntimeError("401: log in\nfirst")
    with pytest.raises(CheckpointError, match=r"^cannot deploy owner/name: 401: log in first$"):
        push_space("owner/name", {}, private=False, model=None)
