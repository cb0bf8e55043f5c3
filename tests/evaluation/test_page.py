"""The report as one HTML file."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.evaluation.page import to_html
from mmchat.evaluation.scores import Evaluation, Outcome
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message
from tests.evaluation.watcher import outcome

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Elements with their attributes, all text, and whether every element is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def sources(self, tag: str) -> list[str]:
        return [str(attributes["src"]) for name, attributes in self.elements if name == tag]


def page(*outcomes: Outcome, show_wrong: int = 10) -> Page:
    return Page(to_html(Evaluation.of("toy", "data/test", outcomes, show_wrong)))


def decode(uri: str, media_type: str) -> io.BytesIO:
    header, _, data = uri.partition(",")
    assert header == f"data:{media_type};base64"
    return io.BytesIO(base64.b64decode(data, validate=True))


@pytest.fixture
def clip() -> AudioPart:
    return AudioPart(np.sin(np.arange(3200) / 7).astype(np.float32) / 2, "question.wav")


def test_wrong_answers_stand_with_their_pictures_and_players(clip: AudioPart) -> None:
    picture = ImagePart(Image.new("RGB", (40, 20), (250, 0, 0)), "tile.png")
    messages = (Message.user("hello"), Message.assistant("Hi there."), Message.user(picture, clip, "which?"))
    wrong = outcome(
        12,
        "It is a BLUE tile.",
        accepted=False,
        messages=messages,
        accept=("red", "scarlet"),
        style="noto",
        transcripts=("what is it",),
    )
    found = page(wrong, outcome(13, "a right answer"))
    (image,), (sound,) = found.sources("img"), found.sources("audio")
    shown = Image.open(decode(image, "image/webp"))
    assert shown.size == (40, 20)
    assert shown.convert("RGB").getpixel((5, 5))[0] > 200
    samples, rate = soundfile.read(decode(sound, "audio/wav"))
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(samples, clip.waveform, atol=1e-4)
    text = " ".join(" ".join(found.texts).split())
    for part in ("hello", "Hi there.", "which?", "It is a BLUE tile.", "red, scarlet", "what is it", "noto, line 12"):
        assert part in text
    assert "a right answer" not in text


def test_what_models_and_datasets_say_is_no_markup() -> None:
    attack = '<script>alert("x")</script><img src=x>'
    picture = ImagePart(Image.new("RGB", (4, 4)), f'"{attack}')
    messages = (Message.user(attack, picture),)
    wrong = outcome(answer=attack, accepted=False, messages=messages, accept=(attack,), label=attack, style=attack)
    found = page(wrong)
    assert [name for name, _ in found.elements if name == "script"] == []
    assert len(found.sources("img")) == 1
    assert attack in found.texts


def test_the_page_needs_no_network(clip: AudioPart) -> None:
    html = to_html(Evaluation.of("toy", "data", [outcome(accepted=False, messages=(Message.user(clip),))], 1))
    assert re.findall(r"https?:|//|@import|url\(", re.sub(r'"data:[^"]*"', "", html)) == []
    assert {name for name, _ in Page(html).elements} & {"link", "script", "iframe"} == set()


def test_every_element_is_closed() -> None:
    assert page(outcome(style="noto", accepted=False)).open == []


def test_large_pictures_are_made_smaller_and_the_dataset_keeps_its_own() -> None:
    picture = ImagePart(Image.new("RGB", (2000, 1000)), "large.png")
    (uri,) = page(outcome(accepted=False, messages=(Message.user(picture),))).sources("img")
    assert Image.open(decode(uri, "image/webp")).size == (768, 384)
    assert picture.image.size == (2000, 1000)


def test_tables_and_figures_are_those_of_the_report() -> None:
    found = page(outcome(style="noto", accepted=False, exact=False), outcome(style="openmoji"), show_wrong=0)
    tags = [name for name, _ in found.elements]
    assert (tags.count("table"), tags.count("article")) == (2, 0)
    cells = [text for text in found.texts if text.strip()]
    for cell in ("toy", "data/test, 2 questions", "name", "all", "noto", "openmoji", "50.0%", "perplexity", "majority"):
        assert cell in cells
    assert "exchanged" not in cells  # neither a column nor a line of the legend


def test_without_wrong_answers_there_is_no_list_of_them() -> None:
    assert "Wrong answers" not in page(outcome()).texts
    assert "Wrong answers" in page(outcome(accepted=False)).texts
