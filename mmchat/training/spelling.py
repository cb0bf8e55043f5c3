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

from mmchat.model.heard import with_blank
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
    """Tokens of the decoder's vocabulary, told of what the projector makes of speech."""

    def __init__(self, projector: Projector, embeddings: Tensor, tokenizer: ChatTokenizer) -> None:
        """
        Args:
            projector: learns to make cross-modal tokens (B, n, D) of features, and which words they are if it keeps
                that.
            embeddings: (V, D) of the decoder; they stay as they are.
            tokenizer: of the decoder.
        """
        self.blank = len(embeddings)
        self.head: nn.Module = _WordHead(projector, embeddings)
        self._tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Tokens of a text, as a person would have typed it."""
        return self._tokenizer.encode(text.strip())


class HearingLoss(nn.Module):
    """CTC loss of cross-modal tokens, beside what a decoder says of them (hybrid CTC/attention, Watanabe et al. 2017).

    The decoder's loss reaches the ear through few words of an answer; this one tells it every word that was said, and
    alone says where no word is.
    """

    def __init__(self, projector: Projector, width: int) -> None:
        """For tokens, in time, of width D = `width` that the projector makes."""
        super().__init__()
        self.scores = _WordScores(projector, width)

    def forward(self, tokens: Sequence[Tensor], texts: Sequence[Sequence[int]], embeddings: Tensor) -> Tensor:
        """The loss a word, a scalar.

        Args:
            tokens: (n, D) of each clip.
            texts: the words said in each, as ids of the decoder; none in a clip without speech.
            embeddings: (V, D) of the decoder; no gradient reaches them.
        """
        scores = self.scores(pad_sequence(list(tokens), batch_first=True), embeddings.detach())  # B, n, V + 1
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
        self.scores = _WordScores(projector, embeddings.shape[1])
        self.embeddings: Tensor
        self.register_buffer("embeddings", embeddings.detach().clone(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.scores(self.projector(features), self.embeddings)
        return scores


class _WordScores(nn.Module):
    """Which word a cross-modal token is: as the projector keeps it, or by likeness to the words of the decoder.

    By likeness, what the projector makes of speech becomes like text; what tells words from none is thrown away.
    """

    def __init__(self, projector: Projector, width: int) -> None:
        super().__init__()
        self.kept = projector.heard
        self.speaks = nn.Linear(width, 1) if projector.heard is None else None

    def forward(self, tokens: Tensor, embeddings: Tensor) -> Tensor:
        """(B, n, D), given (V, D), to log-probabilities (B, n, V + 1): which word, and last that it is none."""
        if self.kept is not None:
            scores: Tensor = self.kept(tokens)
            return scores
        assert self.speaks is not None
        sharpness = _SHARPNESS / embeddings.square().sum(1).mean()  # a word itself scores about 10
        return with_blank(tokens @ embeddings.T * sharpness, self.speaks(tokens))
