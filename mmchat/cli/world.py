"""`mmchat world build` and `mmchat world pack`: the data that the bundled model learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console

Out = Annotated[Path, typer.Option(metavar="DIR", help="The dataset folder to write; it must not exist.")]
Icons = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="node_modules/@iconify-json after npm install; for speech with kokoro-js beside it."
    ),
]
Photographs = Annotated[Path | None, typer.Option(metavar="FILE", help="Zip of labelled photographs.")]
Voices = Annotated[Path | None, typer.Option(metavar="FILE", help="Zip of transcribed recordings.")]


def build(
    out: Out,
    icons: Icons,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same dataset.")] = 0,
    pictures: Annotated[
        int, typer.Option(metavar="N", min=0, help="Drawn pictures with a caption and dialogues.")
    ] = 240_000,
    regions: Annotated[
        int, typer.Option(metavar="N", min=0, help="Drawn pictures for names and places alone.")
    ] = 150_000,
    albums: Annotated[int, typer.Option(metavar="N", min=0, help="Dialogues about two pictures.")] = 5_000,
    series: Annotated[int, typer.Option(metavar="N", min=0, help="Dialogues about one picture of several.")] = 20_000,
    quizzes: Annotated[
        int, typer.Option(metavar="N", min=0, help="Dialogues of many questions about one picture.")
    ] = 120_000,
    told: Annotated[
        int, typer.Option(metavar="N", min=0, help="Dialogues about a picture in words instead of one.")
    ] = 40_000,
    shifts: Annotated[int, typer.Option(metavar="N", min=0, help="Dialogues that change their subject.")] = 40_000,
    spoken: Annotated[int, typer.Option(metavar="N", min=0, help="Dialogues with a voice.")] = 40_000,
    dictations: Annotated[
        int, typer.Option(metavar="N", min=0, help="Clips of anything but questions, to be written down.")
    ] = 40_000,
    texts: Annotated[int, typer.Option(metavar="N", min=0, help="Dialogues of text alone.")] = 60_000,
    photos: Annotated[
        int, typer.Option(metavar="N", min=0, help="Photographs with a dialogue; needs --photographs.")
    ] = 0,
    recordings: Annotated[int, typer.Option(metavar="N", min=0, help="Clips of people; needs --voices.")] = 0,
    photographs: Photographs = None,
    voices: Voices = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")] = 1,
) -> None:
    """Write the pictures, speech and dialogues of the bundled model's world as a dataset folder.

    Sizes are those of the training split; the test split has a tenth of each.
    """
    from mmchat.world.build import Sizes, build_world

    sizes = Sizes(
        pictures=pictures,
        regions=regions,
        photos=photos,
        albums=albums,
        series=series,
        quizzes=quizzes,
        told=told,
        shifts=shifts,
        spoken=spoken,
        dictations=dictations,
        recordings=recordings,
        texts=texts,
    )
    with console.counting() as progress:
        counts = build_world(
            out,
            icons=icons,
            seed=seed,
            sizes=sizes,
            photographs=photographs,
            recordings=voices,
            workers=workers,
            progress=progress,
        )
    for name, rows in sorted(counts.items()):
        console.fact(name, f"{rows:,} rows")


def pack(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The zip file to write; it must not exist.")],
    icons: Icons,
    photographs: Photographs = None,
    voices: Voices = None,
    photos_a_thing: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many photographs of each.")] = 100,
) -> None:
    """Pack what the world is drawn and spoken from, to build and train on another machine.

    Unpacked there, its parts are the --icons, --photographs and --voices of `mmchat world build`.
    """
    from mmchat.world.concepts import load_things
    from mmchat.world.pack import write_pack

    size = write_pack(
        out,
        icons=icons,
        things=load_things(),
        photographs=photographs,
        recordings=voices,
        photos_a_thing=photos_a_thing,
    )
    console.fact(str(out), f"{size / 1e6:.1f} MB")
