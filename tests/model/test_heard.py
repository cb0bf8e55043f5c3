"""What is said at a cross-modal token, and in which order and as what the decoder reads a clip."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmchat.model.heard import HeardWords

D, V = 4, 3
CAT, DOG, COW, NONE = range(V + 1)


@pytest.fixture
def heard() -> HeardWords:
    """Of a token's four numbers the first three are the scores of words, the last says whether there is one."""
    ours = HeardWords(D, V).requires_grad_(False)
    for weight in ours.parameters():
        nn.init.zeros_(weight)
    ours.words.weight[:, :V] = torch.eye(V)
    ours.speaks.weight[0, V] = 1
    return ours


def said(*words: int) -> Tensor:
    """(n, D) tokens that surely say these words, or none."""
    tokens = torch.zeros(len(words), D)
    for token, word in zip(tokens, words, strict=True):
        token[word if word < V else 0] = 20
        token[V] = -20 if word == NONE else 20
    return tokens


def test_whether_there_is_a_word_is_decided_before_which(heard: HeardWords) -> None:
    tokens = torch.randn(2, 5, D)
    scores = heard(tokens).exp()
    assert scores.shape == (2, 5, V + 1)
    torch.testing.assert_close(scores[..., :V], tokens[..., :V].softmax(-1) * tokens[..., V:].sigmoid())
    torch.testing.assert_close(scores[..., V:], 1 - tokens[..., V:].sigmoid())


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ([CAT, DOG, COW], [0, 1, 2]),
        ([NONE, CAT, NONE, DOG], [1, 3, 0, 2]),
        ([CAT, CAT, DOG], [0, 2, 1]),
        ([CAT, NONE, CAT], [0, 2, 1]),
        ([NONE, NONE], [0, 1]),
        ([CAT], [0]),
    ],
    ids=["words", "blanks", "one word", "the word twice", "no words", "a token"],
)
def test_words_come_first_each_where_it_begins_on_the_path_of_ctc(
    heard: HeardWords, path: list[int], order: list[int]
) -> None:
    assert heard.order(said(*path)).tolist() == order


def test_a_word_is_read_as_its_embedding_and_what_says_none_as_it_is(heard: HeardWords) -> None:
    tokens, embeddings = said(NONE, DOG, DOG, CAT), torch.randn(V, D)
    read = heard.read(tokens, embeddings)
    torch.testing.assert_close(read, torch.stack([embeddings[DOG], embeddings[CAT], tokens[0], tokens[2]]))


def test_what_a_word_may_have_been_is_mixed_by_how_likely_it_is(heard: HeardWords) -> None:
    """The silence that there may have been as well has no share in it."""
    embeddings = torch.randn(V, D)
    (read,) = heard.read(torch.tensor([[1.0, 2.0, 0.0, 1.0]]), embeddings)
    torch.testing.assert_close(read, torch.tensor([1.0, 2.0, 0.0]).softmax(0) @ embeddings)


def test_a_word_less_likely_than_none_is_not_read(heard: HeardWords) -> None:
    """As greedy CTC has it: none is likelier than each of the words, though less likely than all together."""
    token = torch.tensor([[1.0, 1.0, 1.0, 0.4]])
    assert heard(token).exp()[0, NONE] < 0.5
    assert torch.equal(heard.read(token, torch.randn(V, D)), token)


def test_decoder_and_ear_both_learn_by_what_is_read() -> None:
    heard, tokens = HeardWords(D, V), torch.randn(6, D, requires_grad=True)
    nn.init.constant_(heard.speaks.bias, 9)
    embeddings = torch.randn(V, D, requires_grad=True)
    heard.read(tokens, embeddings).square().sum().backward()  # type: ignore[no-untyped-call]
    for weight in (tokens, embeddings, heard.words.weight):
        assert weight.grad is not None
        assert weight.grad.norm() > 0
