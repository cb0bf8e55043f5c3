"""What counts as a right answer, and how answers are measured."""

from __future__ import annotations

import math

import pytest

from mmchat.evaluation.metrics import (
    is_accepted,
    is_exact,
    is_refusal,
    majority_phrase,
    overlap,
    perplexity,
    plain,
    quoted,
    word_error_rate,
)


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("This is a cat.", ["cat"]),
        ("Cat!", ["cat"]),
        ("a CAT", ["cat"]),
        ("It is a kitten.", ["cat", "kitten"]),
        ("a hot-dog", ["dog"]),
        ("It is a hot air balloon, I think.", ["hot air balloon"]),
        ("'cat'", ["cat"]),
        ("That is C++ (the language).", ["C++"]),
        ("Die Straße ist lang.", ["straße"]),
        ("3 cats", ["3"]),
    ],
)
def test_right(answer: str, accept: list[str]) -> None:
    assert is_accepted(answer, accept)


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("This is a caterpillar.", ["cat"]),
        ("These are cats.", ["cat"]),
        ("a bobcat", ["cat"]),
        ("a hot balloon", ["hot air balloon"]),
        ("13 cats", ["3"]),
        ("cat_1", ["cat"]),
        ("abc", ["a.c"]),
        ("", ["cat"]),
        ("This is a cat.", []),
    ],
)
def test_wrong(answer: str, accept: list[str]) -> None:
    assert not is_accepted(answer, accept)


def test_a_synonym_is_accepted_and_not_exact() -> None:
    accept = ["ladybug", "ladybird"]
    assert is_exact("A ladybug.", accept)
    assert not is_exact("A ladybird.", accept)
    assert is_accepted("A ladybird.", accept)


@pytest.mark.parametrize("answer", ["I don't know that.", "Sorry, I don’t know.", "I do not know it."])
def test_a_refusal_says_that_it_does_not_know(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ["I know that a cat purrs.", "You don't see it, I know.", "It is unknown."])
def test_other_answers_are_no_refusals(answer: str) -> None:
    assert not is_refusal(answer)


def test_the_majority_counts_rows_and_not_how_often_a_row_says_it() -> None:
    assert majority_phrase([["no"], ["Yes", "yes", "yes"], ["NO"]]) == "no"
    assert majority_phrase([["cat", "pet"], ["dog", "pet"], ["cow"]]) == "pet"


def test_the_first_of_equal_majorities_is_taken() -> None:
    assert majority_phrase([["two"], ["three"]]) == "two"


def test_plain_words_have_neither_case_nor_punctuation() -> None:
    assert plain("  Yes, it's a CAT -\n a “big” one! ") == "yes its a cat a big one"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('You said: "A cat."', "A cat."),
        ('You said: "He said "no" to me".', 'He said "no" to me'),
        ("You said: “A cat.”", "A cat."),
        ("A cat.", "A cat."),
        ('You said: "A cat.', 'You said: "A cat.'),
        ('You said: "".', ""),
    ],
)
def test_the_quote_is_what_was_understood(answer: str, said: str) -> None:
    assert quoted(answer) == said


def test_word_errors_are_counted_over_all_clips() -> None:
    """One word exchanged and one left out, of eight that were spoken: not the mean of 1/2 and 1/6."""
    spoken = ["Good cats!", "the dog sleeps on the mat"]
    assert word_error_rate(spoken, ["good hats", "The dog sleeps, on mat."]) == pytest.approx(2 / 8)
    assert word_error_rate(spoken, spoken) == 0
    assert word_error_rate(["cat"], ["a cat and a dog"]) == 4
    assert word_error_rate(["cat"], [""]) == 1


def test_overlap_is_whole_with_the_same_words_and_none_with_others() -> None:
    references = ["the cat sits on the mat", "it is a very big dog"]
    same, other = overlap(references, references), overlap(references, ["xyz", "uvw"])
    assert (same.bleu, same.chrf, same.rouge_l) == pytest.approx((100, 100, 100))
    assert (other.bleu, other.rouge_l) == pytest.approx((0, 0))


def test_rouge_l_is_the_mean_f_measure() -> None:
    """Two of three words in order, of two words that were said: precision 1, recall 2/3."""
    assert overlap(["a b c", "a"], ["a c", "z"]).rouge_l == pytest.approx(100 * (0.8 + 0) / 2)


def test_bleu_counts_references_as_references() -> None:
    """A short answer is punished for its brevity, a long one is not: exchanging the arguments would exchange them."""
    long, short = ["the cat sits on the mat today"], ["the cat sits on"]
    assert overlap(long, short).bleu < overlap(short, long).bleu + 50
    assert overlap(long, short).bleu == pytest.approx(100 * math.exp(1 - 7 / 4))


def test_perplexity_is_the_inverse_of_the_mean_probability() -> None:
    assert perplexity(3 * math.log(1 / 8), 3) == pytest.approx(8)
    assert perplexity(-1e6, 2) == math.inf
