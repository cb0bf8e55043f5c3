"""Pure measures over answers; needs the `eval` extra."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer
import sacrebleu
from rouge_score import rouge_scorer


def find_phrase(text: str, phrase: str) -> re.Match[str] | None:
    """The first place where the phrase stands in the text as whole words, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE)


def is_accepted(answer: str, accept: Iterable[str]) -> bool:
    """Whether any of the accepted words or phrases stands in the answer."""
    return any(find_phrase(answer, phrase) for phrase in accept)


def is_exact(answer: str, accept: Sequence[str]) -> bool:
    """Whether the first accepted phrase stands in the answer: the thing's own name, where the others are synonyms."""
    return is_accepted(answer, accept[:1])


def is_refusal(answer: str) -> bool:
    """Whether an answer says that the answer is not known; honest where nobody could know it, a failure elsewhere."""
    return bool(re.search(r"\b(don['’]t|do not) know\b", answer, re.IGNORECASE))


def majority_phrase(rows: Iterable[Iterable[str]]) -> str:
    """The accepted phrase that most rows share, in lower case; the first of equals.

    Args:
        rows: of each row, at least one of them, its accepted phrases.
    """
    counts = Counter(phrase for accept in rows for phrase in dict.fromkeys(each.lower() for each in accept))
    return counts.most_common(1)[0][0]


def plain(text: str) -> str:
    """The words alone: lower case, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())


def quoted(answer: str) -> str:
    """What stands between the first and the last double quote of an answer; all of it where there are no two."""
    found = re.search(r'["“](.*)["”]', answer, re.DOTALL)
    return answer if found is None else found.group(1)


def word_error_rate(spoken: Sequence[str], written: Sequence[str]) -> float:
    """Words to insert, delete or exchange, over all clips, for each word that was spoken; case and punctuation do not
    count. 0 is perfect, and there is no upper limit.

    Args:
        spoken: at least one transcript, none without words.
        written: what was understood of each.
    """
    return float(jiwer.wer([plain(text) for text in spoken], [plain(text) for text in written]))


@dataclass(frozen=True)
class Overlap:
    """How much of the wording of the references the answers share; each from 0 to 100."""

    bleu: float
    """Of the corpus, as sacrebleu computes it (Post 2018)."""
    chrf: float
    """Of the corpus, over characters (Popović 2015)."""
    rouge_l: float
    """Mean F-measure of the longest common subsequence of words (Lin 2004)."""


def overlap(references: Sequence[str], answers: Sequence[str]) -> Overlap:
    """Compare at least one answer with the reference of the same place."""
    rouge = rouge_scorer.RougeScorer(["rougeL"])
    scores = [rouge.score(*pair)["rougeL"].fmeasure for pair in zip(references, answers, strict=True)]
    return Overlap(
        bleu=float(sacrebleu.corpus_bleu(answers, [references]).score),
        chrf=float(sacrebleu.corpus_chrf(answers, [references]).score),
        rouge_l=100 * sum(scores) / len(scores),
    )


def perplexity(nats: float, tokens: int) -> float:
    """exp(-log-probability per token); infinite where that is more than a float can hold."""
    try:
        return math.exp(-nats / tokens)
    except OverflowError:
        return math.inf
