"""The Hugging Face Space: its entry, and what it installs before the code is there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from mmchat.serving import web
from mmchat.serving.deploy import space_files

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("environment", "models", "door"),
    [
        ({}, [], web.Door()),
        ({"MMCHAT_MODEL": ""}, [], web.Door()),
        (
            {"MMCHAT_MODEL": "owner/name", "GRADIO_SERVER_NAME": "0.0.0.0", "SPACE_ID": "owner/page"},
            ["owner/name"],
            web.Door("0.0.0.0", keep=False, framed=True, load_first=False),
        ),
    ],
)
def test_environment_picks_model_and_place(
    environment: dict[str, str], models: list[str], door: web.Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What visitors of a Space say is not kept there."""
    for name in ("MMCHAT_MODEL", "GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    launched = []
    monkeypatch.setattr(web, "launch", lambda models, door: launched.append((models, door)))
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
    assert launched == [(models, door)]


def test_importing_the_entry_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "launch", lambda *_, **__: pytest.fail("launched on import"))
    runpy.run_path(str(ROOT / "app.py"), run_name="app")


def test_requirements_are_the_core_dependencies() -> None:
    """A Space installs requirements.txt alone; a range that drifts from pyproject.toml would break only there."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
    assert listed is not None
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == re.findall(r'"(.+?)"', listed[1])


def test_this_repository_is_a_space_as_it_is() -> None:
    """The head of its README says how it is run, as that of a deployed one does."""
    head = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    deployed = yaml.safe_load(bytes(space_files()["README.md"]).decode().split("---\n")[1])  # type: ignore[arg-type]
    assert {**head, "sdk_version": None} == {**deployed, "sdk_version": None}
    assert (ROOT / head["app_file"]).is_file()
