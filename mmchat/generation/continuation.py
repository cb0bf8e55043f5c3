"""An answer as the decoder reads it: a token at a time, or several that were guessed.

Speculative decoding by prompt lookup (Saxena 2023): what follows in the conversation where the last ids stood before is
guessed to follow again and read in one pass; what was guessed wrongly is forgotten. Each id is still drawn from the
logits after those before it, so answers are what they are without guesses.

V vocabulary
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from mmchat.errors import OptionError
from mmchat.model.cache import Cache
from mmchat.model.decoder import Decoder

_LONGEST, _SHORTEST = 3, 2
"""How many of the last ids have to stand somewhere before."""


class Continuation:
    """What follows a prompt; its cache grows by what is read."""

    def __init__(self, decoder: Decoder, cache: Cache, ids: Sequence[int], guesses: int) -> None:
        """
        Args:
            decoder: in evaluation mode.
            cache: of the prompt; from here on it belongs to the continuation.
            ids: (T,) of the prompt.
            guesses: how many ids at most are guessed at a time.

        Raises:
            OptionError: guesses are wanted, and what was read cannot be forgotten again.
        """
        if guesses and not cache.croppable:
            raise OptionError("this model forgets what lies outside its window, so it cannot guess: no prompt lookup")
        self.cache = cache
        self._decoder = decoder
        self._ids = list(ids)
        self._guesses = guesses
        self._ahead: deque[tuple[int, Tensor]] = deque()
        """Ids that were guessed to follow, and the logits (V,) after each."""

    def after(self, token: int, left: int) -> Tensor:
        """Take the next id; the logits (V,) after it.

        Args:
            token: the id.
            left: how many more ids the answer may have.
        """
        if self._ahead and self._ahead[0][0] == token:
            self._ids.append(token)
            return self._ahead.popleft()[1]
        self.forget_guesses()
        self._ids.append(token)
        room = min(self._guesses, left - 1, self._decoder.context - len(self._ids))
        guessed = [id_ for id_ in look_up(self._ids, room) if id_ < self._decoder.vocab_size]
        ids = torch.tensor([[token, *guessed]], device=self._decoder.device)
        logits, _ = self._decoder(self._decoder.embed(ids), cache=self.cache, logits_to_keep=len(guessed) + 1)
        following: list[Tensor] = list(logits[0])
        self._ahead.extend(zip(guessed, following[1:], strict=True))
        return following[0]

    def forget_guesses(self) -> None:
        """Leave nothing in the cache but the prompt and the ids that were taken."""
        if self._ahead:
            self.cache.crop(len(self._ids))
            self._ahead.clear()


def look_up(ids: Sequence[int], count: int) -> list[int]:
    """Up to `count` ids that came after the last ids where these stood before, latest first; three of them, or two."""
    if count < 1:
        return []
    for length in range(_LONGEST, _SHORTEST - 1, -1):
        last = list(ids[-length:])
        for start in range(len(ids) - length - 1, -1, -1):
            if list(ids[start : start + length]) == last:
                return list(ids[start + length : start + length + count])
    return []
