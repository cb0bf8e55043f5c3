"""The card of a built dataset: what it holds, how it was made, and whose drawings and voices are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mmchat.world.drawings import RESERVED_STYLES, TRAIN_STYLES

_CARD = """\
# The world of mmchat

Drawn scenes, spoken questions and dialogues about {things} things, made by `mmchat world build` with seed
{seed}. Pictures are {side} pixels wide and high, clips are 16 kHz mono. Paths in a row are relative to the
folder of its split. Training and test share no scene, no question wording and no voice; `*_reserved.jsonl`
holds pictures in styles that training never sees.

| file | rows |
|---|---|
{counts}

## Drawings

| icon set | author | licence | used for |
|---|---|---|---|
{sets}

The drawings were turned, tinted and set on backgrounds. Voices: espeak-ng, flite and festival, all synthetic.
Facts and wordings were written for mmchat (Apache-2.0).
"""


def dataset_card(counts: Mapping[str, int], *, seed: int, things: int, side: int, icons: Path) -> str:
    """The text of `README.md`.

    Args:
        counts: rows by file.
        seed: of the build.
        things: how many the world holds.
        side: of a picture, in pixels.
        icons: folder of the icon sets, whose `info.json` name author and licence.
    """
    return _CARD.format(
        things=things,
        seed=seed,
        side=side,
        counts="\n".join(f"| `{name}` | {count:,} |" for name, count in sorted(counts.items())),
        sets="\n".join(
            _credit(icons / style / "info.json", style, use)
            for styles, use in ((TRAIN_STYLES, "training and test"), (RESERVED_STYLES, "test alone"))
            for style in styles
        ),
    )


def _credit(info: Path, style: str, use: str) -> str:
    """A row of the table; `unknown` where a package says nothing about itself."""
    content = json.loads(info.read_text(encoding="utf-8")) if info.is_file() else {}
    author, licence = content.get("author", {}), content.get("license", {})
    return (
        f"| {style} | [{author.get('name', 'unknown')}]({author.get('url', '')}) "
        f"| [{licence.get('title', 'unknown')}]({licence.get('url', '')}) | {use} |"
    )
