"""What a command and the warm server of the same person say to each other, over a socket that nobody else can open.

JSON in UTF-8, a message at a time; behind a question come the pixels and samples of its media, as bytes, in order:

    → {"place": {…}}                                                       do you answer as this command would?
    ← {"name": "…"} or {"name": null}
    → {"place": {…}, "messages": […], "n": …, "system": …, "options": {…}}   then the media
    ← {"piece": "…"} …                                                     n null: one answer, in pieces
    ← {"replies": [{…}, …]}  or  {"error": "OptionError", "text": "…"}

It is private to one release of mmchat: the place names it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmchat import __version__, errors
from mmchat.checkpoints.bundled import BUNDLED, bundled_folder
from mmchat.errors import FailureError, MmchatError, UserError
from mmchat.generation.reply import MediaReceipt, Reply, Timing, Usage
from mmchat.inputs.audio import MAX_SECONDS, SAMPLE_RATE, AudioPart
from mmchat.inputs.image import MAX_PIXELS, ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

_MOST_TEXT = 64 * 2**20
_MOST_MEDIA = max(3 * MAX_PIXELS, round(4 * MAX_SECONDS * SAMPLE_RATE))
_LONGEST_ADDRESS = 100  # bytes; the system's limit is a little above


def socket_path() -> Path:
    """Where the warm server of this person listens: in a folder of their own, which is made where it is not there.

    Raises:
        UserError: somebody else could open the folder, or its path is too long for a socket.
    """
    given = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(given) / "mmchat" if given else Path(tempfile.gettempdir()) / f"mmchat-{os.getuid()}"
    path = folder / "server.sock"
    if len(os.fsencode(path)) > _LONGEST_ADDRESS:
        raise UserError(f"{path} is too long for a socket: set XDG_RUNTIME_DIR to a shorter folder")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{folder}: cannot be used for the server's socket: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(f"{folder} must be a folder that is yours alone: chmod 700 {folder}, or remove it")
    return path


def has_sockets() -> bool:
    """Whether this system has sockets that are files."""
    return sys.platform != "win32"


def place_of(
    model: str | Path | None, device: str, dtype: str, quantize: str | None, transcriber: str | None
) -> dict[str, Any]:
    """What has to be the same for a server to answer as a command would by itself; arguments as for `Assistant.load`.

    A folder counts as another once one of its files was written again.
    """
    folder = bundled_folder() if model is None or str(model) == BUNDLED else Path(model).expanduser()
    written = max((path.stat().st_mtime_ns for path in folder.iterdir()), default=0) if folder.is_dir() else None
    return {
        "version": __version__,
        "model": str(model) if written is None else str(folder.resolve()),
        "written": written,
        "device": device,
        "dtype": dtype,
        "quantize": quantize,
        "transcriber": transcriber,
    }


def send(connection: Connection, value: dict[str, Any], media: Sequence[ImagePart | AudioPart] = ()) -> None:
    """Send one message, and the media that it names.

    Raises:
        OSError: the other side has gone.
    """
    connection.send_bytes(json.dumps(value).encode())
    for part in media:
        data = part.image.tobytes() if isinstance(part, ImagePart) else part.waveform.tobytes()
        connection.send_bytes(data)


def receive(connection: Connection) -> dict[str, Any]:
    """The next message.

    Raises:
        EOFError, OSError: the other side has gone.
    """
    value: dict[str, Any] = json.loads(connection.recv_bytes(_MOST_TEXT))
    return value


def messages_to_wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """All but the pixels and samples."""
    return [
        {"role": message.role, "content": [_part_to_wire(part) for part in message.content]} for message in messages
    ]


def messages_from_wire(values: Sequence[dict[str, Any]], connection: Connection) -> list[Message]:
    """The messages, with the media that stand behind them."""
    return [
        Message(value["role"], tuple(_part_from_wire(part, connection) for part in value["content"]))
        for value in values
    ]


def media_of(messages: Sequence[Message]) -> Iterator[ImagePart | AudioPart]:
    """All pictures and clips, in order."""
    return (part for message in messages for part in message.media)


def reply_to_wire(reply: Reply) -> dict[str, Any]:
    """A whole answer."""
    return asdict(reply)


def reply_from_wire(value: dict[str, Any]) -> Reply:
    """The whole answer again."""
    return Reply(
        **{
            **value,
            "media": tuple(MediaReceipt(**receipt) for receipt in value["media"]),
            "usage": Usage(**value["usage"]),
            "timing": Timing(**value["timing"]),
        }
    )


def error_to_wire(error: Exception) -> dict[str, Any]:
    """What is told of an error; of one that nobody foresaw, where to look."""
    if isinstance(error, MmchatError):
        return {"error": type(error).__name__, "text": str(error)}
    return {"error": FailureError.__name__, "text": "something went wrong in the server: it says what"}


def error_from_wire(value: dict[str, Any]) -> MmchatError:
    """The error again, of the same class."""
    kind = getattr(errors, value["error"])
    error = kind(value["text"])
    assert isinstance(error, MmchatError)
    return error


def _part_to_wire(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image", "name": part.name, "note": part.note, "size": part.image.size}
        case AudioPart():
            return {"type": "audio", "name": part.name, "note": part.note}


def _part_from_wire(value: dict[str, Any], connection: Connection) -> Part:
    if value["type"] == "text":
        return TextPart(value["text"])
    data = connection.recv_bytes(_MOST_MEDIA)
    if value["type"] == "image":
        return ImagePart(Image.frombytes("RGB", tuple(value["size"]), data), value["name"], value["note"])
    return AudioPart(np.frombuffer(data, np.float32).copy(), value["name"], value["note"])
