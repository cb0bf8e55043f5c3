"""`mmchat world build` and `mmchat train`: from an empty folder to a model."""

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
Out = Annotated[Path, typer.Option(metavar="DIR", help="The dataset folder to write; it must not exist.")]
Icons = Annotated[Path, typer.Option(metavar="DIR", help="node_modules/@iconify-json after npm install.")]


def train(config: Config, settings: Settings = None) -> None:
    """Run one training stage, or go on with it where it stopped.

    For example: mmchat train configs/mmchat-tiny/chat.yaml --set optimizer.learning_rate=1e-4
    """
    overrides = parse_settings(settings)
    with console.working("starting"):
        from mmchat.training import run
    run(config, overrides, console.console(stderr=True))


def build(
    out: Out,
    icons: Icons,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same dataset.")] = 0,
    pictures: Annotated[int, typer.Option(metavar="N", min=0, help="Training pictures.")] = 20_000,
    spoken: Annotated[int, typer.Option(metavar="N", min=0, help="Training dialogues with a voice.")] = 10_000,
    texts: Annotated[int, typer.Option(metavar="N", min=0, help="Training dialogues of text alone.")] = 20_000,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")] = 1,
) -> None:
    """Write the pictures, speech and dialogues of the bundled model's world as a dataset folder."""
    from mmchat.world.build import build_world

    with console.counting() as progress:
        counts = build_world(
            out,
            icons=icons,
            seed=seed,
            pictures=pictures,
            spoken=spoken,
            texts=texts,
            workers=workers,
            progress=progress,
        )
    for name, rows in sorted(counts.items()):
        console.fact(name, f"{rows:,} rows")


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
