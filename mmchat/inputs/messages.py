"""Messages: text, pictures and clips in the order a person gave them.

The same values in the library, the CLI, the page, the server and training data. Dict parts that are read:

    {"type": "text", "text": "…"}
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}          OpenAI
    {"type": "input_audio", "input_audio": {"data": "<base64>", "format": "wav"}}   OpenAI
    {"type": "image", "image": "images/0001.webp"}                                  dataset rows: a file path
    {"type": "audio", "audio": "audio/0001.wav"}

Paths are followed only when the caller names the folder they are relative to, so that a request from the
network can never read a file of the host.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import soundfile
from PIL import Image

from mmchat.errors import MessageError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart, load_audio
from mmchat.inputs.image import ImagePart, load_image

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class TextPart:
    """A run of text, as the person typed it."""

    text: str

    def __post_init__(self) -> None:
        """
        Raises:
            MessageError: the text holds half a character, as bytes that are not UTF-8 become on a command line.
        """
        try:
            self.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise MessageError("the text is not valid Unicode: send it as UTF-8") from error


Part: TypeAlias = TextPart | ImagePart | AudioPart
PartLike: TypeAlias = Part | str | Path | Image.Image | tuple[np.ndarray, int]
ConversationLike: TypeAlias = "PartLike | Message | dict[str, Any] | Sequence[PartLike | Message | dict[str, Any]]"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise MessageError(f"unknown role {self.role!r}: use one of {', '.join(get_args(Role))}")
        if not any(not isinstance(part, TextPart) or part.text.strip() for part in self.content):
            raise MessageError(f"the {self.role} message is empty: give it text, a picture or a clip")

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def media(self) -> tuple[ImagePart | AudioPart, ...]:
        """Pictures and clips in order."""
        return tuple(part for part in self.content if not isinstance(part, TextPart))

    @classmethod
    def user(cls, *parts: PartLike) -> Message:
        """A user turn from text, paths, PIL pictures and `(waveform, sample rate)` pairs.

        Raises:
            MessageError, ImageError, AudioError: a part cannot be used.
        """
        return cls("user", tuple(as_part(part) for part in parts))

    @classmethod
    def assistant(cls, text: str) -> Message:
        """An assistant turn; assistants speak text alone."""
        return cls("assistant", (TextPart(text),))

    @classmethod
    def system(cls, text: str) -> Message:
        """A system turn."""
        return cls("system", (TextPart(text),))

    @classmethod
    def from_dict(cls, value: dict[str, Any], base: Path | None = None) -> Message:
        """Read one message of the OpenAI chat protocol or of a dataset row.

        Args:
            value: `{"role": …, "content": str | [part, …]}`.
            base: folder that file paths are relative to; without it a path is refused.

        Raises:
            MessageError: unknown role or part, or a path where none may be used.
            ImageError, AudioError: a picture or clip cannot be read.
        """
        if not isinstance(value, dict) or "role" not in value or "content" not in value:
            raise MessageError('a message needs "role" and "content"')
        content = value["content"]
        if isinstance(content, str):
            return cls(value["role"], (TextPart(content),))
        if not isinstance(content, list):
            raise MessageError('"content" must be a string or a list of parts')
        return cls(value["role"], tuple(_part_from_dict(part, base) for part in content))

    def to_dict(self) -> dict[str, Any]:
        """The message in the OpenAI chat protocol; media as PNG and WAV in base64."""
        return {"role": self.role, "content": [_part_to_dict(part) for part in self.content]}


def as_part(value: PartLike) -> Part:
    """One part from what a program has at hand.

    A `str` is always text; a `Path` is a picture or a clip by its ending; a pair is `(waveform, rate)`.

    Raises:
        MessageError: the value is of no known kind.
        ImageError, AudioError: a picture or clip cannot be read.
    """
    if isinstance(value, TextPart | ImagePart | AudioPart):
        return value
    if isinstance(value, str):
        return TextPart(value)
    if isinstance(value, Path):
        return load_media(value)
    if isinstance(value, Image.Image):
        return ImagePart.from_pil(value)
    if isinstance(value, tuple) and len(value) == 2:
        return AudioPart.from_waveform(np.asarray(value[0]), _as_rate(value[1]))
    raise MessageError(
        f"cannot use a {type(value).__name__} in a message: give text, a path, a picture or (waveform, rate)"
    )


def as_messages(value: ConversationLike) -> list[Message]:
    """A conversation from what a program has at hand.

    One part or a sequence of parts makes one user turn; a `Message` or a dict, or a sequence of them, is the
    conversation itself.

    Raises:
        MessageError: nothing was given, or a value is of no known kind.
    """
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray):
        return [Message.user(value)]
    if isinstance(value, str | Path | Image.Image | TextPart | ImagePart | AudioPart):
        return [Message.user(value)]
    if isinstance(value, Message):
        return [value]
    if isinstance(value, dict):
        return [Message.from_dict(value)]
    if not isinstance(value, Iterable):
        raise MessageError(f"cannot use a {type(value).__name__} as a conversation: give text, parts or messages")
    items: list[Any] = list(value)
    if not items:
        raise MessageError("the conversation is empty: give a message")
    if all(isinstance(item, Message) for item in items):
        return items
    if all(isinstance(item, dict) for item in items):
        return [Message.from_dict(item) for item in items]
    return [Message.user(*items)]


_AUDIO_SUFFIXES = {".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au"}
_UNREAD_AUDIO_SUFFIXES = {".m4a", ".aac", ".wma", ".amr"}  # said to be clips that cannot be read, not bad pictures


def load_media(path: Path) -> ImagePart | AudioPart:
    """A picture or a clip, told apart by the file's ending; an ending of no audio format means a picture.

    Raises:
        ImageError, AudioError: the file cannot be read.
    """
    clip = path.suffix.lower() in _AUDIO_SUFFIXES | _UNREAD_AUDIO_SUFFIXES
    return load_audio(path) if clip else load_image(path)


def _as_rate(value: object) -> int:
    if not isinstance(value, int | float | np.integer | np.floating) or not float(value).is_integer():
        raise MessageError(f"cannot use {value!r} as a sample rate: give (waveform, rate) with a whole number")
    return int(value)


def _part_from_dict(value: Any, base: Path | None) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return TextPart(value["text"])
    if kind == "image_url" and isinstance(value.get("image_url"), dict):
        return load_image(_from_data_uri(value["image_url"].get("url", "")), name="picture")
    if kind == "input_audio" and isinstance(value.get("input_audio"), dict):
        return load_audio(_from_base64(value["input_audio"].get("data", ""), "input_audio"), name="voice")
    if kind == "image" and isinstance(value.get("image"), str):
        return load_image(_inside(base, value["image"]))
    if kind == "audio" and isinstance(value.get("audio"), str):
        return load_audio(_inside(base, value["audio"]))
    raise MessageError(f"unknown content part {kind!r}: use text, image_url, input_audio, image or audio")


def _part_to_dict(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    buffer = io.BytesIO()
    if isinstance(part, ImagePart):
        part.image.save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    soundfile.write(buffer, part.waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(buffer.getvalue()).decode(), "format": "wav"},
    }


def _inside(base: Path | None, name: str) -> Path:
    if base is None:
        raise MessageError("a file path is not accepted here: send the media itself, as a data URI or base64")
    path = (base / name).resolve()
    if not path.is_relative_to(base.resolve()):
        raise MessageError(f"{name} leaves the dataset folder")
    return path


def _from_data_uri(url: object) -> bytes:
    header, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not header.startswith("data:") or not header.endswith(";base64"):
        raise MessageError("image_url must be a data URI with base64 content; addresses are not fetched")
    return _from_base64(data, "image_url")


def _from_base64(data: object, field: str) -> bytes:
    if not isinstance(data, str):
        raise MessageError(f"{field} is not valid base64")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"{field} is not valid base64") from error
