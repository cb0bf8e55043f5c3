"""Dialogues that change their subject: a name, pictures, sums, things and manners in any order, and back again.

Whoever only learns from dialogues of one subject takes whatever is asked for more of the same: behind "my name is
Mira" the question "what is three plus four?" was answered with the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from mmchat.world.concepts import Thing
from mmchat.world.phrasing import Split, answer, question
from mmchat.world.picture_talk import draw_kind, name_exchange, picture_exchange, seen
from mmchat.world.scenes import Scene
from mmchat.world.talk import TOPICS, Dialogue, Exchange, dialogue, topics_of
from mmchat.world.text_talk import (
    ask_name,
    person_name,
    tell_name,
    text_exchange,
    topic_exchange,
    topic_exchange_of_it,
)

SUBJECT_WEIGHTS: Mapping[str, float] = {
    **{"words": 5, "thing": 2, "it": 2, "tell_name": 2.5, "ask_name": 2},
    **{"show": 3, "look_again": 2, "shown_before": 1.5, "no_media": 0.4},
}
WORDS_WEIGHTS: Mapping[str, float] = {
    **{"sum": 3, "sum_digits": 2, "next_number": 1, "count_to": 0.5, "is_a": 2, "category_example": 1},
    **{"about": 1, "out_of_world": 2, "greet": 0.5, "thanks": 1},
}
"""Of the questions that are about nothing that was shown or named before."""

WITH_NAME_SHARE = 0.25
"""Of the names that are told: those with another question in the same message."""

NAMED_SHARE = 0.4
"""Of the pictures of one thing: those of which it is asked what it is, so that "it" may be asked of later."""

_FEWEST, _MOST = 2, 6
_SOURCE = "picture_questions"
_OF_A_PICTURE = ("name", "describe", "background", "count_all")


def shift_dialogue(scenes: Sequence[Scene], things: Sequence[Thing], rng: Random, split: Split) -> Dialogue:
    """Two to six exchanges, each about something else than the one before it, or about what "it" then is.

    The kind of the dialogue says what comes last: `shift_ask_name`, `shift_look_again` and so on.

    Args:
        scenes: drawn, at most two; they may be shown in their order, and often none is.
        things: the world, of which at least one thing is in none of the scenes.
        rng: what is drawn from.
        split: which wordings may be used.
    """
    talk = _Talk(scenes, things, rng, split)
    last, exchanges = talk.exchanges(rng.randint(_FEWEST, _MOST))
    shifted = dialogue(f"shift_{last}", exchanges, rng, split)
    # A name that is told at the end is written as it should be spelt, which nobody could tell from its sound.
    return replace(shifted, speakable=shifted.speakable and not exchanges[-1].keep_capitals)


class _Talk:
    """What was said and shown so far, and what may come next."""

    def __init__(self, scenes: Sequence[Scene], things: Sequence[Thing], rng: Random, split: Split) -> None:
        self._scenes, self._things, self._rng, self._split = scenes, things, rng, split
        self._shown = 0
        self._person: str | None = None
        self._it: Thing | None = None
        """The thing that was last spoken of alone."""
        self._subjects: Mapping[str, Callable[[], Exchange]] = {
            "words": self._words,
            "thing": self._thing,
            "it": self._topic_of_it,
            "tell_name": self._tell_name,
            "ask_name": self._ask_name,
            "show": self._show,
            "look_again": self._look_again,
            "shown_before": self._shown_before,
            "no_media": self._no_media,
        }

    def exchanges(self, count: int) -> tuple[str, list[Exchange]]:
        """So many, one behind the other, and the subject of the last."""
        made: list[Exchange] = []
        subject = ""
        while len(made) < count:
            subject = self._next_subject(subject)
            exchange = self._subjects[subject]()
            if subject == "tell_name" and self._rng.random() < WITH_NAME_SHARE:
                subject = self._next_subject(subject)
                exchange = self._with_name(self._subjects[subject]())
            made.append(exchange)
        return subject, made

    def _next_subject(self, before: str) -> str:
        possible = [subject for subject in SUBJECT_WEIGHTS if self._is_possible(subject, before)]
        return self._rng.choices(possible, [SUBJECT_WEIGHTS[subject] for subject in possible])[0]

    def _is_possible(self, subject: str, before: str) -> bool:
        match subject:
            case "words":
                return True  # they are about many things
            case "it":
                return self._it is not None
            case "tell_name":
                return self._person is None
            case "ask_name":
                return before not in ("tell_name", "ask_name")
            case "show":
                return before != "show" and self._shown < len(self._scenes)
            case "look_again":
                return before not in ("look_again", "shown_before") and self._shown > 0
            case "shown_before":
                return before not in ("show", "look_again", "shown_before") and bool(self._shown_alone())
            case "no_media":
                return before != "no_media" and self._shown == 0
        return subject != before

    def _words(self) -> Exchange:
        kind = self._rng.choices(list(WORDS_WEIGHTS), list(WORDS_WEIGHTS.values()))[0]
        if kind in ("is_a", "category_example", "out_of_world"):
            self._it = None  # another thing is named
        return text_exchange(kind, self._things, self._rng, self._split)

    def _thing(self) -> Exchange:
        self._it = self._rng.choice(self._things)
        return topic_exchange(self._rng.choice(topics_of(self._it)), self._it, self._rng, self._split)

    def _topic_of_it(self) -> Exchange:
        assert self._it is not None, "it is asked of when something was named"
        return topic_exchange_of_it(self._rng.choice(topics_of(self._it)), self._it, self._rng, self._split)

    def _tell_name(self) -> Exchange:
        self._person = person_name(self._things, self._rng, self._split)
        return tell_name(self._person, self._rng, self._split)

    def _ask_name(self) -> Exchange:
        if self._person is None:
            return text_exchange("no_name", self._things, self._rng, self._split)
        return ask_name(self._person, self._rng, self._split)

    def _with_name(self, exchange: Exchange) -> Exchange:
        """The name and a question in one message."""
        assert self._person is not None, "a name was told"
        told = tell_name(self._person, self._rng, self._split)
        hello = answer("greet_name", self._rng, person=self._person)
        asked, text = f"{told.question} {exchange.question}", f"{hello} {exchange.answer}"
        return replace(exchange, question=asked, answer=text, keep_capitals=True, short="")

    def _show(self) -> Exchange:
        scene, number = self._scenes[self._shown], self._shown
        self._shown += 1
        alone = scene.layout == "one"
        self._it = scene.placed[0].thing if alone else None
        if alone and self._rng.random() < NAMED_SHARE:
            exchange = name_exchange(scene, self._rng, self._split)
        else:
            exchange = picture_exchange(scene, self._things, self._rng, self._split)
        return replace(exchange, pictures=(number,))

    def _look_again(self) -> Exchange:
        """A question of the picture that was shown last, without showing it again."""
        scene = self._scenes[self._shown - 1]
        kind = draw_kind(scene, self._rng)
        while kind in (*TOPICS, "followup"):  # "it" may be another thing by now
            kind = draw_kind(scene, self._rng)
        return picture_exchange(scene, self._things, self._rng, self._split, kind)

    def _shown_before(self) -> Exchange:
        """What was in the picture? In the first picture?"""
        way, scene = self._rng.choice(self._shown_alone())
        asked = question(way, _SOURCE, self._rng, self._split)
        return Exchange(asked, answer("earlier", self._rng, seen=seen(scene)), scene.placed[0].thing.names)

    def _shown_alone(self) -> list[tuple[str, Scene]]:
        """How to ask for a picture, and what it shows, where that is one thing."""
        ways = ("earlier_before",) if self._shown == 1 else ("earlier_first", "earlier_last")
        shown = zip(ways, self._scenes[: self._shown], strict=False)
        return [(way, scene) for way, scene in shown if scene.layout == "one"]

    def _no_media(self) -> Exchange:
        """A question of a picture before one was shown."""
        asked = question(self._rng.choice(_OF_A_PICTURE), _SOURCE, self._rng, self._split)
        return Exchange(asked, answer("no_media", self._rng), ("don't see a picture", "no picture"))
