"""The bundled model, for real: what a newcomer, a Space and every other test count on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmchat import Assistant, Message
from mmchat.inputs.audio import load_audio
from mmchat.inputs.image import load_image
from mmchat.serving.examples import ABOUT_PICTURE, BY_VOICE, QUESTION, example

ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return Assistant.load(device="cpu")


@pytest.mark.parametrize("name", ["cat", "carrot", "sailboat"])
def test_samples_are_named(assistant: Assistant, name: str) -> None:
    assert name in assistant.reply([ASSETS / f"{name}.png", "describe this"]).text


@pytest.mark.parametrize("name", ["cat", "carrot", "sailboat"])
def test_a_spoken_question_needs_no_text(assistant: Assistant, name: str) -> None:
    reply = assistant.reply([ASSETS / f"{name}.png", ASSETS / "question.wav"])
    assert name in reply.text
    assert [str(receipt) for receipt in reply.media] == [f"{name}.png → 16 tokens", "question.wav 1.2 s → 16 tokens"]


def test_facts_need_no_media(assistant: Assistant) -> None:
    reply = assistant.reply("where does a penguin live?")
    assert "cold coasts in the south" in reply.text
    assert reply.media == ()


@pytest.mark.parametrize(
    "question", ["who is the president?", "what is the capital of Peru?", "who won the match yesterday?"]
)
def test_outside_its_world_it_says_so(assistant: Assistant, question: str) -> None:
    assert "I don't know" in assistant.reply(question).text


def test_a_follow_up_needs_the_earlier_turn(assistant: Assistant) -> None:
    def found(name: str) -> str:
        seen = Message.user(ASSETS / f"{name}.png", "what is this?")
        said = Message.assistant(assistant.reply([seen]).text)
        return assistant.reply([seen, said, Message.user("where is it found?")]).text

    assert "home" in found("cat")
    assert "coast" in found("sailboat")


@pytest.mark.parametrize("sample", ["cat.png", "question.wav"])
def test_exchanged_media_moves_the_logits(assistant: Assistant, sample: str) -> None:
    path = ASSETS / sample
    check = assistant.media_check(load_image(path) if path.suffix == ".png" else load_audio(path))
    assert check.ok
    assert check.moved > 0.1


def test_files_are_as_they_were_saved(assistant: Assistant) -> None:
    assert assistant.verify() >= 8


def test_it_stays_small() -> None:
    size = sum(path.stat().st_size for path in (ASSETS / "mmchat-tiny").iterdir())
    assert size < 48_000_000


def test_it_answers_the_examples_of_the_page(assistant: Assistant) -> None:
    examples = (QUESTION, ABOUT_PICTURE, BY_VOICE)
    answers = [assistant.reply(example(text).to_message()).text for text in examples]
    for answer, word in zip(answers, ("coast", "cat", "sailboat"), strict=True):
        assert word in answer
