"""What speech is written down in: letters, or the words of the decoder's own vocabulary.

B clips, T features, n cross-modal tokens, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

import re
from typing import Protocol

import torch
from torch import Tensor, nn

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


class _WordHead(nn.Module):
    """Scores (B, n, V + 1): how much a cross-modal token resembles each word, and how much it says nothing."""

    def __init__(self, projector: Projector, embeddings: Tensor) -> None:
        super().__init__()
        self.projector = projector
        self.silence = nn.Linear(embeddings.shape[1], 1)
        self.embeddings: Tensor
        embeddings = embeddings.detach().clone()
        self.register_buffer("embeddings", embeddings, persistent=False)
        self.sharpness = _SHARPNESS / float(embeddings.square().sum(1).mean())  # a word itself scores about 10

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.projector(features)  # B, n, D
        words = tokens @ self.embeddings.T * self.sharpness  # B, n, V
        return torch.cat([words, self.silence(tokens)], dim=-1)
