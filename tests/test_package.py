"""The wheel: whoever installs it gets the bundled model and the world's data, and no more than the licence allows."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_bundled_model_travels_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    folder = ROOT / "assets" / "mmchat-tiny"
    for path in folder.iterdir():
        assert wheel.read(f"mmchat/assets/mmchat-tiny/{path.name}") == path.read_bytes(), path.name


def test_the_presets_travel_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    for path in (ROOT / "configs" / "models").iterdir():
        assert wheel.read(f"mmchat/configs/models/{path.name}") == path.read_bytes(), path.name


def test_every_data_file_of_the_package_travels(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    files = [path for path in (ROOT / "mmchat").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= inside


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"mmchat", "mmchat-0.1.0.dist-info"}
