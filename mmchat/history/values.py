"""Messages and replies as JSON and blobs, and back."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import soundfile
from PIL import Image

from mmchat.generation.reply import MediaReceipt, Reply, Timing, Usage
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Part, TextPart


def part_to_json(part: Part) -> dict[str, Any]:
    """A part of a message; a picture or clip by its content, which is kept as `encoded` has it."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image", "digest": part.digest, "name": part.name, "note": part.note}
        case AudioPart():
            return {"type": "audio", "digest": part.digest, "name": part.name, "note": part.note}


def decoded(value: dict[str, Any], data: bytes) -> ImagePart | AudioPart:
    """The picture or clip of a `part_to_json`, from what `encoded` made of it."""
    if value["type"] == "image":
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return ImagePart(image, value["name"], value["note"])
    return AudioPart(soundfile.read(io.BytesIO(data), dtype="float32")[0], value["name"], value["note"])


def encoded(part: ImagePart | AudioPart) -> bytes:
    """A PNG or WAV file with the same pixels or samples, to the bit, and nothing else."""
    file = io.BytesIO()
    if isinstance(part, ImagePart):
        Image.frombytes("RGB", part.image.size, part.image.tobytes()).save(file, "PNG", compress_level=3)
    else:
        soundfile.write(file, part.waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def reply_to_json(reply: Reply) -> dict[str, Any]:
    """A reply without its text, which is that of its message."""
    return {name: value for name, value in asdict(reply).items() if name != "text"}


def reply_from_json(value: dict[str, Any], text: str) -> Reply:
    """The reply of a `reply_to_json`."""
    given = {"media": tuple(MediaReceipt(**each) for each in value["media"])}
    return Reply(
        **{**value, **given, "usage": Usage(**value["usage"]), "timing": Timing(**value["timing"]), "text": text}
    )
