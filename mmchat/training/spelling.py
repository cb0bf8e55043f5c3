"""What speech is written down in: letters, or the words of the decoder's own vocabulary.

B clips, T features, n cross-modal tokens, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmchat.model.projector import Projector
from mmchat.model.tokenizer import ChatTokenizer

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
_SHARPNESS = 10.0


class Spelling(Protocol):
    """How texts become targets of CTC, and features become their scores."""

    blank: int
    """The target that stands for nothing."""
    head: nn.Module
    """Features (B, T, Da) to scores, one more than there are targets for the blank."""

    def ids(self, text: str) -> list[int]:
        """The targets of a text."""
        ...


class Letters:
    """Letters, spaces and apostrophes; the head is thrown away afterwards."""

    blank = 0

    def __init__(self, features: int) -> None:
        self.head: nn.Module = nn.Linear(features, len(ALPHABET) + 1)

    def ids(self, text: str) -> list[int]:
        """Letters of a text; all but letters, spaces and apostrophes is dropped."""
        kept = re.sub(rf"[^{ALPHABET}]+", " ", text.lower()).strip()
        return [ALPHABET.index(letter) + 1 for letter in re.sub(" +", " ", kept)]


class Words:
    """Tokens of the decoder, told by its own word embeddings: what the projector makes of speech becomes like text."""

    def __init__(self, projector: Projector, embeddings: Tensor, tokenizer: ChatTokenizer) -> None:
        """
        Args:
            projector: learns to make cross-modal tokens (B, n, D) of features.
            embeddings: (V, D) of the decoder; they stay as they are.
            tokenizer: of the decoder.
        """
        self.blank = len(embeddings)
        self.head: nn.Module = _WordHead(projector, embeddings)
        self._tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Tokens of a text, as a person would have typed it."""
        return self._tokenizer.encode(text.strip())


class HeardWords(nn.Module):
    """CTC loss of cross-modal tokens, beside what a decoder says of them (hybrid CTC/attention, Watanabe et al. 2017).

    The decoder's loss reaches the ear through few words of an answer; this one tells it every word that was said, and
    alone says where no word is.
    """

    def __init__(self, projector: Projector, width: int) -> None:
        """For tokens, in time, of width D = `width` that the projector makes."""
        super().__init__()
        self.speaks = _speaks(projector, width)

    def forward(self, tokens: Sequence[Tensor], texts: Sequence[Sequence[int]], embeddings: Tensor) -> Tensor:
        """The loss a word, a scalar.

        Args:
            tokens: (n, D) of each clip.
            texts: the words said in each, as ids of the decoder; none in a clip without speech.
            embeddings: (V, D) of the decoder; no gradient reaches them.
        """
        scores = _word_scores(pad_sequence(list(tokens), batch_first=True), embeddings.detach(), self.speaks)
        return F.ctc_loss(
            scores.transpose(0, 1),  # n, B, V + 1
            torch.tensor([word for ids in texts for word in ids], dtype=torch.long, device=scores.device),
            torch.tensor([len(each) for each in tokens]),
            torch.tensor([len(ids) for ids in texts]),
            blank=len(embeddings),
            zero_infinity=True,
        )


class _WordHead(nn.Module):
    """Features (B, T, Da) to scores (B, n, V + 1), by the projector."""

    def __init__(self, projector: Projector, embeddings: Tensor) -> None:
        super().__init__()
        self.projector = projector
        self.speaks = _speaks(projector, embeddings.shape[1])
        self.embeddings: Tensor
        self.register_buffer("embeddings", embeddings.detach().clone(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return _word_scores(self.projector(features), self.embeddings, self.speaks)


def _speaks(projector: Projector, width: int) -> nn.Linear:
    """That of the projector, which keeps it, or one that is thrown away afterwards."""
    return nn.Linear(width, 1) if projector.speaks is None else projector.speaks


def _word_scores(tokens: Tensor, embeddings: Tensor, speaks: nn.Linear) -> Tensor:
    """(B, n, V + 1) log-probabilities: which word a cross-modal token (B, n, D) is, and last that it is none.

    Whether it is one is decided first, by itself (as in HAT, Variani et al. 2020): that has to be known where no words
    are at hand to compare with.
    """
    sharpness = _SHARPNESS / embeddings.square().sum(1).mean()  # a word itself scores about 10
    words = (tokens @ embeddings.T * sharpness).float().log_softmax(-1)  # B, n, V
    any_word: Tensor = speaks(tokens).float()  # B, n, 1
    return torch.cat([words + F.logsigmoid(any_word), F.logsigmoid(-any_word)], dim=-1)
