"""Uploads lose what a camera wrote beside the pixels, before anybody else has them.

Gradio keeps an upload as it came until it is a day old. Place, time and device are nobody's business but the person's,
so a picture's file is written anew without them as soon as it is there; the pixels stay what they are, to the bit.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmchat.errors import ImageError
from mmchat.inputs.image import DECODER_ERRORS, load_image

_ORIENTATION = 0x0112
_TOLD = ("exif", "xmp", "XML:com.adobe.xmp", "photoshop", "comment", "mp")
"""Under what Pillow keeps what stands beside the pixels."""
# Markers of ITU T.81, table B.1.
_SCAN, _END = 0xDA, 0xD9
_CODED = {0x00, *range(0xD0, 0xD8)}
_DROPPED = {0xFE, *range(0xE1, 0xF0)} - {0xEE}
"""Comments, and all that applications may add, but for Adobe's, which says how colours are meant."""
_PROFILE = b"ICC_PROFILE\0"


class BareUploads:
    """Middleware of a server: the answer to an upload waits until its pictures are bare."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        if held and held[0].get("status") == 200:  # none if the browser went away
            for path in json.loads(b"".join(message.get("body", b"") for message in held)):
                await run_in_threadpool(make_bare, Path(path))
        for message in held:
            await send(message)


def make_bare(path: Path) -> None:
    """Write a picture's file anew if something stands beside its pixels.

    A file that is no picture, or a damaged one, stays: it is refused when it is sent.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if not _tells(image):
                return
            bare = _bare_jpeg(data, image) if image.format in ("JPEG", "MPO") else _bare(data, image)
    except (ImageError, Image.DecompressionBombError, *DECODER_ERRORS):
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(bare)
    partial.replace(path)


def _tells(image: Image.Image) -> bool:
    return bool(image.getexif() or getattr(image, "text", None) or any(image.info.get(key) for key in _TOLD))


def _bare(data: bytes, image: Image.Image) -> bytes:
    """Without loss, and upright; of several frames all, turned as they are, since a receipt counts them."""
    bare = io.BytesIO()
    if getattr(image, "n_frames", 1) == 1:
        load_image(data).image.save(bare, "PNG")
    else:
        image.save(bare, image.format, save_all=True, lossless=True, exif=_turned(image), xmp=b"")
    return bare.getvalue()


def _bare_jpeg(data: bytes, image: Image.Image) -> bytes:
    """The same coefficients under fewer segments, and nothing behind them: a phone puts more pictures there."""
    kept = [data[:2]]
    if turned := _turned(image):
        kept.append(b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned)
    at = 2
    while (marker := data[at + 1]) != _END:
        if marker == 0xFF:  # a byte of filling
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker not in _DROPPED or data.startswith(_PROFILE, at + 4):
            kept.append(data[at:end])
        at = end
        if marker == _SCAN:
            at = _behind_scan(data, end)
            kept.append(data[end:at])
    return b"".join([*kept, data[at : at + 2]])


def _behind_scan(data: bytes, at: int) -> int:
    """Where the next segment begins: what is coded holds no marker but those of a restart."""
    while data[at] != 0xFF or data[at + 1] in _CODED:
        at = data.index(b"\xff", at + 1)
    return at


def _turned(image: Image.Image) -> bytes:
    """How the picture is to be turned, as EXIF; empty when it stands upright."""
    exif = Image.Exif()
    exif[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return b"" if exif[_ORIENTATION] == 1 else exif.tobytes()
