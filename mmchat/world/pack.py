"""A pack: all that the world is drawn and spoken from, small enough to be carried to another machine.

    icons/<set>/icons.json, info.json   only the icons that draw a thing, so that they give the same pictures
    photographs.zip                     some photographs of each thing
    voices.zip                          the recordings that may be used

Unpacked, its parts are what `mmchat world build` takes as --icons, --photographs and --voices. The speech programs are
not in it, nor the voices of kokoro-js, whose folder is to stand beside `icons`.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from mmchat.errors import DatasetError
from mmchat.world.concepts import Thing
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES, icon_name
from mmchat.world.photographs import thing_of
from mmchat.world.recordings import is_usable
from mmchat.world.sketches import names_in_sketches

Row = dict[str, Any]


def write_pack(
    out: Path,
    *,
    icons: Path,
    things: Sequence[Thing],
    photographs: Path | None = None,
    recordings: Path | None = None,
    photos_a_thing: int = 100,
) -> int:
    """Write a pack.

    Args:
        out: the zip file, which must not exist.
        icons: folder of the icon sets, `node_modules/@iconify-json` after `npm install`.
        things: what has to be drawn.
        photographs, recordings: zips as `mmchat.world.photographs` and `mmchat.world.recordings` read them.
        photos_a_thing: at most so many photographs of a thing in each split; which ones is chosen by a fixed seed.

    Returns:
        Bytes written.

    Raises:
        DatasetError: `out` exists, or a source is missing or malformed.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already: name another file, or remove it first")
    wanted = [(icon,) for icon in sorted({icon for thing in things for icon in thing.icons})]
    called = names_in_sketches(things)
    partial = out.with_name(f".{out.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as pack:
            for style in (*TRAIN_STYLES, *RESERVED_STYLES):
                _add_icons(pack, icons / style, style, wanted)
            for style in SKETCH_STYLES:
                _add_icons(pack, icons / style, style, called[style].values())
            if photographs is not None:
                kept = _some_of_each(photographs, things, photos_a_thing)
                _add_part(pack, "photographs.zip", photographs, kept)
            if recordings is not None:
                kept = [row for row in _rows(recordings) if is_usable(row)]
                _add_part(pack, "voices.zip", recordings, kept)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return out.stat().st_size


def _add_icons(pack: zipfile.ZipFile, folder: Path, style: str, wanted: Iterable[Sequence[str]]) -> None:
    """The wanted icons of a set, in its own format; of the names of each the first that the set knows."""
    try:
        icon_set = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        kept = _with_parents(icon_set, [name for each in wanted if (name := icon_name(icon_set, each)) is not None])
        for part in ("icons", "aliases"):
            icon_set[part] = {name: value for name, value in icon_set.get(part, {}).items() if name in kept}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder} is not an iconify icon set: run `npm install @iconify-json/{style}`") from error
    pack.writestr(f"icons/{style}/icons.json", json.dumps(icon_set))
    if (folder / "info.json").is_file():
        pack.write(folder / "info.json", f"icons/{style}/info.json")


def _with_parents(icon_set: Mapping[str, Any], names: Sequence[str]) -> set[str]:
    """`names` and, of aliases, what they lead to."""
    kept: set[str] = set()
    for each in names:
        name: str | None = each
        while name is not None and name not in kept:
            kept.add(name)
            name = icon_set.get("aliases", {}).get(name, {}).get("parent")
    return kept


def _some_of_each(source: Path, things: Sequence[Thing], most: int) -> list[Row]:
    known = {thing.name for thing in things}
    rows = [row for row in _rows(source) if thing_of(row) in known]
    Random(0).shuffle(rows)
    kept, counts = [], Counter[tuple[str, str]]()
    for row in rows:
        kind = (str(thing_of(row)), str(row["split"]))
        counts[kind] += 1
        if counts[kind] <= most:
            kept.append(row)
    return kept


def _rows(source: Path) -> list[Row]:
    try:
        with zipfile.ZipFile(source) as archive:
            return [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    except (OSError, zipfile.BadZipFile, LookupError, ValueError) as error:
        raise DatasetError(f"{source} is no zip with a metadata.jsonl: {error}") from error


def _add_part(pack: zipfile.ZipFile, name: str, source: Path, rows: Sequence[Row]) -> None:
    """A zip within the pack with some of the files of `source`; they are compressed already."""
    with pack.open(zipfile.ZipInfo(name), "w", force_zip64=True) as stream, zipfile.ZipFile(stream, "w") as part:
        part.writestr("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        with zipfile.ZipFile(source) as archive:
            for row in rows:
                part.writestr(row["file"], archive.read(row["file"]))
