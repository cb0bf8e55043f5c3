"""`mmchat models`, `pull`, `rm` and `push`: which models there are, and how they come and go."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmchat.cli import console, options
from mmchat.errors import OptionError

if TYPE_CHECKING:
    from mmchat.checkpoints.catalog import Model

Name = Annotated[str, typer.Argument(metavar="NAME", help="One of mmchat models, or owner/name on the hub.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def models(as_json: options.Json = False) -> None:
    """List the models that are here and those that can be had, with their size, memory and licence."""
    from mmchat.checkpoints.catalog import models as known

    found = known()
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in found], ensure_ascii=False, indent=2))
        return
    rows = [("NAME", "TAKES", "ON DISK", "MEMORY", "LICENCE"), *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        console.line("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))
    console.note(f"on disk {size(sum(model.disk_bytes for model in found))}; memory is that of the weights in bfloat16")


def pull(name: Name) -> None:
    """Download a model, with the checkpoints that it names; what was begun is gone on with."""
    from mmchat.checkpoints.hub import find_model
    from mmchat.checkpoints.public import open_checkpoint

    checkpoint = open_checkpoint(find_model(name), name=Path(name).name)
    checkpoint.verify()
    console.fact(checkpoint.config.name, f"{sum(checkpoint.parameters().values()):,} weights in {checkpoint.folder}")


def rm(name: Name, yes: Yes = False) -> None:
    """Delete a downloaded model from this machine."""
    from mmchat.checkpoints.catalog import remove

    if not yes:
        if not sys.stdin.isatty():
            raise OptionError(f"nobody is here to ask whether {name} may be deleted: give --yes")
        typer.confirm(f"delete {name}?", abort=True, err=True)
    console.fact(name, f"{size(remove(name))} are free again")


def push(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the hub.")],
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of mmchat's own.")],
    private: Annotated[bool, typer.Option("--private", help="Only you can see it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be uploaded.")] = False,
) -> None:
    """Upload a model to the Hugging Face hub, with its model card; log in first: hf auth login."""
    from mmchat.checkpoints.hub import push_folder
    from mmchat.checkpoints.store import Checkpoint

    checkpoint = Checkpoint(source)
    checkpoint.verify()
    for path in sorted(path for path in source.iterdir() if path.is_file()):
        console.line(f"{path.name:<28} {size(path.stat().st_size)}")
    if not checkpoint.card():
        raise OptionError(f"{source} has no model card: write README.md, for whoever finds the model")
    if not dry_run:
        console.fact(name, push_folder(name, source, private=private))


def size(count: int) -> str:
    """Bytes for people."""
    for unit, share, digits in (("GB", 1e9, 1), ("MB", 1e6, 0)):
        if count >= share:
            return f"{count / share:.{digits}f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _row(model: Model) -> tuple[str, ...]:
    disk = size(model.disk_bytes) if model.state != "available" else "-"
    memory = size(model.needed_bytes) if model.needed_bytes else "-"
    return model.name, ", ".join(model.takes) or model.about, disk, memory, model.licence
