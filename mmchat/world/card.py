"""The card of a built dataset: what it holds, how it was made, and whose drawings, photographs and voices are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES

_CARD = """\
# The world of mmchat

Pictures, clips and dialogues about {things} things, made by `mmchat world build` with seed {seed}. Drawn pictures
are {side} pixels wide and high, clips are mono, most of them at 16 kHz. Paths in a row are relative to the folder
of its split. Training and test share no scene, no question wording and no voice.

| file | rows | a row |
|---|---|---|
{files}

## Drawings

| icon set | author | licence | used for |
|---|---|---|---|
{sets}

The drawings were turned, tinted and set on backgrounds.
{photographs}{recordings}
## Voices and words

Questions are spoken by espeak-ng, flite, pico, festival, Piper's joe (CC0) and Kokoro (Apache-2.0): all synthetic.
Silence, noise and music were made from numbers.
Facts and wordings were written for mmchat (Apache-2.0).
"""

_USES = (
    (TRAIN_STYLES, "training and test"),
    (SKETCH_STYLES, "training alone"),
    (RESERVED_STYLES, "test alone"),
)
_ROWS = {
    "captions": "a picture, what it shows in a few words, and the names of its things",
    "dialogues": "a dialogue in words, about pictures, or with clips; its kind; the answers that are right",
    "dictations": "a clip of something that is no question, to be written down",
    "echoes": "a clip of those dialogues once more, to be written down",
    "photographs": "a dialogue about a photograph",
    "quizzes": "a dialogue of many questions about one picture, each answered in a word or two, or asked at once",
    "recordings": "a clip of a person, to be written down",
    "regions": "a picture and the box of each thing: left, top, right and bottom as shares of the side",
    "repeats": "the words of a dictation or a recording in writing, or words in no order, to be written again",
    "shifts": "a dialogue that changes its subject",
    "texts": "a short text",
    "told": "a dialogue about a picture that is put into words instead of being shown",
    "transcripts": "a clip and what is said in it, which may be nothing",
    "captions_reserved": "as `captions.jsonl`, in styles that training never sees",
    "dialogues_reserved": "as `dialogues.jsonl`, in styles that training never sees",
    "regions_reserved": "as `regions.jsonl`, in styles that training never sees",
}

_Credits = Mapping[str, tuple[str, str, str]]  # title, address and licence by set

PHOTOGRAPH_CREDITS: _Credits = {
    "caltech101": ("Caltech 101", "https://data.caltech.edu/records/mzrjq-6wc02", "CC-BY-4.0"),
    "cifar10": ("CIFAR-10", "https://www.cs.toronto.edu/~kriz/cifar.html", "none stated by its authors"),
    "clothing": (
        "alexeygrigorev/clothing-dataset-small",
        "https://github.com/alexeygrigorev/clothing-dataset-small",
        "CC0-1.0",
    ),
    "grocery": (
        "marcusklasson/GroceryStoreDataset",
        "https://github.com/marcusklasson/GroceryStoreDataset",
        "MIT",
    ),
}
RECORDING_CREDITS: _Credits = {
    "speech_commands_test": ("Speech Commands", "https://arxiv.org/abs/1804.03209", "CC-BY-4.0"),
    "speech_commands_30words": ("Speech Commands", "https://arxiv.org/abs/1804.03209", "CC-BY-4.0"),
    "ljtext_reader_pm": (
        "the reader of PhilippMatthes/dc_tts",
        "https://github.com/PhilippMatthes/dc_tts",
        "Apache-2.0",
    ),
}


def dataset_card(counts: Mapping[str, int], *, seed: int, things: int, side: int, icons: Path) -> str:
    """The text of `README.md`.

    Args:
        counts: rows by file; photographs and recordings are credited where there are rows of them.
        seed: of the build.
        things: how many the world holds.
        side: of a drawn picture, in pixels.
        icons: folder of the icon sets, whose `info.json` name author and licence.
    """
    held = {Path(name).stem for name in counts}
    return _CARD.format(
        things=things,
        seed=seed,
        side=side,
        files="\n".join(f"| `{name}` | {rows:,} | {_ROWS[Path(name).stem]} |" for name, rows in sorted(counts.items())),
        sets="\n".join(_credit(icons / style / "info.json", style, use) for styles, use in _USES for style in styles),
        photographs=_credits("Photographs", PHOTOGRAPH_CREDITS) if "photographs" in held else "",
        recordings=_credits("Recordings of people", RECORDING_CREDITS) if "recordings" in held else "",
    )


def _credit(info: Path, style: str, use: str) -> str:
    """A row of the table; `unknown` where a package says nothing about itself."""
    content = json.loads(info.read_text(encoding="utf-8")) if info.is_file() else {}
    author, licence = content.get("author", {}), content.get("license", {})
    return (
        f"| {style} | [{author.get('name', 'unknown')}]({author.get('url', '')}) "
        f"| [{licence.get('title', 'unknown')}]({licence.get('url', '')}) | {use} |"
    )


def _credits(heading: str, credits: _Credits) -> str:
    """A section with a table of sets."""
    rows = "\n".join(f"| {name} | [{title}]({url}) | {licence} |" for name, (title, url, licence) in credits.items())
    return f"\n## {heading}\n\n| set | source | licence |\n|---|---|---|\n{rows}\n"
