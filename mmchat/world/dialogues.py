"""Captions, dialogues and plain documents about the world: the door for whoever builds a dataset.

Pure functions of their arguments: the same things, scene and state of `rng` give the same words again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, hasty, of_split, question, words_of
from mmchat.world.picture_talk import ground, in_order, picture_dialogue, relation, seen
from mmchat.world.scenes import Scene
from mmchat.world.talk import TOPICS, Dialogue, Turn, statement, topics_of
from mmchat.world.text_talk import text_dialogue, topic_question

__all__ = ["Dialogue", "Turn", "caption", "documents", "echo_dialogue", "picture_dialogue", "text_dialogue"]

GROUND_SHARE_OF_CAPTIONS = 0.4
RELATION_SHARE_OF_CAPTIONS = 0.5
FACT_SHARE_OF_ECHOES = 0.4
PICTURE_SHARE_OF_ECHOES = 0.3


def caption(scene: Scene, rng: Random) -> str:
    """What a picture shows, for contrastive training: "a cat", "two cats on a blue background"."""
    text = seen(scene)
    if scene.layout == "pair" and rng.random() < RELATION_SHARE_OF_CAPTIONS:
        pair, relations = in_order(scene), relation(scene)
        chosen = rng.randrange(2)
        text = f"{pair[chosen].phrase} {relations[chosen]} {pair[1 - chosen].phrase}"
    if scene.layout == "blank" or rng.random() < GROUND_SHARE_OF_CAPTIONS:
        text += f" on {ground(scene)}"
    return text


def echo_dialogue(things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """A sentence that is always spoken, and the typed wish to have it written; the answer quotes it."""
    sentence = _sentence(things, rng, split)
    wish = question("transcribe", "text_questions", rng, split)
    turns = (
        Turn("user", sentence, typed=hasty(wish, rng), spoken=sentence),
        Turn("assistant", answer("transcribe", rng, sentence=sentence)),
    )
    return Dialogue(turns, "transcribe", (sentence.rstrip("?.!"),))


def documents(things: Sequence[Thing], rng: Random) -> Iterator[str]:
    """One short text on each of `things`, in a new order, its sentences shuffled and some of them joined."""
    for thing in rng.sample(things, len(things)):
        sentences = [statement(topic, thing, rng)[0] for topic in topics_of(thing) if topic != "fact"]
        sentences += thing.facts
        sentences += [f"Another word for {thing.name} is {synonym}." for synonym in thing.synonyms]
        sentences.append(_joined_sentence(thing, rng))
        rng.shuffle(sentences)
        yield " ".join(sentences)


def _sentence(things: Sequence[Thing], rng: Random, split: Split) -> str:
    """A question or a fact, as it should be spelt; facts are split too, so that none is spoken in both."""
    facts = of_split([fact for thing in things for fact in thing.facts], split)
    if facts and rng.random() < FACT_SHARE_OF_ECHOES:
        return rng.choice(facts)
    if rng.random() < PICTURE_SHARE_OF_ECHOES:
        topic = rng.choice(("name", "describe", "background", "count_all", *TOPICS))
        return question(topic, "picture_questions", rng, split)
    thing = rng.choice(things)
    return topic_question(rng.choice(topics_of(thing)), thing, rng, split)


def _joined_sentence(thing: Thing, rng: Random) -> str:
    """Two or three statements about a thing in one sentence."""
    forms = (
        "{Thing} is {category} that {place}.",
        "{Thing} is {category} that {use}.",
        "{Thing} {place} and {use}.",
        "{Thing} {use} and {place}.",
    )
    return rng.choice(forms).format(**words_of(thing))
