"""One item of a dataset at a time: a picture, an album, a typed or a spoken dialogue, with its files and rows.

An item is made from a random generator of its own, seeded by its job, so that a dataset comes out the same
whatever the number of processes that make it and whatever else it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import soundfile
from PIL import Image

from mmchat.world import dialogues
from mmchat.world.concepts import Thing
from mmchat.world.drawings import RESERVED_STYLES, SKETCH_STYLES, TRAIN_STYLES, Drawings
from mmchat.world.photographs import Photographs
from mmchat.world.phrasing import Split
from mmchat.world.recordings import Recordings
from mmchat.world.rendering import draw
from mmchat.world.rows import Row, caption_row, dialogue_row, in_writing, regions_value
from mmchat.world.scenes import Layout, Scene, photograph, sample_crowd, sample_scene
from mmchat.world.sounds import SOUNDS, make_sound
from mmchat.world.speech import SPEECH_RATE, Waveform, perturb, resampled, speak
from mmchat.world.talk import Dialogue
from mmchat.world.voices import Voice, draw_voice

ItemKind = Literal[
    "picture",
    "reserved",
    "region",
    "region_reserved",
    "photo",
    "album",
    "series",
    "quiz",
    "told",
    "shift",
    "text",
    "spoken",
    "dictation",
    "recording",
    "document",
]

PICTURE_QUALITY = 88
_SHARDS = 100
_SECOND_DIALOGUE_SHARE = 0.5
_SKETCHED_SHARE = 0.5  # of pictures in training: those in which sets for interfaces may draw as well
_SPOKEN_SHARES: Mapping[Split, Mapping[str, float]] = {
    # In text are most kinds and names to be heard.
    "train": {"picture": 0.2, "text": 0.45, "shift": 0.07, "echo": 0.2, "sound": 0.08},
    "test": {"picture": 0.33, "text": 0.25, "echo": 0.34, "sound": 0.08},
}
_CLEAN_SHARE = 0.15  # clips as the program speaks them; the rest get a room, a level and noise
_RATES = {16_000: 0.8, 8_000: 0.08, 22_050: 0.04, 44_100: 0.04, 48_000: 0.04}  # Hz, of the files


@dataclass(frozen=True)
class Job:
    """Which item to make."""

    kind: ItemKind
    split: Split
    index: int

    def rng(self, seed: int) -> Random:
        """The generator of this item alone."""
        return Random(f"{seed}-{self.split}-{self.kind}-{self.index}")


@dataclass(frozen=True)
class Sources:
    """What items are made from; photographs, recordings and Kokoro's styles of voices only where some are wanted."""

    things: Sequence[Thing]
    drawings: Drawings
    photographs: Photographs | None = None
    recordings: Recordings | None = None
    styles: Path | None = None


class Maker:
    """Makes items into a dataset folder."""

    def __init__(self, folder: Path, seed: int, sources: Sources) -> None:
        self._folder = folder
        self._seed = seed
        self._things = sources.things
        self._sources = sources

    def make(self, job: Job) -> list[Row]:
        """Write the media of an item and return its rows.

        Raises:
            DatasetError: nothing can be drawn in the styles wanted, or a speech program is missing.
        """
        rng = job.rng(self._seed)
        match job.kind:
            case "picture":
                return self._picture(job, _styles(job.split, rng), "", rng)
            case "reserved":
                return self._picture(job, RESERVED_STYLES, "_reserved", rng)
            case "region":
                return self._crowd(job, _styles(job.split, rng), "", rng)
            case "region_reserved":
                return self._crowd(job, RESERVED_STYLES, "_reserved", rng)
            case "photo":
                return self._photo(job, rng)
            case "album":
                return self._album(job, rng)
            case "series":
                return self._series(job, rng)
            case "quiz":
                return self._quiz(job, rng)
            case "told":
                return self._told(job, rng)
            case "shift":
                return self._shift(job, rng)
            case "text":
                return [dialogue_row(job.split, dialogues.text_dialogue(self._things, rng, job.split), rng)]
            case "spoken":
                return self._spoken(job, rng)
            case "dictation":
                return self._dictation(job, rng)
            case "recording":
                return self._recording(job, rng)
            case "document":
                texts = dialogues.documents(self._things, rng)
                return [Row(job.split, "texts.jsonl", {"text": text}) for text in texts]

    def _picture(self, job: Job, styles: Sequence[str], suffix: str, rng: Random) -> list[Row]:
        scene = sample_scene(self._things, self._sources.drawings, styles, rng)
        image = self._save_scene(job, scene, rng)
        rows = [caption_row(job.split, f"captions{suffix}.jsonl", image, scene, rng)]
        for _ in range(1 + (rng.random() < _SECOND_DIALOGUE_SHARE)):
            dialogue = dialogues.picture_dialogue(scene, self._things, rng, job.split)
            rows.append(dialogue_row(job.split, dialogue, rng, {0: image}, [scene], file=f"dialogues{suffix}.jsonl"))
        return rows

    def _crowd(self, job: Job, styles: Sequence[str], suffix: str, rng: Random) -> list[Row]:
        """A picture for its names and their places alone."""
        scene = sample_crowd(self._things, self._sources.drawings, styles, rng)
        image = self._save(job, draw(scene, self._sources.drawings, rng, bold=job.split == "train"))
        return [Row(job.split, f"regions{suffix}.jsonl", regions_value(image, scene))]

    def _photo(self, job: Job, rng: Random) -> list[Row]:
        assert self._sources.photographs is not None, "photographs were asked for, and none are there"
        thing, picture = self._sources.photographs.sample(job.split, rng)
        scene, image = photograph(thing), self._save(job, picture)
        dialogue = dialogues.picture_dialogue(scene, self._things, rng, job.split)
        return [
            Row(job.split, "regions.jsonl", regions_value(image, scene)),
            caption_row(job.split, "captions.jsonl", image, scene, rng),
            dialogue_row(job.split, dialogue, rng, {0: image}, [scene], file="photographs.jsonl"),
        ]

    def _album(self, job: Job, rng: Random) -> list[Row]:
        """A dialogue about two pictures."""
        drawings = self._sources.drawings
        first = sample_scene(self._things, drawings, TRAIN_STYLES, rng, "one")
        things = [first.placed[0].thing] if dialogues.wants_alike(rng) else self._things
        scenes = [first, sample_scene(things, drawings, TRAIN_STYLES, rng, "one")]
        pictures = [draw(scene, drawings, rng) for scene in scenes]
        return self._shown(job, scenes, pictures, dialogues.album_dialogue(scenes, self._things, rng, job.split), rng)

    def _series(self, job: Job, rng: Random) -> list[Row]:
        """A dialogue about one of several pictures."""
        drawings = self._sources.drawings
        layouts: tuple[Layout | None, ...] = ("one", "one", None)
        scenes = [sample_scene(self._things, drawings, TRAIN_STYLES, rng, layout) for layout in layouts]
        pictures = [draw(scene, drawings, rng) for scene in scenes]
        return self._shown(job, scenes, pictures, dialogues.series_dialogue(scenes, self._things, rng, job.split), rng)

    def _quiz(self, job: Job, rng: Random) -> list[Row]:
        """Many questions about one picture."""
        layout = dialogues.quiz_layout(rng)
        scene = sample_scene(self._things, self._sources.drawings, _styles(job.split, rng), rng, layout)
        image = self._save_scene(job, scene, rng)
        dialogue = dialogues.quiz_dialogue(scene, self._things, rng, job.split)
        return [dialogue_row(job.split, dialogue, rng, {0: image}, [scene], file="quizzes.jsonl")]

    def _told(self, job: Job, rng: Random) -> list[Row]:
        """Questions about a scene in words."""
        layout = dialogues.told_layout(rng)
        scene = sample_scene(self._things, self._sources.drawings, TRAIN_STYLES, rng, layout)
        dialogue = dialogues.told_dialogue(scene, self._things, rng, job.split)
        return [dialogue_row(job.split, dialogue, rng, file="told.jsonl")]

    def _shift(self, job: Job, rng: Random) -> list[Row]:
        """A dialogue that changes its subject, with the pictures that it shows."""
        scenes = self._two_scenes(job, rng)
        dialogue = dialogues.shift_dialogue(scenes, self._things, rng, job.split)
        images = self._save_shown(job, dialogue, scenes, rng)
        shown = [scenes[number] for number in images]
        return [dialogue_row(job.split, dialogue, rng, images, shown, file="shifts.jsonl")]

    def _two_scenes(self, job: Job, rng: Random) -> list[Scene]:
        styles = _styles(job.split, rng)
        return [sample_scene(self._things, self._sources.drawings, styles, rng) for _ in range(2)]

    def _save_shown(self, job: Job, dialogue: Dialogue, scenes: Sequence[Scene], rng: Random) -> dict[int, str]:
        """The files of the pictures that a dialogue shows, by their number."""
        shown = sorted({number for turn in dialogue.turns for number in turn.pictures})
        return {number: self._save(job, draw(scenes[number], self._sources.drawings, rng), number) for number in shown}

    def _shown(
        self, job: Job, scenes: Sequence[Scene], pictures: Sequence[Image.Image], dialogue: Dialogue, rng: Random
    ) -> list[Row]:
        """The row of a dialogue that shows some of these scenes."""
        shown = {number for turn in dialogue.turns for number in turn.pictures}
        images = {number: self._save(job, pictures[number], number) for number in sorted(shown)}
        return [dialogue_row(job.split, dialogue, rng, images, [scenes[number] for number in images])]

    def _spoken(self, job: Job, rng: Random) -> list[Row]:
        """A dialogue whose last question is a clip instead of text, and the transcript of each clip, if only empty."""
        shares = _SPOKEN_SHARES[job.split]
        source = rng.choices(list(shares), weights=list(shares.values()))[0]
        images: dict[int, str] = {}
        scenes: list[Scene] = []
        if source == "picture":
            scenes = [sample_scene(self._things, self._sources.drawings, TRAIN_STYLES, rng)]
            dialogue = _speakable(lambda: dialogues.picture_dialogue(scenes[0], self._things, rng, job.split))
            images = {0: self._save_scene(job, scenes[0], rng)}
        elif source == "text":
            dialogue = _speakable(lambda: dialogues.text_dialogue(self._things, rng, job.split))
        elif source == "shift":
            both = self._two_scenes(job, rng)
            dialogue = _speakable(lambda: dialogues.shift_dialogue(both, self._things, rng, job.split))
            images = self._save_shown(job, dialogue, both, rng)
            scenes = [both[number] for number in images]
        elif source == "echo":
            dialogue = dialogues.echo_dialogue(self._things, rng, job.split)
        else:
            dialogue = dialogues.sound_dialogue(rng.choice(SOUNDS), rng, job.split)
        voice = draw_voice(job.split, rng)
        last = max(position for position, turn in enumerate(dialogue.turns) if turn.role == "user")
        clips = {
            position: self._clip(job, position, dialogue, voice, rng)
            for position, turn in enumerate(dialogue.turns)
            if position == last or turn.typed
        }
        transcripts = [
            {"audio": clip, "text": dialogue.turns[position].spoken, "voice": str(voice)}
            for position, clip in clips.items()
            if dialogue.turns[position].spoken
        ]
        wordless = [{"audio": clip, "text": ""} for position, clip in clips.items() if dialogue.turns[position].sound]
        rows = [Row(job.split, "transcripts.jsonl", transcript) for transcript in (*transcripts, *wordless)]
        rows.append(dialogue_row(job.split, dialogue, rng, images, scenes, clips))
        if job.split == "train" and source != "echo":
            rows += [self._echo(job, each["audio"], each["text"], rng, "echoes.jsonl") for each in transcripts]
        return rows

    def _dictation(self, job: Job, rng: Random) -> list[Row]:
        """What a voice said that is no question, to be written."""
        text, voice = dialogues.dictation(self._things, rng, job.split), draw_voice(job.split, rng)
        rows = self._heard(job, self._speech(job, 0, text, voice, rng), text, str(voice), rng)
        return [*rows, self._jumble(job, rng)] if job.split == "train" else rows

    def _recording(self, job: Job, rng: Random) -> list[Row]:
        """What a person said, to be written."""
        assert self._sources.recordings is not None, "recordings were asked for, and none are there"
        text, waveform, rate = self._sources.recordings.sample(job.split, rng)
        clip = self._save_clip(job, 0, waveform, rate, rng)
        return self._heard(job, clip, text, "person", rng)

    def _heard(self, job: Job, clip: str, text: str, voice: str, rng: Random) -> list[Row]:
        """A clip for its words alone; in training the words in writing as well, since to copy is learnt by copying."""
        transcript = Row(job.split, "transcripts.jsonl", {"audio": clip, "text": text, "voice": voice})
        echo = self._echo(job, clip, text, rng, f"{job.kind}s.jsonl")
        return [transcript, echo, in_writing(echo, text)] if job.split == "train" else [transcript, echo]

    def _jumble(self, job: Job, rng: Random) -> Row:
        """Words in no order, in writing, to be written again."""
        text = dialogues.jumble(self._things, rng)
        return in_writing(self._echo(job, "", text, rng, "repeats.jsonl"), text)

    def _echo(self, job: Job, clip: str, text: str, rng: Random, file: str) -> Row:
        """The wish to have written what a clip says."""
        return dialogue_row(job.split, dialogues.echo_of(text, rng, job.split), rng, clips={0: clip}, file=file)

    def _save_scene(self, job: Job, scene: Scene, rng: Random) -> str:
        return self._save(job, draw(scene, self._sources.drawings, rng))

    def _save(self, job: Job, picture: Image.Image, number: int = 0) -> str:
        name = f"images/{job.index % _SHARDS:02d}/{job.kind}-{job.index:06d}-{number}.webp"
        picture.save(self._prepare(job.split, name), "WEBP", quality=PICTURE_QUALITY, method=2)
        return name

    def _clip(self, job: Job, position: int, dialogue: Dialogue, voice: Voice, rng: Random) -> str:
        """The clip of a turn: its words in a voice, or a sound."""
        turn = dialogue.turns[position]
        if turn.sound is None:
            return self._speech(job, position, turn.spoken, voice, rng)
        sound = np.random.default_rng(rng.getrandbits(64))
        return self._save_clip(job, position, make_sound(turn.sound, sound), SPEECH_RATE, rng)

    def _speech(self, job: Job, position: int, text: str, voice: Voice, rng: Random) -> str:
        sound = np.random.default_rng(rng.getrandbits(64))
        waveform, rate = speak(text, voice, sound, self._sources.styles)
        if rng.random() >= _CLEAN_SHARE:
            waveform = perturb(waveform, rate, sound)
        return self._save_clip(job, position, waveform, rate, rng)

    def _save_clip(self, job: Job, position: int, waveform: Waveform, rate: int, rng: Random) -> str:
        """A FLAC file of one of the usual rates."""
        name = f"audio/{job.index % _SHARDS:02d}/{job.kind}-{job.index:06d}-{position}.flac"
        wanted = rng.choices(list(_RATES), weights=list(_RATES.values()))[0]
        soundfile.write(
            self._prepare(job.split, name), resampled(waveform, rate, wanted), wanted, format="FLAC", subtype="PCM_16"
        )
        return name

    def _prepare(self, split: Split, name: str) -> Path:
        path = self._folder / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _styles(split: Split, rng: Random) -> tuple[str, ...]:
    """The sets that may draw a picture; those for interfaces are for training alone."""
    if split == "train" and rng.random() < _SKETCHED_SHARE:
        return (*TRAIN_STYLES, *SKETCH_STYLES)
    return TRAIN_STYLES


def _speakable(make: Callable[[], Dialogue]) -> Dialogue:
    """The first dialogue that may be spoken; most may."""
    while not (dialogue := make()).speakable:
        pass
    return dialogue
