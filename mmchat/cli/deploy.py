"""`mmchat deploy`: the page where others can reach it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console, options
from mmchat.errors import UserError


def space(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Of the Space; one that is there is updated.")],
    model: options.Model = None,
    private: Annotated[bool, typer.Option("--private", help="A new Space is seen by its owner alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files, and upload nothing.")] = False,
) -> None:
    """Put the page on a Hugging Face Space; log in with hf auth login before."""
    from mmchat.serving.deploy import push_space, size_of, space_files

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UserError(f"{name!r} is no name of a Space: write it as OWNER/NAME")
    files = space_files(model)
    if dry_run:
        for place, content in files.items():
            console.line(f"{size_of({place: content}):>10,}  {place}")
        console.note(f"{len(files)} files, {size_of(files) / 1e6:.1f} MB, for {name}: nothing was uploaded")
        return
    with console.working(f"uploading {size_of(files) / 1e6:.1f} MB"):
        address = push_space(name, files, private=private, model=model)
    console.line(address)


def docker(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; it must not exist.")],
    model: options.Model = None,
) -> None:
    """Write a folder with a Dockerfile: for a host of your own, or a Space of the docker kind."""
    from mmchat.serving.deploy import docker_files, size_of, write_files

    files = docker_files(model)
    write_files(files, folder)
    console.note(f"{len(files)} files, {size_of(files) / 1e6:.1f} MB, in {folder}: docker build -t mmchat {folder}")
