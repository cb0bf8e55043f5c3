"""Build the dataset of the world: scenes, speech and dialogues in ordinary folders.

    OUT/README.md                             what it holds, the seed, licences
    OUT/<split>/regions.jsonl                 {"image": …, "regions": [{"name": …, "box": [left, top, right, bottom]}]}
    OUT/<split>/captions.jsonl                {"image": …, "text": …, "things": […]}
    OUT/<split>/dialogues.jsonl               {"messages": […], "kind": …, "accept": […]}
    OUT/<split>/quizzes.jsonl                 dialogues of many questions about one picture, or of one about all in it
    OUT/<split>/told.jsonl                    dialogues about a picture in words instead of one
    OUT/<split>/shifts.jsonl                  dialogues that change their subject
    OUT/<split>/transcripts.jsonl             {"audio": …, "text": …, "voice": …}
    OUT/<split>/texts.jsonl                   {"text": …}
    OUT/<split>/photographs.jsonl             dialogues about photographs
    OUT/<split>/dictations.jsonl              dialogues about what a voice said that is no question
    OUT/<split>/recordings.jsonl              dialogues about what people said
    OUT/train/echoes.jsonl                    the clips of dialogues once more, to be written down
    OUT/train/repeats.jsonl                   words of dictations and recordings, and jumbles, written to be repeated
    OUT/test/{regions,captions,dialogues}_reserved.jsonl   pictures in styles that training never sees
    OUT/<split>/images/NN/*.webp, OUT/<split>/audio/NN/*.flac

Paths in a row are relative to its split folder. Training and test share no scene, question wording or voice.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO

from mmchat.errors import DatasetError
from mmchat.world.card import dataset_card
from mmchat.world.concepts import Thing, load_things
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES, Drawings, default_cache, load_drawings
from mmchat.world.items import ItemKind, Job, Maker, Sources
from mmchat.world.photographs import Photographs
from mmchat.world.recordings import Recordings
from mmchat.world.rendering import PICTURE_SIDE
from mmchat.world.rows import Row
from mmchat.world.sketches import names_in_sketches

Progress = Callable[[str, int, int], None]
"""Called with what is being made, how many are done, and how many there will be."""

Counts = dict[str, int]
"""Rows by file, such as `train/captions.jsonl`."""

TEST_SHARE = 10  # the test split is a tenth of the training split
_JOBS_A_CHUNK = 16


@dataclass(frozen=True)
class Sizes:
    """How many items of each kind the training split has."""

    pictures: int = 0
    """Drawn pictures, each with a caption and one or two dialogues."""
    regions: int = 0
    """Drawn pictures of several things, for the names and places of these alone."""
    photos: int = 0
    """Photographs, each thing as often as any other, with a caption, a region and a dialogue."""
    albums: int = 0
    """Dialogues about two pictures."""
    series: int = 0
    """Dialogues in which one of several pictures is meant: the first, the second, or that of the latest message."""
    quizzes: int = 0
    """Dialogues of many questions about one picture, each answered in a word or two, or of one about all in it."""
    told: int = 0
    """Dialogues about a picture that is put into words instead of being shown."""
    shifts: int = 0
    """Dialogues that change their subject, some of them with one or two pictures."""
    spoken: int = 0
    """Dialogues with a spoken question, or with a clip in which nobody speaks."""
    dictations: int = 0
    """Clips of anything but questions, to be written down."""
    recordings: int = 0
    """Clips of people, to be written down."""
    texts: int = 0
    """Dialogues without media."""

    def by_kind(self) -> dict[ItemKind, int]:
        """The sizes by the kind of item."""
        return {
            **{"picture": self.pictures, "region": self.regions, "photo": self.photos, "album": self.albums},
            **{"series": self.series, "quiz": self.quizzes, "told": self.told, "shift": self.shifts},
            **{"text": self.texts, "spoken": self.spoken},
            **{"dictation": self.dictations, "recording": self.recordings},
        }


@dataclass(frozen=True)
class _Recipe:
    """All that a worker process needs to make items."""

    folder: Path
    icons: Path
    cache: Path
    seed: int
    things: tuple[Thing, ...]
    photographs: Path | None
    recordings: Path | None

    @property
    def styles(self) -> Path:
        """Kokoro's voices, which npm puts beside the icon sets."""
        return self.icons.parent / "kokoro-js" / "voices"

    def maker(self) -> Maker:
        drawings = self.drawings((*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES))
        photographs = None if self.photographs is None else Photographs(self.photographs, self.things)
        recordings = None if self.recordings is None else Recordings(self.recordings)
        return Maker(self.folder, self.seed, Sources(self.things, drawings, photographs, recordings, self.styles))

    def drawings(self, styles: Sequence[str]) -> Drawings:
        names = (icon for thing in self.things for icon in thing.icons)
        return load_drawings(self.icons, names, styles, self.cache, names_in_sketches(self.things))


def build_world(
    out: Path,
    *,
    icons: Path,
    seed: int,
    sizes: Sizes,
    photographs: Path | None = None,
    recordings: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    things: Sequence[Thing] | None = None,
    cache: Path | None = None,
) -> Counts:
    """Write the dataset folder `out`, which appears whole or not at all.

    Args:
        out: a folder that does not exist yet, or is empty.
        icons: folder of the icon sets, `node_modules/@iconify-json` after `npm install`; what is spoken needs kokoro-js
            beside it.
        seed: the same seed, sizes and things give the same dataset, whatever the number of workers.
        sizes: how much of each; the test split has a tenth of it.
        photographs: zip of labelled photographs (see `mmchat.world.photographs`), needed where some are wanted.
        recordings: zip of transcribed clips (see `mmchat.world.recordings`), needed where some are wanted.
        workers: processes; 1 works in this one.
        progress: told after every item.
        things: the world; all of `load_things()` if not given.
        cache: where rasters of icons are kept; `default_cache()` if not given.

    Returns:
        The number of rows of each file.

    Raises:
        DatasetError: `out` is in use, a size is negative, a thing has no drawing, or an icon set, the photographs, a
            program or a voice is missing.
        ConfigError: the things or their wordings cannot be read.
    """
    _check_sizes(sizes, workers)
    if sizes.photos and photographs is None:
        raise DatasetError("rows about photographs need --photographs FILE, a zip of labelled photographs")
    if sizes.recordings and recordings is None:
        raise DatasetError("rows about recordings need --voices FILE, a zip of transcribed clips")
    report = _unheard if progress is None else progress
    with _appearing(out) as folder:
        recipe = _Recipe(
            folder=folder,
            icons=icons,
            cache=default_cache() if cache is None else cache,
            seed=seed,
            things=load_things() if things is None else tuple(things),
            photographs=photographs,
            recordings=recordings,
        )
        _check_drawn(recipe, report)
        counts: Counter[str] = Counter()
        jobs = _jobs(sizes, len(recipe.things))
        with ExitStack() as stack:
            files: dict[str, IO[str]] = {}
            for done, rows in enumerate(_made(recipe, jobs, workers), start=1):
                for row in rows:
                    _write(row, folder, files, stack, counts)
                report("items", done, len(jobs))
        card = dataset_card(counts, seed=seed, things=len(recipe.things), side=PICTURE_SIDE, icons=icons)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return dict(counts)


def _unheard(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


def _check_sizes(sizes: Sizes, workers: int) -> None:
    for name, size in asdict(sizes).items():
        if size < 0:
            raise DatasetError(f"{name} must be 0 or more")
    if workers < 1:
        raise DatasetError("workers must be 1 or more")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A sibling folder that becomes `out` when all went well, and goes away otherwise."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} exists already: name another folder, or remove it first")
    out = out.resolve()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_drawn(recipe: _Recipe, report: Progress) -> None:
    """Rasterise set by set, before workers read the cache, and check that training can draw every thing."""
    styles = (*TRAIN_STYLES, *SKETCH_STYLES, *RESERVED_STYLES)
    undrawn = list(recipe.things)
    for done, style in enumerate(styles, start=1):
        drawings = recipe.drawings([style])
        report("icon sets", done, len(styles))
        if style in TRAIN_STYLES:
            undrawn = [thing for thing in undrawn if not drawings.icons_in(style, thing.icons)]
    if undrawn:
        names = ", ".join(thing.name for thing in undrawn)
        raise DatasetError(f"no training set has an icon for {names}: correct the icon names of these things")


def _jobs(sizes: Sizes, things: int) -> list[Job]:
    """All items; about as many documents, one pass over the things each, as dialogues without media."""
    passes = max(1, round(sizes.texts / things))
    jobs = [Job("document", "train", index) for index in range(passes)] + [Job("document", "test", 0)]
    for kind, size in sizes.by_kind().items():
        jobs += [Job(kind, "train", index) for index in range(size)]
        jobs += [Job(kind, "test", index) for index in range(_tenth(size))]
    reserved: dict[ItemKind, int] = {"reserved": sizes.pictures, "region_reserved": sizes.regions}
    return jobs + [Job(kind, "test", index) for kind, size in reserved.items() for index in range(_tenth(size))]


def _tenth(size: int) -> int:
    return -(-size // TEST_SHARE)


def _made(recipe: _Recipe, jobs: Sequence[Job], workers: int) -> Iterable[list[Row]]:
    """The rows of each job, in the order of the jobs."""
    if workers == 1:
        yield from map(recipe.maker().make, jobs)
        return
    # Spawned, not forked: a fork of a process with threads (a progress bar, torch) may hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (recipe,)) as pool:
        yield from pool.map(_make_in_worker, jobs, chunksize=_JOBS_A_CHUNK)


_worker_maker: Maker | None = None


def _start_worker(recipe: _Recipe) -> None:
    global _worker_maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    _worker_maker = recipe.maker()


def _make_in_worker(job: Job) -> list[Row]:
    assert _worker_maker is not None, "the pool starts its workers with _start_worker"
    return _worker_maker.make(job)


def _write(row: Row, folder: Path, files: dict[str, IO[str]], stack: ExitStack, counts: Counter[str]) -> None:
    name = f"{row.split}/{row.file}"
    if name not in files:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        files[name] = stack.enter_context(path.open("w", encoding="utf-8"))
    files[name].write(json.dumps(row.value, ensure_ascii=False) + "\n")
    counts[name] += 1
