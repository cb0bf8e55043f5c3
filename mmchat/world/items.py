"""One item of a dataset at a time: a picture, a typed or a spoken dialogue, with its files and rows.

An item is made from a random generator of its own, seeded by its job, so that a dataset comes out the same
whatever the number of processes that make it and whatever else it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import soundfile

from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.world.concepts import Thing
from mmchat.world.dialogues import caption, documents, echo_dialogue, picture_dialogue, text_dialogue
from mmchat.world.drawings import RESERVED_STYLES, TRAIN_STYLES, Drawings
from mmchat.world.phrasing import Split
from mmchat.world.scenes import Scene, draw, sample_scene
from mmchat.world.speech import EVALUATION_VOICES, VOICES, Voice, perturb, speak
from mmchat.world.talk import Dialogue

ItemKind = Literal["picture", "reserved", "text", "spoken", "document"]

PICTURE_QUALITY = 88
_SHARDS = 100
_SECOND_DIALOGUE_SHARE = 0.5
_SPOKEN_SHARES = {"picture": 0.35, "text": 0.25, "echo": 0.4}
_CLEAN_SHARE = 0.15  # clips as the program speaks them; the rest get a room, a level and noise
_MEDIA_FIRST_SHARE = 0.7


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
class Row:
    """A line of `<split>/<file>`."""

    split: Split
    file: str
    value: dict[str, Any]


class Maker:
    """Makes items into a dataset folder."""

    def __init__(self, folder: Path, seed: int, things: Sequence[Thing], drawings: Drawings) -> None:
        self._folder = folder
        self._seed = seed
        self._things = things
        self._drawings = drawings

    def make(self, job: Job) -> list[Row]:
        """Write the media of an item and return its rows.

        Raises:
            DatasetError: nothing can be drawn in the styles wanted, or a speech program is missing.
        """
        rng = job.rng(self._seed)
        if job.kind == "picture":
            return self._picture(job, TRAIN_STYLES, "", rng)
        if job.kind == "reserved":
            return self._picture(job, RESERVED_STYLES, "_reserved", rng)
        if job.kind == "text":
            dialogue = text_dialogue(self._things, rng, job.split)
            return [Row(job.split, "dialogues.jsonl", _written(dialogue, {}, None, rng))]
        if job.kind == "spoken":
            return self._spoken(job, rng)
        return [Row(job.split, "texts.jsonl", {"text": text}) for text in documents(self._things, rng)]

    def _picture(self, job: Job, styles: Sequence[str], suffix: str, rng: Random) -> list[Row]:
        scene = sample_scene(self._things, self._drawings, styles, rng)
        image = self._save_picture(job, scene, rng)
        names = list(dict.fromkeys(placed.thing.name for placed in scene.placed))
        text = caption(scene, rng)
        rows = [Row(job.split, f"captions{suffix}.jsonl", {"image": image, "text": text, "things": names})]
        for _ in range(1 + (rng.random() < _SECOND_DIALOGUE_SHARE)):
            dialogue = picture_dialogue(scene, self._things, rng, job.split)
            rows.append(Row(job.split, f"dialogues{suffix}.jsonl", _written(dialogue, {}, image, rng)))
        return rows

    def _spoken(self, job: Job, rng: Random) -> list[Row]:
        """A dialogue whose last question is a clip instead of text, and the transcript of each clip."""
        source = rng.choices(list(_SPOKEN_SHARES), weights=list(_SPOKEN_SHARES.values()))[0]
        image = None
        if source == "picture":
            scene = sample_scene(self._things, self._drawings, TRAIN_STYLES, rng)
            dialogue = _speakable(lambda: picture_dialogue(scene, self._things, rng, job.split))
            image = self._save_picture(job, scene, rng)
        elif source == "text":
            dialogue = _speakable(lambda: text_dialogue(self._things, rng, job.split))
        else:
            dialogue = echo_dialogue(self._things, rng, job.split)
        voice = rng.choice(VOICES if job.split == "train" else EVALUATION_VOICES)
        last = max(position for position, turn in enumerate(dialogue.turns) if turn.role == "user")
        rows, clips = [], {}
        for position, turn in enumerate(dialogue.turns):
            if position == last or turn.typed:
                clips[position] = self._save_clip(job, position, turn.spoken, voice, rng)
                transcript = {"audio": clips[position], "text": turn.spoken, "voice": str(voice)}
                rows.append(Row(job.split, "transcripts.jsonl", transcript))
        return [*rows, Row(job.split, "dialogues.jsonl", _written(dialogue, clips, image, rng))]

    def _save_picture(self, job: Job, scene: Scene, rng: Random) -> str:
        name = f"images/{job.index % _SHARDS:02d}/{job.kind}-{job.index:06d}.webp"
        picture = draw(scene, self._drawings, rng)
        picture.save(self._prepare(job.split, name), "WEBP", quality=PICTURE_QUALITY, method=2)
        return name

    def _save_clip(self, job: Job, position: int, text: str, voice: Voice, rng: Random) -> str:
        name = f"audio/{job.index % _SHARDS:02d}/{job.kind}-{job.index:06d}-{position}.flac"
        sound = np.random.default_rng(rng.getrandbits(64))
        waveform, rate = speak(text, voice, sound)
        if rng.random() >= _CLEAN_SHARE:
            waveform = perturb(waveform, rate, sound)
        clip = AudioPart.from_waveform(waveform, rate, name)
        path = self._prepare(job.split, name)
        soundfile.write(path, clip.waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        return name

    def _prepare(self, split: Split, name: str) -> Path:
        path = self._folder / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _speakable(make: Callable[[], Dialogue]) -> Dialogue:
    """The first dialogue that may be spoken; most may."""
    while not (dialogue := make()).speakable:
        pass
    return dialogue


def _written(dialogue: Dialogue, clips: Mapping[int, str], image: str | None, rng: Random) -> dict[str, Any]:
    """A dialogue as a row: a turn that has a clip keeps only its typed text, beside the clip."""
    messages = []
    for position, turn in enumerate(dialogue.turns):
        text = turn.typed if position in clips else turn.text
        parts: list[dict[str, str]] = []
        if turn.picture:
            assert image is not None, "a turn shows a picture that was not drawn"
            parts.append({"type": "image", "image": image})
        if position in clips:
            parts.append({"type": "audio", "audio": clips[position]})
        words = [{"type": "text", "text": text}] if text else []
        parts = parts + words if rng.random() < _MEDIA_FIRST_SHARE else words + parts
        messages.append({"role": turn.role, "content": parts})
    return {"messages": messages, "kind": dialogue.kind, "accept": list(dialogue.accept)}
