"""What came out: one outcome a question, and the figures over many of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmchat.evaluation.metrics import Overlap, overlap, perplexity, plain, quoted, word_error_rate
from mmchat.evaluation.tasks import Question

TRANSCRIBE = "transcribe"
"""The kind of question whose answers quote what was said."""


@dataclass(frozen=True)
class Outcome:
    """What became of one question. None stands where something was not asked or does not apply."""

    question: Question
    answer: str
    exact: bool
    accepted: bool
    refused: bool
    """Whether the answer is that it is not known."""
    majority: bool
    """Whether the commonest accepted phrase of its kind would have been right."""
    nats: float
    """Log-probability of the reference."""
    tokens: int
    """Length of the reference, its end included."""
    removed: bool | None = None
    """Whether the answer is right without the media."""
    exchanged: bool | None = None
    """Whether the answer is right with other media."""
    typed: bool | None = None
    """Whether the answer is right when the spoken question is typed."""
    agrees: bool | None = None
    """Whether the answers to the question spoken and typed are both right or have the same words."""
    guessed: bool | None = None
    """Whether one of several guesses is right."""

    def to_dict(self) -> dict[str, Any]:
        """What a program needs to find the row and see what went wrong."""
        question = self.question
        return {"row": question.row, "kind": question.kind, "answer": self.answer, "accept": [*question.accept]}


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.right / self.of

    @classmethod
    def among(cls, marks: Iterable[bool | None]) -> Share | None:
        """The share of those that were asked; None when none was."""
        asked = [mark for mark in marks if mark is not None]
        return cls(sum(asked), len(asked)) if asked else None


@dataclass(frozen=True)
class Score:
    """The figures of one group of questions; the shares are of the fields of `Outcome` that are named alike."""

    name: str
    asked: int
    exact: Share | None
    accepted: Share | None
    refused: Share | None
    removed: Share | None
    exchanged: Share | None
    majority: Share | None
    typed: Share | None
    agrees: Share | None
    guessed: Share | None
    word_error_rate: float | None
    """Of what the answers of kind `transcribe` quote."""
    perplexity: float
    """Of the references, a token."""

    @classmethod
    def of(cls, name: str, outcomes: Sequence[Outcome]) -> Score:
        """The figures of at least one outcome."""
        return cls(
            name=name,
            asked=len(outcomes),
            exact=Share.among(outcome.exact for outcome in outcomes),
            accepted=Share.among(outcome.accepted for outcome in outcomes),
            refused=Share.among(outcome.refused for outcome in outcomes),
            removed=Share.among(outcome.removed for outcome in outcomes),
            exchanged=Share.among(outcome.exchanged for outcome in outcomes),
            majority=Share.among(outcome.majority for outcome in outcomes),
            typed=Share.among(outcome.typed for outcome in outcomes),
            agrees=Share.among(outcome.agrees for outcome in outcomes),
            guessed=Share.among(outcome.guessed for outcome in outcomes),
            word_error_rate=_word_error_rate(outcomes),
            perplexity=perplexity(sum(each.nats for each in outcomes), sum(each.tokens for each in outcomes)),
        )


@dataclass(frozen=True)
class Evaluation:
    """The outcome of a run."""

    model: str
    dataset: str
    total: Score
    overlap: Overlap
    """Of all answers with their references."""
    kinds: tuple[Score, ...]
    styles: tuple[Score, ...]
    """Of the rows that say in which style their pictures are."""
    wrong: tuple[Outcome, ...]
    """The worst wrong answers."""

    @classmethod
    def of(cls, model: str, dataset: str, outcomes: Sequence[Outcome], show_wrong: int) -> Evaluation:
        """The figures of at least one outcome, and so many of the wrong ones."""
        pictured = [outcome for outcome in outcomes if outcome.question.style is not None]
        return cls(
            model=model,
            dataset=dataset,
            total=Score.of("all", outcomes),
            overlap=overlap([each.question.reference for each in outcomes], [each.answer for each in outcomes]),
            kinds=_grouped(outcomes, lambda outcome: outcome.question.label),
            styles=_grouped(pictured, lambda outcome: str(outcome.question.style)),
            wrong=tuple(worst(outcomes, show_wrong)),
        )

    def to_json(self) -> str:
        """One line for programs: every figure, and the wrong answers that were kept."""
        value = {
            "model": self.model,
            "dataset": self.dataset,
            **_figures(self.total),
            **asdict(self.overlap),
            "kinds": {score.name: _figures(score) for score in self.kinds},
            "styles": {score.name: _figures(score) for score in self.styles},
            "wrong": [outcome.to_dict() for outcome in self.wrong],
        }
        return json.dumps(value, ensure_ascii=False)


def worst(outcomes: Sequence[Outcome], n: int) -> list[Outcome]:
    """At most n wrong answers, one of each kind by turns; of each kind the least probable references first."""
    ranks: dict[str, int] = {}
    ranked = []
    for outcome in sorted(outcomes, key=lambda each: each.nats / each.tokens):
        if not outcome.accepted:
            rank = ranks[outcome.question.label] = ranks.get(outcome.question.label, -1) + 1
            ranked.append((rank, outcome))
    return [outcome for _, outcome in sorted(ranked, key=lambda pair: pair[0])[:n]]


def _grouped(outcomes: Iterable[Outcome], name: Callable[[Outcome], str]) -> tuple[Score, ...]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(name(outcome), []).append(outcome)
    return tuple(Score.of(group, alike) for group, alike in sorted(groups.items()))


def _word_error_rate(outcomes: Iterable[Outcome]) -> float | None:
    pairs = [
        (outcome.question.transcripts[-1], quoted(outcome.answer))
        for outcome in outcomes
        if outcome.question.kind == TRANSCRIBE and any(plain(text) for text in outcome.question.transcripts[-1:])
    ]
    return word_error_rate(*zip(*pairs, strict=True)) if pairs else None


def _figures(score: Score) -> dict[str, Any]:
    """Shares with their value; infinity, which JSON does not know, as null."""
    figures: dict[str, Any] = {}
    for name, value in vars(score).items():
        if isinstance(value, Share):
            figures[name] = {"right": value.right, "of": value.of, "share": round(value.value, 4)}
        elif name != "name":
            figures[name] = None if value == float("inf") else value
    return figures
