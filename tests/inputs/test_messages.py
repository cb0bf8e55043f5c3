"""Messages from everything a program may hand over, and from the two dict spellings; and what is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.errors import AudioError, ImageError, MessageError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart, as_messages, as_part, load_media

PICTURE = Image.new("RGB", (4, 3), (200, 10, 30))
TONE = (0.5 * np.sin(np.arange(8_000) / 5)).astype(np.float32)


def png() -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG")
    return buffer.getvalue()


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, TONE, 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image_url(url: object) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def input_audio(data: object) -> dict[str, Any]:
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {"role": "user", "content": [part]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(png())
    (tmp_path / "question.wav").write_bytes(wav())
    return tmp_path


def refusal(value: Any, base: Path | None = None) -> str:
    with pytest.raises(MessageError) as caught:
        Message.from_dict(value, base)
    return str(caught.value)


# From a program


def test_parts_of_every_kind_keep_their_order(folder: Path) -> None:
    message = Message.user("a", folder / "question.wav", PICTURE, "b", (TONE, 16_000), folder / "images/cat.png")
    kinds = [type(part) for part in message.content]
    assert kinds == [TextPart, AudioPart, ImagePart, TextPart, AudioPart, ImagePart]
    assert message.text == "ab"
    assert [part.name for part in message.media] == ["question.wav", "picture", "voice", "cat.png"]


def test_a_string_is_text_even_when_a_file_has_that_name(folder: Path) -> None:
    assert as_part(str(folder / "images/cat.png")) == TextPart(str(folder / "images/cat.png"))


def test_a_part_is_taken_as_it_is() -> None:
    part = ImagePart.from_pil(PICTURE)
    assert as_part(part) is part


def test_a_path_is_told_apart_by_its_ending(folder: Path) -> None:
    (folder / "SHOUT.WAV").write_bytes(wav())
    (folder / "no-ending").write_bytes(png())
    assert isinstance(load_media(folder / "SHOUT.WAV"), AudioPart)
    assert isinstance(load_media(folder / "no-ending"), ImagePart)


def test_a_missing_path_names_its_kind(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        Message.user(tmp_path / "nope.mp3")
    with pytest.raises(ImageError, match="no such file"):
        Message.user(tmp_path / "nope.png")


def test_a_whole_rate_may_be_a_float_or_of_numpy() -> None:
    for rate in (16_000, 16_000.0, np.int64(16_000), np.float32(16_000)):
        part = as_part((TONE, rate))
        assert isinstance(part, AudioPart)
        assert part.seconds == 0.5


@pytest.mark.parametrize("rate", ["16 kHz", 0.5, float("nan"), float("inf"), None])
def test_a_rate_that_is_none(rate: Any) -> None:
    with pytest.raises(MessageError) as caught:
        as_part((TONE, rate))
    expected = f"cannot use {rate!r} as a sample rate: give (waveform, rate) with a whole number"
    assert str(caught.value) == expected


def test_a_part_of_no_known_kind() -> None:
    number: Any = 3.5
    with pytest.raises(MessageError) as caught:
        Message.user(number)
    expected = "cannot use a float in a message: give text, a path, a picture or (waveform, rate)"
    assert str(caught.value) == expected


def test_roles() -> None:
    assert Message.system("be kind").role == "system"
    assert Message.assistant("a cat").role == "assistant"
    with pytest.raises(MessageError) as caught:
        Message.from_dict({"role": "tool", "content": "x"})
    assert str(caught.value) == "unknown role 'tool': use one of system, user, assistant"


@pytest.mark.parametrize("parts", [(), ("",), ("  \n", "\t")])
def test_an_empty_message(parts: tuple[str, ...]) -> None:
    with pytest.raises(MessageError) as caught:
        Message.user(*parts)
    assert str(caught.value) == "the user message is empty: give it text, a picture or a clip"


def test_media_alone_is_a_message() -> None:
    assert Message.user(PICTURE).text == ""
    assert len(Message.user("", PICTURE).media) == 1


# Conversations


@pytest.mark.parametrize(
    "value",
    ["hello", ["hello"], ("hello",), TextPart("hello"), Message.user("hello"), [Message.user("hello")],
     {"role": "user", "content": "hello"}, [{"role": "user", "content": "hello"}]],
    ids=["text", "list", "tuple", "part", "message", "messages", "dict", "dicts"],
)  # fmt: skip
def test_one_turn_in_every_spelling(value: Any) -> None:
    assert as_messages(value) == [Message.user("hello")]


def test_a_pair_of_waveform_and_rate_is_one_clip() -> None:
    (message,) = as_messages((TONE, 16_000))
    assert [type(part) for part in message.content] == [AudioPart]


def test_two_parts_in_a_tuple_are_one_turn() -> None:
    (message,) = as_messages(("what is this?", PICTURE))
    assert [type(part) for part in message.content] == [TextPart, ImagePart]


def test_a_conversation_keeps_its_turns() -> None:
    turns = [Message.system("s"), Message.user("u"), Message.assistant("a"), Message.user(PICTURE)]
    assert as_messages(turns) == turns
    assert [message.role for message in as_messages([turn.to_dict() for turn in turns])] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_nothing_is_no_conversation() -> None:
    with pytest.raises(MessageError) as caught:
        as_messages([])
    assert str(caught.value) == "the conversation is empty: give a message"


def test_a_conversation_of_no_known_kind() -> None:
    nothing: Any = None
    with pytest.raises(MessageError) as caught:
        as_messages(nothing)
    expected = "cannot use a NoneType as a conversation: give text, parts or messages"
    assert str(caught.value) == expected


def test_messages_and_parts_do_not_mix() -> None:
    mixed: Any = [Message.user("a"), "b"]
    with pytest.raises(MessageError, match="cannot use a Message in a message"):
        as_messages(mixed)


# Dicts


def test_openai_parts() -> None:
    content = [
        {"type": "text", "text": "what is this?"},
        image_url(f"data:image/png;base64,{in_base64(png())}")["content"][0],
        input_audio(in_base64(wav()))["content"][0],
    ]
    message = Message.from_dict({"role": "user", "content": content})
    assert message == Message.user("what is this?", PICTURE, (TONE, 16_000))


def test_dataset_parts(folder: Path) -> None:
    content = [{"type": "image", "image": "images/cat.png"}, {"type": "audio", "audio": "question.wav"}]
    message = Message.from_dict({"role": "user", "content": content}, base=folder)
    assert message == Message.user(folder / "images/cat.png", folder / "question.wav")


def test_there_and_back() -> None:
    message = Message.user("look", PICTURE, "and listen", (TONE, 16_000))
    assert Message.from_dict(message.to_dict()) == message


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_a_request_never_reads_a_file_of_the_host(kind: str, folder: Path) -> None:
    path = folder / ("images/cat.png" if kind == "image" else "question.wav")
    value = {"role": "user", "content": [{"type": kind, kind: str(path)}]}
    expected = "a file path is not accepted here: send the media itself, as a data URI or base64"
    assert refusal(value) == expected


@pytest.mark.parametrize("climb", ["../question.wav", "/etc/hostname", "up/question.wav"])
def test_a_dataset_row_never_leaves_its_folder(climb: str, folder: Path) -> None:
    (folder / "images" / "up").symlink_to(folder)
    value = {"role": "user", "content": [{"type": "audio", "audio": climb}]}
    assert refusal(value, folder / "images") == f"{climb} leaves the dataset folder"


@pytest.mark.parametrize(
    "url", ["https://example.org/cat.png", "file:///etc/passwd", "data:image/png,raw", "", None, 7]
)
def test_addresses_are_not_fetched(url: object) -> None:
    expected = "image_url must be a data URI with base64 content; addresses are not fetched"
    assert refusal(image_url(url)) == expected


def test_wrong_base64() -> None:
    assert refusal(image_url("data:image/png;base64,@@@")) == "image_url is not valid base64"
    for data in ("@@@", "QQ", "ö", None, 7):
        assert refusal(input_audio(data)) == "input_audio is not valid base64"


def test_media_in_a_dict_is_checked_too() -> None:
    with pytest.raises(ImageError) as picture:
        Message.from_dict(image_url("data:image/png;base64,"))
    assert str(picture.value) == "picture: the file is empty; give a picture"
    with pytest.raises(AudioError) as clip:
        Message.from_dict(input_audio(in_base64(b"no clip")))
    assert str(clip.value) == "voice: not a clip that I can read; give a WAV, FLAC, MP3 or OGG"


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "video"}, "'video'"),
        ({"type": "text"}, "'text'"),
        ({"type": "text", "text": 3}, "'text'"),
        ({"type": "image_url", "image_url": "data:"}, "'image_url'"),
        ({"type": "image", "image": None}, "'image'"),
        ("hello", "None"),
    ],
)
def test_an_unknown_part(part: Any, kind: str) -> None:
    expected = f"unknown content part {kind}: use text, image_url, input_audio, image or audio"
    assert refusal({"role": "user", "content": [part]}) == expected


@pytest.mark.parametrize("value", [{}, {"role": "user"}, {"content": "x"}, "hello", None])
def test_an_incomplete_message(value: Any) -> None:
    assert refusal(value) == 'a message needs "role" and "content"'


def test_content_of_another_type() -> None:
    assert refusal({"role": "user", "content": 3}) == '"content" must be a string or a list of parts'


def test_a_clip_of_a_format_that_is_not_read_is_no_bad_picture(tmp_path: Path) -> None:
    """A telephone's voice memo."""
    path = tmp_path / "memo.m4a"
    path.write_bytes(b"\0\0\0\x18ftypM4A ")
    with pytest.raises(AudioError, match=r"memo\.m4a: not a clip that I can read; give a WAV, FLAC, MP3 or OGG$"):
        load_media(path)
