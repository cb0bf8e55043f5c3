"""Rows of a dataset: what is written down of a scene or a dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mmchat.world.dialogues import caption
from mmchat.world.phrasing import Split
from mmchat.world.scenes import Scene
from mmchat.world.talk import Dialogue

_MEDIA_FIRST_SHARE = 0.7


@dataclass(frozen=True)
class Row:
    """A line of `<split>/<file>`."""

    split: Split
    file: str
    value: dict[str, Any]


def regions_value(image: str, scene: Scene) -> dict[str, Any]:
    """Where each thing of a picture stands: left, top, right and bottom as shares of the side."""
    boxes = [{"name": p.thing.name, "box": [round(edge, 3) for edge in p.box]} for p in scene.placed]
    return {"image": image, "regions": boxes, **_style([scene])}


def caption_row(split: Split, file: str, image: str, scene: Scene, rng: Random) -> Row:
    """What a picture shows in a few words, and the names of its things."""
    names = list(dict.fromkeys(placed.thing.name for placed in scene.placed))
    value = {"image": image, "text": caption(scene, rng), "things": names, **_style([scene])}
    return Row(split, file, value)


def dialogue_row(
    split: Split,
    dialogue: Dialogue,
    rng: Random,
    images: Mapping[int, str] | None = None,
    scenes: Sequence[Scene] = (),
    clips: Mapping[int, str] | None = None,
    file: str = "dialogues.jsonl",
) -> Row:
    """A dialogue as a row: a turn that has a clip keeps only its typed text, beside the clip.

    Args:
        images: files of the pictures by their number in the dialogue.
        scenes: what these show.
        clips: files of the clips by the position of their turn.
    """
    images, clips = images or {}, clips or {}
    messages = []
    for position, turn in enumerate(dialogue.turns):
        parts: list[dict[str, str]] = [{"type": "image", "image": images[number]} for number in turn.pictures]
        if position in clips:
            parts.append({"type": "audio", "audio": clips[position]})
        text = turn.typed if position in clips else turn.text
        words = [{"type": "text", "text": text}] if text else []
        parts = parts + words if rng.random() < _MEDIA_FIRST_SHARE else words + parts
        messages.append({"role": turn.role, "content": parts})
    value: dict[str, Any] = {"messages": messages, "kind": dialogue.kind, "accept": list(dialogue.accept)}
    spoken = [dialogue.turns[position].spoken for position in sorted(clips)]
    if any(spoken):
        value["transcripts"] = spoken
    return Row(split, file, {**value, **_style(scenes)})


def in_writing(echo: Row, text: str) -> Row:
    """The wish to have words written, with the words themselves where their clip was."""
    asked, reply = echo.value["messages"]
    words = [text if part["type"] == "audio" else part["text"] for part in asked["content"]]
    question = {**asked, "content": [{"type": "text", "text": " ".join(words)}]}
    return Row(
        echo.split, "repeats.jsonl", {"messages": [question, reply], "kind": "repeat", "accept": echo.value["accept"]}
    )


def _style(scenes: Sequence[Scene]) -> dict[str, str]:
    """The style of what is seen, where all of it is of one."""
    styles = {placed.style for scene in scenes for placed in scene.placed}
    return {"style": styles.pop()} if len(styles) == 1 else {}
