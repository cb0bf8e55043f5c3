"""Pictures at the door: what is refused, in which words, and what the accepted ones look like afterwards."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmchat.errors import ImageError
from mmchat.inputs import files, image
from mmchat.inputs.image import ImagePart, load_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def halves(left: tuple[int, ...], right: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    picture = Image.new(mode, (20, 10), left)
    picture.paste(right, (10, 0, 20, 10))
    return picture


def refusal(source: Path | bytes, name: str | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, name)
    return str(caught.value)


def close(pixel: tuple[int, ...], colour: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


# Refused


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "nope.png"
    assert refusal(path) == f"{path}: no such file"


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: this is a folder; give a picture"


def test_unreadable_path() -> None:
    assert refusal(Path("a\0b.png")).endswith(": cannot be read: embedded null byte")


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / "file" / "cat.png"
    assert refusal(path) == f"{path}: cannot be read: Not a directory"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    assert refusal(path) == f"{path}: the file is empty; give a picture"


def test_empty_bytes() -> None:
    assert refusal(b"") == "picture: the file is empty; give a picture"
    assert refusal(b"", name="upload.png") == "upload.png: the file is empty; give a picture"


def test_text_named_png(tmp_path: Path) -> None:
    path = tmp_path / "letter.png"
    path.write_text("Dear cat,\n")
    assert refusal(path) == (f"{path}: not a picture that I can read; give a PNG, JPEG, WebP, GIF, BMP or TIFF")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_short(tmp_path: Path, format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format)
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) * 2 // 3])
    assert refusal(path) == f"{path}: the picture is damaged or cut short"


@pytest.mark.parametrize("side", [60_000, 10_000, 8_500])
def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path, side: int) -> None:
    """There are no pixels in this file, so anything that decodes it reports damage; a warning fails the test too."""
    path = tmp_path / "huge.png"
    path.write_bytes(png(side, side, 8, 2, b""))
    assert refusal(path) == f"{path}: the picture has more than 64 million pixels; give a smaller one"


def test_too_many_bytes_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_FILE_BYTES", 2 * 2**20)
    path = tmp_path / "long.png"
    path.write_bytes(bytes(2 * 2**20 + 1))
    expected = "the file is larger than 2 MB; give a picture in a smaller file"
    assert refusal(path) == f"{path}: {expected}"
    assert refusal(path.read_bytes()) == f"picture: {expected}"
    assert files.read_file(path, kind="a clip", limit=2**22, error=ImageError) == path.read_bytes()


def test_pil_picture_without_pixels() -> None:
    with pytest.raises(ImageError, match=r"^picture: the picture has no pixels$"):
        ImagePart.from_pil(Image.new("RGB", (0, 4)))


def test_pil_picture_that_cannot_be_decoded() -> None:
    data = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")
    with pytest.raises(ImageError, match=r"^cat: the picture is damaged or cut short$"):
        ImagePart.from_pil(Image.open(io.BytesIO(data[: len(data) // 2])), name="cat")


# Accepted


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(format: str) -> None:
    part = load_image(encoded(halves(RED, BLUE), format))
    assert (part.image.mode, part.image.size, part.note) == ("RGB", (20, 10), None)
    assert close(part.image.getpixel((2, 5)), RED)
    assert close(part.image.getpixel((17, 5)), BLUE)


def test_name_is_the_last_part_of_the_path(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(encoded(halves(RED, BLUE), "PNG"))
    assert load_image(path).name == "cat.png"
    assert load_image(path, name="").name == ""
    assert load_image(path.read_bytes()).name == "picture"


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format: str) -> None:
    cyan, magenta = (255, 0, 0, 0), (0, 255, 0, 0)
    part = load_image(encoded(halves(cyan, magenta, "CMYK"), format))
    assert close(part.image.getpixel((2, 5)), (0, 255, 255))
    assert close(part.image.getpixel((17, 5)), (255, 0, 255))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(format: str) -> None:
    """Pillow's own conversion to 8 bits makes white of everything above 255."""
    grey = Image.fromarray(np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16))
    pixels = np.asarray(load_image(encoded(grey, format)).image)
    assert pixels.tolist() == [[[level] * 3 for level in (0, 1, 128, 255)]]


def test_colour_of_16_bits() -> None:
    pixels = b"\0" + struct.pack(">6H", 65535, 0, 0, 0, 32768, 65535)
    part = load_image(png(2, 1, 16, 2, pixels))
    assert np.asarray(part.image).tolist() == [[[255, 0, 0], [0, 128, 255]]]


@pytest.mark.parametrize(("white", "levels"), [(1.0, [0.0, 0.5, 1.0]), (255.0, [0.0, 127.5, 255.0])])
def test_floating_point_pixels(white: float, levels: list[float]) -> None:
    picture = Image.fromarray(np.array([[*levels, -white, np.nan]], dtype=np.float32))
    pixels = np.asarray(ImagePart.from_pil(picture).image)[0, :, 0]
    assert pixels.tolist() == [0, 128, 255, 0, 0]


def test_pixels_of_32_bits() -> None:
    picture = Image.fromarray(np.array([[0, 1_000_000, 2_000_000]], dtype=np.int32))
    assert np.asarray(ImagePart.from_pil(picture).image)[0, :, 0].tolist() == [0, 128, 255]


def test_palette() -> None:
    part = load_image(encoded(halves(RED, BLUE).quantize(4), "PNG"))
    assert part.image.getpixel((2, 5)) == RED
    assert part.image.getpixel((17, 5)) == BLUE


def test_black_and_white() -> None:
    part = load_image(encoded(halves(WHITE, (0, 0, 0)).convert("1"), "PNG"))
    assert part.image.getpixel((2, 5)) == WHITE
    assert part.image.getpixel((17, 5)) == (0, 0, 0)


def test_transparent_lies_on_white() -> None:
    """The hidden colour of transparent pixels, often black, must not show."""
    part = load_image(encoded(halves((0, 0, 0, 0), (255, 0, 0, 128), "RGBA"), "PNG"))
    assert part.image.getpixel((2, 5)) == WHITE
    assert close(part.image.getpixel((17, 5)), (255, 127, 127), tolerance=1)


def test_transparent_grey_and_palette() -> None:
    grey = halves((0, 0), (100, 255), "LA")
    assert load_image(encoded(grey, "PNG")).image.getpixel((2, 5)) == WHITE
    assert load_image(encoded(grey, "PNG")).image.getpixel((17, 5)) == (100, 100, 100)
    palette = halves(RED, BLUE).quantize(4)
    see_through = palette.getpixel((2, 5))
    for format in ("PNG", "GIF"):
        part = load_image(encoded(palette, format, transparency=see_through))
        assert part.image.getpixel((2, 5)) == WHITE
        assert part.image.getpixel((17, 5)) == BLUE


@pytest.mark.parametrize(("orientation", "top"), [(6, RED), (8, BLUE)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied(format: str, orientation: int, top: tuple[int, int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    part = load_image(encoded(halves(RED, BLUE), format, exif=exif))
    assert part.image.size == (10, 20)
    assert close(part.image.getpixel((5, 2)), top)
    assert not close(part.image.getpixel((5, 17)), top)


def test_exif_rotation_of_a_pil_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    opened = Image.open(io.BytesIO(encoded(halves(RED, BLUE), "PNG", exif=exif)))
    assert ImagePart.from_pil(opened).image.getpixel((2, 5)) == BLUE


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame_and_says_so(format: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, BLUE, WHITE)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    part = load_image(data)
    assert part.note == "first frame of 3"
    assert close(part.image.getpixel((5, 5)), RED)


def test_a_phones_double_picture_is_no_animation() -> None:
    data = encoded(halves(RED, BLUE), "MPO", save_all=True, append_images=[halves(BLUE, RED)])
    part = load_image(data)
    assert part.note is None
    assert close(part.image.getpixel((2, 5)), RED)


# The value


def test_digest_knows_pixels_and_shape_only() -> None:
    square = ImagePart.from_pil(Image.new("RGB", (4, 4), RED))
    assert square.digest == ImagePart.from_pil(Image.new("RGB", (4, 4), RED), name="other").digest
    assert square.digest != ImagePart.from_pil(Image.new("RGB", (2, 8), RED)).digest
    assert square.digest != ImagePart.from_pil(Image.new("RGB", (4, 4), BLUE)).digest
    assert len(square.digest) == 64


def test_parts_compare_by_content() -> None:
    one, same = (ImagePart.from_pil(Image.new("RGB", (4, 4), RED)) for _ in range(2))
    other = ImagePart.from_pil(Image.new("RGB", (4, 4), BLUE))
    assert one == same
    assert len({one, same, other}) == 2
    assert one != "picture"
