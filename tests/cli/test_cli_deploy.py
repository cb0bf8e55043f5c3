"""`mmchat deploy`: whole transcripts; nothing is uploaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_assistant import Run, Screen

from mmchat.serving import deploy


def test_a_dry_run_lists_what_would_be_uploaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "push_space", None)
    screen = run("deploy", "space", "owner/name", "--dry-run")
    assert screen.code == 0
    size = (Path(__file__).parents[2] / "assets" / "mmchat-tiny" / "decoder.safetensors").stat().st_size
    assert f"{size:>10,}  mmchat/assets/mmchat-tiny/decoder.safetensors" in screen.out.splitlines()
    assert re.fullmatch(r"\d+ files, \d+\.\d MB, for owner/name: nothing was uploaded\n", screen.err)


def test_a_space_is_deployed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def push(name: str, files: object, *, private: bool, model: str | None) -> str:
        assert (name, private, model) == ("owner/name", True, "llava-7b")
        return "https://huggingface.co/spaces/owner/name"

    monkeypatch.setattr(deploy, "push_space", push)
    screen = run("deploy", "space", "owner/name", "--private", "--model", "llava-7b")
    assert screen == Screen(0, "https://huggingface.co/spaces/owner/name\n", "")


def test_a_wrong_name_is_one_line(run: Run) -> None:
    assert run("deploy", "space", "name") == Screen(
        2, "", "mmchat: 'name' is no name of a Space: write it as OWNER/NAME\n"
    )


def test_a_container_has_its_folder(run: Run, tmp_path: Path) -> None:
    screen = run("deploy", "docker", "box")
    assert (screen.code, screen.out) == (0, "")
    assert re.fullmatch(r"\d+ files, \d+\.\d MB, in box: docker build -t mmchat box\n", screen.err)
    assert (tmp_path / "box" / "Dockerfile").read_text().startswith("# docker build -t mmchat")
    assert (tmp_path / "box" / "mmchat" / "py.typed").is_file()
