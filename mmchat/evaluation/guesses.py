"""Several guesses: the answer is begun as the reference begins it, and the best ways to go on are looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmchat.assistant import Assistant
from mmchat.evaluation.metrics import find_phrase
from mmchat.evaluation.tasks import Question

MAX_NEW_TOKENS = 12
"""Room for the longest name."""
SENTENCE_ENDS = (".", "!", "?")


def opening(reference: str, accept: Sequence[str]) -> str | None:
    """What stands in a reference before the first accepted phrase that it holds, without an article at its end.

    "This is a cat." with "cat" gives "This is": an article would tell a cat from an owl. None when it holds none.
    """
    found = next((match for match in (find_phrase(reference, phrase) for phrase in accept) if match), None)
    if found is None:
        return None
    return re.sub(r"(^|\s)(a|an|the|some)$", "", reference[: found.start()].rstrip(), flags=re.IGNORECASE)


def guesses(assistant: Assistant, question: Question, n: int) -> list[str] | None:
    """The n most probable ends of the sentence that the reference begins; None when it holds no accepted phrase."""
    begun = opening(question.reference, question.accept)
    if begun is None:
        return None
    return assistant.continuations(question.messages, begun, n, stop=SENTENCE_ENDS, max_new_tokens=MAX_NEW_TOKENS)
