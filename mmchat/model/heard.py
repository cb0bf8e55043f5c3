"""What is said at each cross-modal token of a clip, and the clip as the decoder reads it then.

B clips, n cross-modal tokens, D width of the decoder, V size of its vocabulary
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HeardWords(nn.Module):
    """Speech to words of the decoder's own, each with how likely it is (as in LegoSLM, Ma et al. 2025).

    The decoder is given text, or what looks like it: what it learns of typed questions it knows of spoken ones, and the
    ear can be taught alone.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        """For tokens of width D = `width` and V = `vocabulary` words."""
        super().__init__()
        self.speaks = nn.Linear(width, 1)
        self.words = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """(…, D) to log-probabilities (…, V + 1): which word a token says, and last that it says none."""
        return with_blank(self.words(tokens), self.speaks(tokens))

    def order(self, tokens: Tensor) -> Tensor:
        """(n,) the places, among the (n, D) tokens of a clip, of what the decoder reads first, second, …

        Words, then tokens that say none, or go on with the word before; both keep their order. (CTC compression,
        Gaido et al. 2021, leaves the latter out; here the number of tokens is known before their words are.)
        """
        return _behind(~self._begins(self(tokens)))

    def read(self, tokens: Tensor, embeddings: Tensor) -> Tensor:
        """The (n, D) tokens of a clip as they are read: words, by the decoder's (V, D) embeddings, then the rest."""
        scores = self(tokens)  # n, V + 1
        begins = self._begins(scores)
        words = scores[:, :-1].softmax(-1).to(embeddings.dtype) @ embeddings  # n, D
        return torch.where(begins[:, None], words, tokens)[_behind(~begins)]

    def _begins(self, scores: Tensor) -> Tensor:
        """(n,) whether a word begins here, on the likeliest path of CTC."""
        best = scores.argmax(-1)
        before = F.pad(best, (1, 0), value=self.words.out_features)[:-1]
        return (best < self.words.out_features) & (best != before)


def with_blank(words: Tensor, any_word: Tensor) -> Tensor:
    """Scores of words (…, V), and that there is one (…, 1), to log-probabilities (…, V + 1) of each and of none.

    Whether there is one is decided first, by itself (as in HAT, Variani et al. 2020): that has to be known where no
    words are at hand to compare with.
    """
    any_word = any_word.float()
    return torch.cat([words.float().log_softmax(-1) + F.logsigmoid(any_word), F.logsigmoid(-any_word)], dim=-1)


def _behind(rest: Tensor) -> Tensor:
    """(n,) the places of what is no rest, then of the rest."""
    return rest.int().argsort(stable=True)
