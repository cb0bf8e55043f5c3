"""Transcript of a tab: what the assistant reads of it, and what the page shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.assistant import MediaReceipt, Reply, Timing, Usage
from mmchat.errors import ImageError, MessageError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from mmchat.serving.transcript import Chat, Draft, Exchange, as_typed, receipt, to_bubbles, to_messages
from mmchat.serving.words import CHINESE, ENGLISH


def exchange(text: str, answer: str = "", receipt: str = "") -> Exchange:
    return Exchange(Draft(text), Message.user(text), answer, receipt)


def reply(
    *media: MediaReceipt,
    first_token_s: float = 0.2,
    total_s: float = 0.2,
    tokens: int = 96,
    finish_reason: str = "stop",
) -> Reply:
    return Reply("yes", media, Usage(40, tokens), Timing(0.0, first_token_s, total_s), finish_reason, 1, "fake")


def test_a_message_is_its_files_in_order_and_then_its_text(tmp_path: Path) -> None:
    picture, clip = tmp_path / "cat.png", tmp_path / "question.wav"
    Image.new("RGB", (8, 8), "orange").save(picture)
    soundfile.write(clip, np.sin(np.arange(16_000) / 20), 16_000)
    message = Draft("what is this?", (str(clip), str(picture))).to_message()
    assert [type(part) for part in message.media] == [AudioPart, ImagePart]
    assert [part.name for part in message.media] == ["question.wav", "cat.png"]
    assert message.text == "what is this?"


def test_voice_alone_is_a_message(tmp_path: Path) -> None:
    clip = tmp_path / "question.wav"
    soundfile.write(clip, np.sin(np.arange(16_000) / 20), 16_000)
    assert [type(part) for part in Draft(" \n", (str(clip),)).to_message().content] == [AudioPart]


def test_nothing_at_all_is_no_message() -> None:
    with pytest.raises(MessageError, match="empty"):
        Draft("  ").to_message()


def test_an_error_names_the_file_and_not_its_place_on_the_host(tmp_path: Path) -> None:
    broken = tmp_path / "cat.png"
    broken.write_text("no picture")
    with pytest.raises(ImageError, match=r"^cat\.png: not a picture"):
        Draft("what is this?", (str(broken),)).to_message()


def test_conversation_ends_with_the_question_that_waits() -> None:
    messages = to_messages((exchange("hello", "hi", "first token 0.1 s"), exchange("and?")))
    assert [(message.role, message.text) for message in messages] == [
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "and?"),
    ]


def test_a_message_takes_so_many_files() -> None:
    """None of them is read: a picture of a small file may fill a lot of memory. What was decoded before may be more."""
    with pytest.raises(MessageError, match=r"^a message takes 16 pictures and clips, not 17: send some later$"):
        Draft("what are these?", ("/nowhere/cat.png",) * 17).to_message()
    pictures = [ImagePart(Image.new("RGB", (8, 8)), "cat.png")] * 17
    assert len(Draft("what are these?", ("/nowhere/cat.png",) * 17).to_message(pictures).media) == 17


def test_a_message_without_an_answer_is_not_read_again() -> None:
    """An empty assistant turn is no message, and two user turns in a row are nothing that a model was trained on."""
    assert [
        message.text for message in to_messages((exchange("hello", "", "first token 0.1 s"), exchange("and?")))
    ] == ["and?"]


def test_bubbles_show_files_text_answer_receipt_and_what_can_be_done() -> None:
    picture = ImagePart(Image.new("RGB", (8, 8)), "cat.png")
    seen = Exchange(
        Draft("this?", ("/up/cat.png",)), Message.user(picture, "this?"), "A **cat**.", "cat.png → 9 tokens"
    )
    assert to_bubbles(Chat((exchange("hello", "hi", "first token 0.1 s"), seen)))[2:] == [
        {
            "role": "user",
            "content": [
                {"path": "/up/cat.png"},
                {"type": "text", "text": "this?"},
                {"type": "text", "text": '<small><a href="#back-2" role="button">Take back</a></small>'},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "A **cat**."},
                {
                    "type": "text",
                    "text": '<small>cat.png → 9 tokens · <a href="#look-3" role="button">Where it looked</a></small>',
                },
            ],
        },
    ]


def test_answers_that_had_media_can_be_asked_where_they_looked() -> None:
    """That of an earlier message too; not those before it, nor where the answer was stopped before its first word."""
    picture = Message.user(ImagePart(Image.new("RGB", (8, 8)), "cat.png"))
    stopped, seen = (Exchange(Draft("", ("/up/cat.png",)), picture, answer, "done") for answer in ("", "A cat."))
    chat = Chat(
        (
            exchange("hello", "hi", "done"),
            stopped,
            exchange("so?", "yes", "done"),
            seen,
            exchange("where?", "At home.", "done"),
        )
    )
    shown = [bubble["content"][-1]["text"] for bubble in to_bubbles(chat)[1::2]]
    assert ["Where it looked" in line for line in shown] == [False, False, False, True, True]


def test_a_message_that_is_being_answered_offers_nothing_yet() -> None:
    picture = ImagePart(Image.new("RGB", (8, 8)), "cat.png")
    shown = to_bubbles(Chat((Exchange(Draft("", ("/up/cat.png",)), Message.user(picture), "A"),)))
    assert [bubble["content"] for bubble in shown] == [[{"path": "/up/cat.png"}], [{"type": "text", "text": "A"}]]


def test_an_answer_that_has_not_begun_shows_that_it_is_awaited() -> None:
    assert to_bubbles(Chat((exchange("hello"),)))[-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "…"}],
    }


def test_an_answer_without_words_shows_its_receipt_alone() -> None:
    content = to_bubbles(Chat((exchange("hello", "", "first token 0.1 s"),)))[-1]["content"]
    assert content == [{"type": "text", "text": "<small>first token 0.1 s</small>"}]


def test_an_error_is_the_last_bubble() -> None:
    bubble = to_bubbles(Chat(), "cat_1.png: the picture is damaged")[-1]
    assert bubble == {
        "role": "assistant",
        "content": [{"type": "text", "text": "⚠ cat&#95;1.png: the picture is damaged"}],
    }


@pytest.mark.parametrize(
    ("typed", "markdown"),
    [
        ("What is this? It's 3.5 m!", "What is this? It's 3.5 m!"),
        ("<script>x</script>", "&#60;script&#62;x&#60;/script&#62;"),
        ("&lt;", "&#38;lt;"),
        ("*a* _b_ `c` ~d~", "&#42;a&#42; &#95;b&#95; &#96;c&#96; &#126;d&#126;"),
        ("$$x$$ [y](z) \\", "&#36;&#36;x&#36;&#36; &#91;y&#93;(z) &#92;"),
        ("# a\n- b\n1. c\n2) d\n===", "&#35; a\n&#45; b\n1&#46; c\n2&#41; d\n&#61;=="),
        ("if:\n    deep\n\tdeep", "if:\n&nbsp;&nbsp;&nbsp;&nbsp;deep\n&nbsp;&nbsp;&nbsp;&nbsp;deep"),
    ],
)
def test_typed_text_has_no_marks(typed: str, markdown: str) -> None:
    assert as_typed(typed) == markdown


def test_receipt_says_media_and_time_to_the_first_token() -> None:
    media = MediaReceipt("image", "cat.png", 9), MediaReceipt("audio", "q.wav", 14, seconds=2.1)
    assert receipt(reply(*media), ENGLISH) == "cat.png → 9 tokens · q.wav 2.1 s → 14 tokens · first token 0.2 s"


@pytest.mark.parametrize(("seconds", "said"), [(0.0421, "0.04 s"), (0.2, "0.2 s"), (1.25, "1.2 s"), (75.04, "75 s")])
def test_receipt_rounds_time(seconds: float, said: str) -> None:
    assert receipt(reply(first_token_s=seconds, total_s=seconds), ENGLISH) == f"first token {said}"


def test_a_receipt_in_chinese() -> None:
    told = reply(tokens=12, total_s=0.3, finish_reason="length")
    assert (
        receipt(told, CHINESE) == "首个 token 0.2 秒 · 12 个 token,每秒 110 个 · 在 12 个 token 处截断(回答的最大长度)"
    )


def test_receipt_says_that_an_answer_was_cut() -> None:
    assert receipt(reply(finish_reason="length"), ENGLISH).endswith(" · cut at 96 tokens, the longest answer")


@pytest.mark.parametrize(
    ("tokens", "seconds", "said"),
    [
        (96, 0.5, " · 96 tokens, 190 a second"),
        (5001, 2.0, " · 5001 tokens, 2,500 a second"),
        (11, 4.0, " · 11 tokens, 2.5 a second"),
        (1, 0.5, ""),
        (0, 0.0, ""),
    ],
)
def test_a_receipt_says_how_fast_the_answer_came(tokens: int, seconds: float, said: str) -> None:
    """Of the tokens behind the first, whose wait is said by itself."""
    assert receipt(reply(tokens=tokens, total_s=0.2 + seconds), ENGLISH) == f"first token 0.2 s{said}"
