"""Captions, dialogues and plain documents about the world: the door for whoever builds a dataset.

Pure functions of their arguments: the same things, scene and state of `rng` give the same words again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from mmchat.world.album_talk import album_dialogue, wants_alike
from mmchat.world.concepts import Thing
from mmchat.world.phrasing import answers, words_of
from mmchat.world.picture_talk import ground, picture_dialogue, seen
from mmchat.world.quiz_talk import quiz_dialogue, quiz_layout
from mmchat.world.scenes import Scene
from mmchat.world.series_talk import series_dialogue
from mmchat.world.shift_talk import shift_dialogue
from mmchat.world.spots import in_order, relations
from mmchat.world.talk import Dialogue, Turn, topics_of
from mmchat.world.text_talk import text_dialogue
from mmchat.world.told_talk import told_dialogue, told_layout
from mmchat.world.voice_talk import dictation, echo_dialogue, echo_of, jumble, sound_dialogue

__all__ = [
    "Dialogue",
    "Turn",
    "album_dialogue",
    "caption",
    "dictation",
    "documents",
    "echo_dialogue",
    "echo_of",
    "jumble",
    "picture_dialogue",
    "quiz_dialogue",
    "quiz_layout",
    "series_dialogue",
    "shift_dialogue",
    "sound_dialogue",
    "text_dialogue",
    "told_dialogue",
    "told_layout",
    "wants_alike",
]

GROUND_SHARE_OF_CAPTIONS = 0.4
RELATION_SHARE_OF_CAPTIONS = 0.5


def caption(scene: Scene, rng: Random) -> str:
    """What a picture shows: "a cat", "two cats on a blue background", "a cat to the left of a dog"."""
    text = seen(scene)
    if scene.layout == "pair" and rng.random() < RELATION_SHARE_OF_CAPTIONS:
        pair, chosen = in_order(scene), rng.randrange(2)
        text = f"{pair[chosen].phrase} {relations(scene)[chosen]} {pair[1 - chosen].phrase}"
    if scene.layout == "blank" or (scene.background and rng.random() < GROUND_SHARE_OF_CAPTIONS):
        text += f" on {ground(scene)}"
    return text


def documents(things: Sequence[Thing], rng: Random) -> Iterator[str]:
    """One short text on each of `things`, in a new order, its sentences shuffled and some of them joined."""
    for thing in rng.sample(things, len(things)):
        words = words_of(thing)
        sentences = [answers(topic, **words)[0] for topic in topics_of(thing) if topic != "fact"]  # the plain wording
        sentences += thing.facts
        sentences += [f"Another word for {thing.name} is {synonym}." for synonym in thing.synonyms]
        sentences.append(_joined_sentence(thing, rng))
        rng.shuffle(sentences)
        yield " ".join(sentences)


def _joined_sentence(thing: Thing, rng: Random) -> str:
    """Two or three statements about a thing in one sentence."""
    forms = (
        "{Thing} is {category} that {place}.",
        "{Thing} is {category} that {use}.",
        "{Thing} {place} and {use}.",
        "{Thing} {use} and {place}.",
    )
    return rng.choice(forms).format(**words_of(thing))
