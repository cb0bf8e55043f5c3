"""The layers of mmchat: imports only go down, and siblings in one layer never import each other.

Read from the source with `ast`, so imports inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmchat"
LAYERS = (
    ("errors",),
    ("config",),
    ("inputs",),
    ("encoders",),
    ("model",),
    ("generation",),
    ("checkpoints",),
    ("assistant", "history"),
    ("explain",),
    ("world", "training", "evaluation", "serving"),
    ("cli",),
)
RANKS = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}
NEVER = {("training", "assistant")}
"""Imports that the layers would allow: training makes what an assistant loads, and needs none."""
FACADE = "__init__"
"""`mmchat/__init__.py`: hands out `Assistant` and `Message` from wherever they live, lazily; it stands in no layer."""
ENTRIES = {FACADE: {"assistant", "inputs"}, "__main__": {"cli"}}
"""The modules beside the layers, and what they may import."""
LIGHT = {"__version__"}
"""What any layer may take from the facade."""
MAX_LINES = 400


def modules(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def module_name(path: Path, package: Path) -> str:
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(name: str) -> str:
    """The part of the package that a module belongs to: `mmchat.model.decoder` to `model`, `mmchat` to the facade."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else FACADE


def imported(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and unit of everything that a module imports from the package."""
    name = module_name(path, package)
    inside = name if path.name == "__init__.py" else name.rpartition(".")[0]  # what a relative import starts from
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside.split(".")[: len(inside.split(".")) - (node.level - 1)] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            targets = [f"{source}.{alias.name}" for alias in node.names] if source == package.name else [source]
        else:
            continue
        for target in targets:
            if target.split(".")[0] == package.name:
                yield node.lineno, unit_of(target)


def violations(package: Path) -> list[str]:
    """Every import that the layers forbid, as `file:line: what`."""
    found = []
    for path in modules(package):
        unit = unit_of(module_name(path, package))
        if unit not in RANKS and unit not in ENTRIES:
            found.append(f"{path.relative_to(package)}: {unit} stands in no layer")
            continue
        for line, target in imported(path, package):
            complaint = complain(unit, target)
            if complaint:
                found.append(f"{path.relative_to(package)}:{line}: {complaint}")
    return found


def complain(unit: str, target: str) -> str:
    if target in (unit, *LIGHT):
        return ""
    if unit in ENTRIES:
        return "" if target in ENTRIES[unit] else f"{unit} imports {target}"
    if target not in RANKS:
        return f"{unit} imports {target}, which stands in no layer"
    if (unit, target) in NEVER:
        return f"{unit} imports {target}"
    if RANKS[target] == RANKS[unit]:
        return f"{unit} imports its sibling {target}"
    if RANKS[target] > RANKS[unit]:
        return f"{unit} imports {target} from above"
    return ""


def test_imports_only_go_down() -> None:
    assert violations(PACKAGE) == []


def test_every_layer_that_is_there_was_read() -> None:
    """A checker that finds no modules would find no violations either."""
    read = {unit_of(module_name(path, PACKAGE)) for path in modules(PACKAGE)}
    assert {"errors", "config", "model", "training", "cli", *ENTRIES} <= read
    edges = {
        (unit_of(module_name(path, PACKAGE)), unit) for path in modules(PACKAGE) for _, unit in imported(path, PACKAGE)
    }
    assert {("training", "checkpoints"), ("model", "inputs"), ("assistant", "generation"), ("cli", "training")} <= edges


@pytest.mark.parametrize(
    ("where", "source", "complaint"),
    [
        ("model/decoder.py", "from mmchat.assistant import Assistant", "model imports assistant from above"),
        ("model/decoder.py", "import mmchat.cli.ask", "model imports cli from above"),
        ("model/decoder.py", "from mmchat import generation", "model imports generation from above"),
        ("model/decoder.py", "from ..generation import engine", "model imports generation from above"),
        ("model/decoder.py", "from .. import generation", "model imports generation from above"),
        ("model/__init__.py", "from ..generation import engine", "model imports generation from above"),
        ("config.py", "from .inputs import messages", "config imports inputs from above"),
        ("errors.py", "from . import config", "errors imports config from above"),
        ("training/run.py", "def run():\n    import mmchat.world.build", "training imports its sibling world"),
        ("serving/web.py", "from mmchat.evaluation import evaluate", "serving imports its sibling evaluation"),
        ("history.py", "from mmchat.assistant import Reply", "history imports its sibling assistant"),
        ("training/run.py", "from mmchat.assistant import Assistant", "training imports assistant"),
        (
            "inputs/image.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmchat.model.decoder import Decoder",
            "inputs imports model from above",
        ),
        ("cli/ask.py", "from mmchat import Assistant", "cli imports Assistant, which stands in no layer"),
        ("cli/ask.py", "import mmchat", "cli imports __init__, which stands in no layer"),
        ("cli/ask.py", "from mmchat.tools import shout", "cli imports tools, which stands in no layer"),
        ("__main__.py", "from mmchat.assistant import Assistant", "__main__ imports assistant"),
        ("__init__.py", "from mmchat.cli import main", "__init__ imports cli"),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, where: str, source: str, complaint: str) -> None:
    plant(tmp_path, where, source)
    line = source.count("\n") + 1
    assert violations(tmp_path / "mmchat") == [f"{where}:{line}: {complaint}"]


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("model/decoder.py", "from mmchat.model.projector import Projector"),
        ("model/decoder.py", "from . import projector\nfrom .sequence import fuse"),
        ("model/decoder.py", "from mmchat.errors import ConfigError\nimport mmchat.config\nimport torch"),
        ("cli/ask.py", "def ask():\n    from mmchat.assistant import Assistant"),
        ("cli/info.py", "from mmchat import __version__"),
        ("__init__.py", "from mmchat.inputs.messages import Message"),
        ("__main__.py", "from mmchat.cli import main"),
        ("config.py", "import mmchatter\nfrom mmchat_extras import cli"),
    ],
)
def test_imports_that_are_right_pass(tmp_path: Path, where: str, source: str) -> None:
    plant(tmp_path, where, source)
    assert violations(tmp_path / "mmchat") == []


def test_a_module_outside_the_table_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "tools.py", "import json")
    assert violations(tmp_path / "mmchat") == ["tools.py: tools stands in no layer"]


def plant(folder: Path, where: str, source: str) -> None:
    """A package of that one module."""
    path = folder / "mmchat" / where
    path.parent.mkdir(parents=True)
    path.write_text(source + "\n", encoding="utf-8")


def test_the_facade_imports_lazily() -> None:
    """`import mmchat` must cost nothing: at the top of the facade stand imports for type checkers alone."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {node.module for node in top if isinstance(node, ast.ImportFrom)} <= {"__future__", "typing"}
    assert not [node for node in top if isinstance(node, ast.Import)]


def test_no_drawers() -> None:
    assert [path for path in modules(PACKAGE) if path.stem in ("utils", "util", "common", "helpers", "misc")] == []


def test_every_module_can_be_read_in_one_sitting() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text("utf-8").splitlines()) for path in modules(PACKAGE)}
    assert {name: lines for name, lines in lengths.items() if lines >= MAX_LINES} == {}
