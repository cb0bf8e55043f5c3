"""Uploads without what a camera wrote beside the pixels: the pixels stay, to the bit."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from mmchat.inputs.image import load_image
from mmchat.serving.uploads import make_bare

SECRET = b"taken at the secret place"
XMP = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"
TURNED = 6
TURNED_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/>' + SECRET + b"</x:xmpmeta>"


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 16, 3), dtype=np.uint8))


def told(orientation: int = TURNED) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = orientation
    return exif


def text() -> PngInfo:
    info = PngInfo()
    info.add_text("Author", SECRET.decode())
    return info


def jpeg(exif: bytes) -> bytes:
    file = io.BytesIO()
    noise().save(file, "JPEG", exif=exif)
    return file.getvalue()


def late_png() -> bytes:
    """With words behind the pixels, and more behind the picture."""
    file = io.BytesIO()
    noise().save(file, "PNG")
    chunk = b"tEXtAuthor\0" + SECRET
    framed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return file.getvalue()[:-12] + framed + file.getvalue()[-12:] + SECRET


WRITERS: dict[str, Callable[[Path], object]] = {
    "turned.jpg": lambda path: noise().save(path, "JPEG", exif=told(), comment=SECRET, xmp=XMP),
    "upright.jpg": lambda path: noise().save(path, "JPEG", exif=told(1)),
    "progressive.jpg": lambda path: noise().save(path, "JPEG", exif=told(), progressive=True),
    "restarted.jpg": lambda path: noise().save(path, "JPEG", exif=told(), restart_marker_blocks=1),
    "moving.jpg": lambda path: path.write_bytes(jpeg(told().tobytes()) + b"a film, " + SECRET),
    "filled.jpg": lambda path: path.write_bytes(jpeg(told().tobytes()).replace(b"\xff\xdb", b"\xff\xff\xff\xdb")),
    "comment.jpg": lambda path: noise().save(path, "JPEG", comment=SECRET),
    "cmyk.jpg": lambda path: noise().convert("CMYK").save(path, "JPEG", exif=told()),
    "phone.jpg": lambda path: noise().save(path, "MPO", save_all=True, append_images=[noise(1)], exif=told()),
    "exif.png": lambda path: noise().save(path, "PNG", exif=told()),
    "text.png": lambda path: noise().save(path, "PNG", pnginfo=text()),
    "clear.png": lambda path: noise().convert("RGBA").save(path, "PNG", exif=told()),
    "lossy.webp": lambda path: noise().save(path, "WEBP", exif=told(), xmp=XMP),
    "moving.webp": lambda path: noise().save(path, "WEBP", save_all=True, append_images=[noise(1)], exif=told()),
    "moving.png": lambda path: noise().save(path, "PNG", save_all=True, append_images=[noise(1)], exif=told()),
    "xmp.webp": lambda path: noise().save(path, "WEBP", lossless=True, xmp=TURNED_XMP),
    "xmp.jpg": lambda path: noise().save(path, "JPEG", xmp=TURNED_XMP),
    "late.png": lambda path: path.write_bytes(late_png()),
    "phone.avif": lambda path: noise().save(path, "AVIF", exif=told()),
    "scan.tiff": lambda path: noise().save(path, "TIFF", tiffinfo={0x010E: SECRET.decode()}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_pixels_stay_and_all_else_goes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    before = load_image(path)
    assert SECRET in path.read_bytes()
    make_bare(path)
    after = load_image(path)
    assert SECRET not in path.read_bytes()
    assert np.array_equal(np.asarray(after.image), np.asarray(before.image))
    assert (after.name, after.note) == (before.name, before.note)
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_phones_pictures_in_one_file_the_first_stays(tmp_path: Path) -> None:
    """The others, a depth map or a brighter take, tell the same of place and time."""
    WRITERS["phone.jpg"](tmp_path / "phone.jpg")
    make_bare(tmp_path / "phone.jpg")
    with Image.open(tmp_path / "phone.jpg") as kept:
        assert kept.format == "JPEG"


def test_how_colours_are_meant_stays(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise().save(tmp_path / "photo.jpg", "JPEG", exif=told(), icc_profile=profile)
    make_bare(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as kept:
        assert kept.info["icc_profile"] == profile


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_tells_nothing_is_not_touched(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    noise().save(path, kind)
    data, when = path.read_bytes(), path.stat().st_mtime_ns
    make_bare(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (data, when)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_that_cannot_be_read_goes_as_well(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12\0\3" + SECRET))
    make_bare(path)
    assert SECRET not in path.read_bytes()
    assert load_image(path).image.size == (16, 24)


def animation(kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    noise().save(file, kind, save_all=True, append_images=[noise(1)], **more)
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [animation("PNG"), animation("WEBP"), animation("GIF", comment=SECRET), late_png()[:300]]
)
def test_an_animation_keeps_its_frames_and_what_is_cut_short_its_end(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    make_bare(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFF\xff\0\0\0WEBPVP8X",
        jpeg(told().tobytes())[:60],
        jpeg(told().tobytes())[:400],
    ],
)
def test_what_is_no_picture_stays_as_it_came(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    make_bare(path)
    assert path.read_bytes() == data


def test_a_file_that_is_gone_is_nobodys_concern(tmp_path: Path) -> None:
    make_bare(tmp_path / "gone.jpg")
    assert not list(tmp_path.iterdir())
