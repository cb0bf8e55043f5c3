"""What an evaluation found, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmchat.evaluation.scores import Evaluation, Score, Share
from mmchat.evaluation.table import Table

LEGEND = {
    "exact": "the first accepted phrase stands in the answer",
    "accepted": "any accepted phrase does",
    "refused": "the answer is that it is not known",
    "removed": "accepted when the picture and clip are taken away; where no words would be left it is not asked",
    "exchanged": "accepted when they are exchanged for others of the dataset",
    "majority": "what the commonest answer of each kind would score",
    "typed": "accepted when a spoken question is typed",
    "agrees": "spoken and typed are answered with the same words, or both rightly",
    "guesses": "one of the likeliest ways to go on is accepted",
    "WER": "word error rate of what was written down",
}
"""What the columns mean."""

_COLUMNS: dict[str, Callable[[Score], Share | float | None]] = {
    "exact": lambda score: score.exact,
    "accepted": lambda score: score.accepted,
    "refused": lambda score: score.refused,
    "removed": lambda score: score.removed,
    "exchanged": lambda score: score.exchanged,
    "majority": lambda score: score.majority,
    "typed": lambda score: score.typed,
    "agrees": lambda score: score.agrees,
    "guesses": lambda score: score.guessed,
    "WER": lambda score: score.word_error_rate,
}


def tables(result: Evaluation) -> list[Table]:
    """By kind, with a last row for all; then by style, where rows have one. No column is empty."""
    by_kind = _table("kind", (*result.kinds, result.total))
    return [by_kind, _table("style", result.styles)] if result.styles else [by_kind]


def totals(result: Evaluation) -> dict[str, str]:
    """The figures about wording, over all answers."""
    return {
        "BLEU": f"{result.overlap.bleu:.1f}",
        "chrF": f"{result.overlap.chrf:.1f}",
        "ROUGE-L": f"{result.overlap.rouge_l:.1f}",
        "perplexity": f"{result.total.perplexity:.2f}",
    }


def to_text(result: Evaluation) -> str:
    """All of it for a terminal."""
    wording = ", ".join(f"{name} {value}" for name, value in totals(result).items())
    return "\n\n".join([*(table.to_text() for table in tables(result)), wording])


def _table(name: str, scores: Sequence[Score]) -> Table:
    columns = {column: value for column, value in _COLUMNS.items() if any(value(score) is not None for score in scores)}
    return Table(
        (name, "asked", *columns),
        tuple(
            (score.name, str(score.asked), *(_percent(value(score)) for value in columns.values())) for score in scores
        ),
    )


def _percent(value: Share | float | None) -> str:
    if value is None:
        return ""
    return f"{value.value if isinstance(value, Share) else value:.1%}"
