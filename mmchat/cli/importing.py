"""`mmchat import` and `mmchat export`: a public checkpoint as a folder of ours, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console
from mmchat.errors import OptionError


def import_model(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, or owner/name on the hub.")],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to write; it must not exist.")],
) -> None:
    """Write a public checkpoint as a folder of mmchat's own, to look into, train on or share.

    Families: LLaVA-1.5 in the layout of llava-hf, Qwen2-Audio, Ultravox, Voxtral. --model reads the same folders as
    they are.
    """
    if dest.exists():
        raise OptionError(f"{dest} exists: give a folder that does not")
    from mmchat.checkpoints.hub import find_model
    from mmchat.checkpoints.public import PublicCheckpoint, open_checkpoint
    from mmchat.checkpoints.store import copy_checkpoint

    checkpoint = open_checkpoint(find_model(source), name=Path(source).name)
    if not isinstance(checkpoint, PublicCheckpoint):
        raise OptionError(f"{source} is a folder of mmchat's own already")
    copy_checkpoint(checkpoint, dest)
    for name, count in checkpoint.parameters().items():
        console.fact(name.replace("_", " "), f"{count:,}")


def compose_model(
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to write; it must not exist.")],
    decoder: Annotated[
        str,
        typer.Option(metavar="MODEL", help="A language model with a chat template: a folder, or owner/name."),
    ],
    image: Annotated[
        str | None,
        typer.Option(metavar="CLIP", help="Of open_clip: NAME:TAG, hf-hub:owner/name or local-dir:FOLDER."),
    ] = None,
    audio: Annotated[
        str | None, typer.Option(metavar="WHISPER", help="base, small ... or a file of openai-whisper.")
    ] = None,
) -> None:
    """Join an image tower, a Whisper and a language model by fresh projectors, for mmchat train.

    It answers text at once, and pictures and voice when their projectors are trained.
    """
    if dest.exists():
        raise OptionError(f"{dest} exists: give a folder that does not")
    if image is None and audio is None:
        raise OptionError("there is nothing to join: give --image, --audio or both")
    from mmchat.checkpoints.compose import compose

    config = compose(dest, dest.name, decoder, image, audio)
    console.fact(str(dest), f"to train: {', '.join(config.untrained)}")


def export_model(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of mmchat's own.")],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to write; it must not exist.")],
    family: Annotated[str, typer.Option(metavar="NAME", help="The family whose layout is written.")] = "llava",
) -> None:
    """Write a model in the layout of a family of public checkpoints, for programs that read that.

    Families: llava.
    """
    if dest.exists():
        raise OptionError(f"{dest} exists: give a folder that does not")
    from mmchat.checkpoints.hub import find_model
    from mmchat.checkpoints.public import FAMILIES, export_checkpoint, open_checkpoint

    if family not in FAMILIES:
        raise OptionError(f"unknown family {family!r}: use {', '.join(FAMILIES)}")
    export_checkpoint(open_checkpoint(find_model(source), name=Path(source).name), family, dest)
    console.fact(str(dest), f"{sum(path.stat().st_size for path in dest.iterdir()) / 1e6:.1f} MB")
