"""Uploads lose what a camera wrote beside the pixels, before anybody else has them.

Gradio keeps an upload as it came until it is a day old. Place, time and device are nobody's business but the person's,
so a picture's file is written anew without them as soon as it is there; the pixels stay what they are, to the bit.
JPEG, PNG and WebP, which cameras and browsers write, lose parts of their files, and nothing is decoded: whoever uploads
costs the server next to nothing.
"""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmchat.errors import ImageError
from mmchat.inputs.image import DECODER_ERRORS, load_image

_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
# JPEG: markers of ITU T.81, table B.1.
_JPEG = b"\xff\xd8"
_SCAN, _END = 0xDA, 0xD9
_CODED = {0x00, *range(0xD0, 0xD8)}
_DROPPED = {0xFE, *range(0xE1, 0xF0)} - {0xEE}
"""Comments, and all that applications may add, but for Adobe's, which says how colours are meant."""
_PROFILE = b"ICC_PROFILE\0"
# PNG, third edition, and WebP (RFC 9649): the chunks that decide what is seen.
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = set(
    b"IHDR PLTE IDAT IEND tRNS acTL fcTL fdAT gAMA cHRM sRGB iCCP sBIT cICP mDCV cLLI bKGD hIST sPLT pHYs".split()
)
_WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_TELLS_EXIF, _WEBP_TELLS_XMP = 0x08, 0x04


class BareUploads:
    """Middleware of a server: the answer to an upload waits until its pictures are bare."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._one_at_a_time = CapacityLimiter(1)  # other threads are for those who are answered

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
                await to_thread.run_sync(make_bare, Path(path), limiter=self._one_at_a_time)
        for message in held:
            await send(message)


def make_bare(path: Path) -> None:
    """Write a picture's file anew if something stands beside its pixels.

    A file that is no picture, or a damaged one, stays: it is refused when it is sent. So does an animation that is
    neither PNG nor WebP, as cameras do not write them.
    """
    try:
        data = path.read_bytes()
        bare = _bare(data)
    except (ImageError, Image.DecompressionBombError, *DECODER_ERRORS):
        return
    if bare != data:
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(bare)
        partial.replace(path)


def _bare(data: bytes) -> bytes:
    if data.startswith(_JPEG):
        strip = _bare_jpeg
    elif data.startswith(_PNG):
        strip = _bare_png
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        strip = _bare_webp
    else:
        return _bare_other(data)
    bare = strip(data, b"")
    return bare if bare == data else strip(data, _turned(data))


def _bare_jpeg(data: bytes, exif: bytes) -> bytes:
    """The same coefficients under fewer segments, and nothing behind them: a phone puts more pictures there."""
    kept = [data[:2]]
    if exif:
        kept.append(b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif)
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


def _bare_png(data: bytes, exif: bytes) -> bytes:
    kept, at, name = [_PNG], len(_PNG), b""
    while name != b"IEND":
        name = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(name) < 4 or end > len(data):
            raise ImageError("cut short")
        if name in _PNG_CHUNKS:
            kept.append(data[at:end])
        if name == b"IHDR" and exif:
            chunk = b"eXIf" + exif.removeprefix(_EXIF)
            kept.append((len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big"))
        at = end
    return b"".join(kept)


def _bare_webp(data: bytes, exif: bytes) -> bytes:
    kept, at, end = [b"WEBP"], 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ImageError("cut short")
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunk = data[at : at + 8 + size + size % 2]
        if chunk[:4] == b"VP8X":
            flags = chunk[8] & ~(_WEBP_TELLS_EXIF | _WEBP_TELLS_XMP) | (_WEBP_TELLS_EXIF if exif else 0)
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if chunk[:4] in _WEBP_CHUNKS:
            kept.append(chunk)
        at += 8 + size + size % 2
    if told := exif.removeprefix(_EXIF):
        kept.append(b"EXIF" + len(told).to_bytes(4, "little") + told + b"\0" * (len(told) % 2))
    body = b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _bare_other(data: bytes) -> bytes:
    """TIFF, AVIF and the like, as a PNG that stands upright."""
    with Image.open(io.BytesIO(data)) as image:
        if getattr(image, "n_frames", 1) > 1 or not (image.getexif() or image.info.get("xmp")):
            return data
    bare = io.BytesIO()
    load_image(data).image.save(bare, "PNG")
    return bare.getvalue()


def _turned(data: bytes) -> bytes:
    """How the picture is to be turned, as EXIF; empty when it stands upright."""
    with Image.open(io.BytesIO(data)) as image:
        turn = image.getexif().get(_ORIENTATION, 1)
    if turn == 1:
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = turn
    return exif.tobytes()
