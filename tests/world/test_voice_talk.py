"""Dialogues about a clip: what was said in it, or that nobody spoke."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from mmchat.world.dialogues import Dialogue, dictation, echo_dialogue, echo_of, jumble, sound_dialogue
from mmchat.world.phrasing import NUMBERS, Split, of_split, read_wordings
from mmchat.world.sounds import SOUNDS
from mmchat.world.talk import Sound
from tests.world.small_world import WORLD, holds_accepted, transcript

in_first_wordings = pytest.mark.usefixtures("first_wordings")
FACTS = [fact for thing in WORLD for fact in thing.facts]


@in_first_wordings
def test_an_echo_word_for_word() -> None:
    assert (
        transcript(echo_of("The cat sat there.", Random(0), "train"))
        == """\
transcribe
> [What did I say?] The cat sat there.
< You said: "The cat sat there."
= The cat sat there
"""
    )


@in_first_wordings
@pytest.mark.parametrize(
    ("sound", "reply"),
    [
        ("silence", "I hear no speech. It is silent."),
        ("noise", "I hear no speech, only noise."),
        ("music", "I hear no speech, only music."),
    ],
)
def test_a_clip_without_speech_word_for_word(sound: Sound, reply: str) -> None:
    assert (
        transcript(sound_dialogue(sound, Random(0), "train"))
        == f"""\
no_speech
> [What did I say?] ({sound})
< {reply}
= no speech
"""
    )


def test_an_echo_quotes_what_is_spoken_and_keeps_the_wish_typed() -> None:
    for seed in range(200):
        dialogue = echo_dialogue(WORLD, Random(seed), "train")
        question, reply = dialogue.turns
        assert question.text == question.spoken
        assert question.typed
        assert f'"{question.spoken}"' in reply.text
        assert dialogue.accept == (question.spoken.rstrip("?.!"),)
        assert holds_accepted(dialogue)


def test_dictations_are_statements_lists_and_loose_words() -> None:
    """None is a question, and few are said twice."""
    said = [dictation(WORLD, Random(seed), "test") for seed in range(400)]
    assert all(re.fullmatch(r"[A-Z][A-Za-z', -]+[.]", sentence) for sentence in said)
    assert len(set(said)) > 250
    lists = [sentence for sentence in said if sentence.split()[0].lower() in NUMBERS[1:10]]
    assert 0.2 < len(lists) / len(said) < 0.45
    assert any(re.fullmatch(r"[A-Z]\w+ [^,]+, \w+ [^,]+ and \w+ [^,]+[.]", sentence) for sentence in lists)


def test_a_jumble_is_of_words_and_names_of_training_and_of_names_that_nobody_has() -> None:
    said = [jumble(WORLD, Random(seed)) for seed in range(400)]
    assert all(re.fullmatch(r"[A-Z][A-Za-z', -]*[.]", sentence) for sentence in said)
    assert len(set(said)) > 395
    words = [sentence[:-1].split() for sentence in said]
    assert {len(each) for each in words} >= set(range(2, 21))
    names, every = read_wordings("names"), {word for each in words for word in each[1:]}
    assert every & set(of_split(names, "train"))
    assert not every & set(of_split(names, "test"))
    assert len({word for word in every - set(names) if word[0].isupper()}) > 400  # as many names that nobody has


def test_in_training_pieces_of_sentences_are_spliced_with_common_words() -> None:
    """Which no test ever is, so that its sentences stay those of the world."""
    said = {split: [dictation(WORLD, Random(seed), split) for seed in range(400)] for split in ("train", "test")}
    assert all(re.fullmatch(r"[A-Z][A-Za-z', -]*[.]", sentence) for sentence in said["train"])
    words = {split: {word for sentence in said[split] for word in sentence[:-1].split()} for split in said}
    assert len(words["train"]) > 400 > len(words["test"])
    assert any(re.search(r"[a-z] I\b", sentence) for sentence in said["train"])
    assert words["train"] & set(of_split(read_wordings("names"), "train"))
    assert not words["train"] & set(of_split(read_wordings("names"), "test"))


def test_no_fact_is_spoken_in_both_splits() -> None:
    def said(split: Split) -> set[str]:
        echoes = {echo_dialogue(WORLD, Random(seed), split).turns[0].spoken for seed in range(500)}
        return echoes | {dictation(WORLD, Random(seed), split) for seed in range(500)}

    spoken = {split: said(split) & set(FACTS) for split in ("train", "test")}
    assert spoken == {split: set(of_split(FACTS, split)) for split in ("train", "test")}


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_clip_without_speech_is_called_so_and_names_what_is_heard(sound: Sound) -> None:
    heard = {"silence": "silent", "noise": "noise", "music": "music"}[sound]
    dialogues = [sound_dialogue(sound, Random(seed), "train") for seed in range(60)]
    for dialogue in dialogues:
        question, reply = dialogue.turns
        assert (question.text, question.spoken, question.sound) == ("", "", sound)
        assert heard in reply.text
        assert dialogue.accept == ("no speech",)
        assert holds_accepted(dialogue)
    assert 10 < sum(dialogue.turns[0].typed == "" for dialogue in dialogues) < 40


def test_what_people_say_is_asked_for_in_many_words() -> None:
    """So that the wish to write and the wish to describe a clip are both met with what was said."""
    wishes = Counter(echo_of("Yes.", Random(seed), "train").turns[0].typed.lower().rstrip(".?") for seed in range(400))
    assert len(wishes) >= 24
    assert any(wish.startswith("what do you hear") for wish in wishes)


def test_the_test_split_is_asked_in_words_of_its_own() -> None:
    def wishes(split: Split) -> set[str]:
        made: list[Dialogue] = [echo_of("Yes.", Random(seed), split) for seed in range(300)]
        made += [sound_dialogue("music", Random(seed), split) for seed in range(300)]
        return {dialogue.turns[0].typed.lower().rstrip(".?") for dialogue in made} - {""}

    assert wishes("train") & wishes("test") == set()
