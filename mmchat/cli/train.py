"""`mmchat train`: a stage, or a recipe of stages, from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console
from mmchat.errors import ConfigError

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A stage's YAML file, or a folder of stages.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file; may be repeated."),
]


def train(config: Config, settings: Settings = None) -> None:
    """Run one training stage or all of a folder, or go on where they stopped.

    For example: mmchat train configs/tiny/9-chat.yaml --set optimizer.learning_rate=1e-4. The curve stands beside the
    checkpoint folder, and in tensorboard/ where TensorBoard is installed.
    """
    overrides = parse_settings(settings)
    with console.working("starting"):
        from mmchat.training import run
    run(config, overrides, console.console(stderr=True))


def parse_settings(settings: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` settings by their key.

    Raises:
        ConfigError: one is not of that form, or a key is given twice.
    """
    found: dict[str, str] = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting}: write it as KEY=VALUE")
        if key.strip() in found:
            raise ConfigError(f"--set gives {key.strip()} twice")
        found[key.strip()] = value
    return found
