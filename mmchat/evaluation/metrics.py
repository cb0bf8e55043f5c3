"""Pure measures over answers."""

from __future__ import annotations

import re
from collections.abc import Iterable


def is_accepted(answer: str, accept: Iterable[str]) -> bool:
    """Whether any of the accepted words or phrases stands in the answer as whole words, whatever the case."""
    return any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", answer, re.IGNORECASE) for phrase in accept)
