"""Ids to final text, with real tokenizers that were trained on a few lines."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mmchat.errors import OptionError
from mmchat.generation.text import TextStream

LINES = ["A cat is an animal.", "The cat sleeps for most of the day.", "It is a cat, and the cat is grey."]
MIXED = "Grüße 🐈‍⬛! 猫は動物です。 👩🏽‍🚀 x\n\t你好, 🇩🇪 end"


def byte_level_bpe() -> Tokenizer:
    """256 bytes and a few merges: characters that are not in `LINES` are one token a byte."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_level_bpe()


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text).ids)


def pieces(tokenizer: Tokenizer, ids: Iterable[int], stop: tuple[str, ...] = ()) -> list[str]:
    """One piece for each id, then what the end releases."""
    stream = TextStream(tokenizer.decode, stop)
    return [*(stream.push(token) for token in ids), stream.flush()]


class Characters:
    """A stand-in for a tokenizer whose tokens are given strings; for stop strings cut in a certain way."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens

    def decode(self, ids: list[int]) -> str:
        return "".join(self.tokens[token] for token in ids)


def stopped_at(tokens: list[str], stop: list[str]) -> tuple[list[str], bool]:
    """The pieces, the last one from the flush, and whether a stop string was seen."""
    stream = TextStream(Characters(*tokens).decode, stop)
    result = [stream.push(token) for token in range(len(tokens))]
    return [*result, stream.flush()], stream.stopped


# ------------------------------------------------------------------------------------------------ characters


@pytest.mark.parametrize("text", [*LINES, MIXED, "", "🐈", "猫", " 🐈", "é" * 40, "  two  spaces  "])
def test_the_pieces_joined_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    assert "".join(pieces(tokenizer, encode(tokenizer, text))) == text


def test_a_character_spread_over_tokens_comes_whole_with_its_last_byte(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "猫🐈")
    assert len(ids) == 7, "the cat was learned as a token; this test needs characters that are cut"
    assert pieces(tokenizer, ids) == ["", "", "猫", "", "", "", "🐈", ""]


def test_half_a_character_is_never_shown(tokenizer: Tokenizer) -> None:
    """Decoding token by token shows U+FFFD for each byte of an emoji, and a terminal cannot take it back."""
    shown = ""
    for piece in pieces(tokenizer, encode(tokenizer, MIXED)):
        shown += piece
        assert MIXED.startswith(shown)
    assert shown == MIXED


def test_words_do_not_wait_for_an_unfinished_character_behind_them(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer.decode)
    text = "".join(stream.push(token) for token in encode(tokenizer, "A cat 🐈")[:-1])
    assert text == "A cat "


def test_an_unfinished_character_at_the_end_is_dropped(tokenizer: Tokenizer) -> None:
    """The token budget may run out in the middle of an emoji."""
    assert "".join(pieces(tokenizer, encode(tokenizer, "grey 🐈")[:-1])) == "grey "


def test_bytes_that_never_become_a_character_do_not_block_the_text_behind_them(tokenizer: Tokenizer) -> None:
    """The first bytes of an emoji, then a word: they come out as the decoder shows them in the whole text."""
    ids = [*encode(tokenizer, "🐈")[:2], *encode(tokenizer, " cat")]
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids) == "\ufffd cat"


def test_a_replacement_character_that_is_meant_comes_through(tokenizer: Tokenizer) -> None:
    """U+FFFD has three bytes of its own; it cannot be told from a broken character until text follows."""
    assert "".join(pieces(tokenizer, encode(tokenizer, "what is \ufffd?"))) == "what is \ufffd?"


def test_random_ids_give_the_text_of_the_whole(tokenizer: Tokenizer) -> None:
    """Any bytes in any order, as a model at a high temperature writes them; only a broken end is missing."""
    rng = random.Random(0)
    for _ in range(200):
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(30)]
        text = "".join(pieces(tokenizer, ids))
        assert text == tokenizer.decode(ids).rstrip("\ufffd")


def metaspace_bpe() -> Tokenizer:
    """The SentencePiece kind (Llama, Mistral): its decoder drops the space before the first word it is given."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<|image|>"], show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def test_the_space_between_two_sentencepiece_words_stays() -> None:
    """Decoding only what is new gives "Acatis"."""
    tokenizer = metaspace_bpe()
    text = "A cat is an animal. It sleeps"
    ids = encode(tokenizer, text)
    assert "".join(tokenizer.decode([token]) for token in ids) != text
    assert "".join(pieces(tokenizer, ids)) == text


def test_the_space_stays_behind_a_token_without_text() -> None:
    """A special token decodes to nothing and must not count as the word in front of the next one."""
    tokenizer = metaspace_bpe()
    [special] = encode(tokenizer, "<|image|>")
    ids = [*encode(tokenizer, "A cat"), special, special, *encode(tokenizer, "sleeps")]
    assert "".join(pieces(tokenizer, ids)) == "A cat sleeps"


def test_a_long_answer_is_not_decoded_from_its_start_for_each_token(tokenizer: Tokenizer) -> None:
    """The work for a token must not grow with the length of the answer."""
    longest = 0

    def decode(ids: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return str(tokenizer.decode(ids))

    stream = TextStream(decode)
    for token in encode(tokenizer, MIXED * 50):
        stream.push(token)
    assert longest <= 16


# ---------------------------------------------------------------------------------------------- stop strings


def test_text_before_a_stop_string_is_kept_and_the_rest_is_not() -> None:
    assert stopped_at(["one", " two END", " three"], ["END"]) == (["one", " two ", "", ""], True)


def test_a_stop_string_split_over_tokens_is_found() -> None:
    assert stopped_at(["a<", "|", "en", "d|>b"], ["<|end|>"]) == (["a", "", "", "", ""], True)


def test_a_stop_string_at_the_very_start_gives_nothing() -> None:
    assert stopped_at(["\n", "\nmore"], ["\n\n"]) == (["", "", ""], True)


def test_the_beginning_of_a_stop_string_that_goes_on_otherwise_is_released() -> None:
    assert stopped_at(["a<|e", "x", "it"], ["<|end|>"]) == (["a", "<|ex", "it", ""], False)


def test_the_beginning_of_a_stop_string_at_the_end_is_released() -> None:
    assert stopped_at(["a", "<|en"], ["<|end|>"]) == (["a", "", "<|en"], False)


def test_a_false_start_inside_which_the_stop_string_begins_is_found() -> None:
    """ "aab" in "aaab": a search that starts over behind the false start "aa" misses it."""
    assert stopped_at(list("xaaab!"), ["aab"]) == (["x", "", "", "a", "", "", ""], True)


def test_only_what_may_still_become_a_stop_string_is_held_back() -> None:
    """Holding back the length of the longest stop string would delay every piece of every answer."""
    assert stopped_at(["word ", "wor"], ["STOP THE ANSWER HERE", "D"]) == (["word ", "wor", ""], False)


@pytest.mark.parametrize("tokens", [["xabc"], ["xab", "c"], ["x", "a", "b", "c"]])
def test_the_stop_string_that_is_complete_first_wins_however_tokens_fall(tokens: list[str]) -> None:
    """With one token "xabc" the first match from the left is "abc", with single letters "b" comes first: the
    answer must not depend on how the tokenizer cuts."""
    text, stopped = stopped_at(tokens, ["abc", "b"])
    assert ("".join(text), stopped) == ("xa", True)


def test_of_stop_strings_that_end_together_the_longest_is_cut_off() -> None:
    assert stopped_at(["xabc"], ["c", "abc", "bc"]) == (["x", ""], True)


def test_the_result_does_not_depend_on_the_cut_into_tokens() -> None:
    """Every cut of many short texts over two letters, where stop strings overlap in every way they can."""
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice("ab") for _ in range(12))
        stop = ["".join(rng.choice("ab") for _ in range(rng.randint(2, 5))) for _ in range(3)]
        letters, stopped = stopped_at(list(text), stop)
        cuts = sorted(rng.sample(range(1, 12), 4))
        chunks = [text[i:j] for i, j in zip([0, *cuts], [*cuts, 12], strict=True)]
        assert stopped_at(chunks, stop)[1] == stopped == any(string in text for string in stop)
        assert "".join(stopped_at(chunks, stop)[0]) == "".join(letters)
        assert text.startswith("".join(letters))


def test_a_stop_string_of_cut_characters_is_found(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "A cat 🐈 is 猫 an animal")
    stream = TextStream(tokenizer.decode, ["🐈 is 猫"])
    assert "".join(stream.push(token) for token in ids) + stream.flush() == "A cat "
    assert stream.stopped


def test_nothing_comes_after_a_stop_string() -> None:
    stream = TextStream(Characters("END", "more").decode, ["END"])
    assert [stream.push(0), stream.push(1), stream.push(1), stream.flush(), stream.flush()] == [""] * 5
    assert stream.stopped


def test_flush_releases_only_once() -> None:
    stream = TextStream(Characters("EN").decode, ["END"])
    assert [stream.push(0), stream.flush(), stream.flush()] == ["", "EN", ""]


def test_an_empty_stop_string_is_refused() -> None:
    """It stands in front of everything: every answer would be empty."""
    with pytest.raises(OptionError, match="stop: an empty string"):
        TextStream(str, ["END", ""])
