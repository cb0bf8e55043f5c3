"""Text to ids and back, and a conversation to ids.

What people typed is text, whatever it says: a special token's name in it is encoded as plain text. So nobody can type a
picture, or the end of their turn, into a prompt. Otherwise template and text are encoded together, as the decoder met
them in training.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from mmchat.config import SpecialTokens
from mmchat.errors import CheckpointError
from mmchat.inputs.messages import Message
from mmchat.model.chat_template import ChatTemplate, Layout

TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"
_LINE_BREAK = "\n"


class Token(NamedTuple):
    """One id of a rendered conversation."""

    id: int
    turn: int | None
    """The message whose text it belongs to; None for the template's own."""


class ChatTokenizer:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: Tokenizer, template: str, tokens: SpecialTokens) -> None:
        """Join the parts of a checkpoint.

        Raises:
            CheckpointError: a special token is not in the vocabulary, or the template is malformed.
        """
        missing = [token for token in tokens.all if tokenizer.token_to_id(token) is None]
        if missing:
            raise CheckpointError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        self.tokens = tokens
        self._source = tokenizer
        self._template = ChatTemplate(template, tokens)
        self._markup = _changed(tokenizer, post_processor=None)  # it would add tokens, and trim offsets
        self._added = re.compile("|".join(map(re.escape, _longest_first(tokenizer))) or "(?!)")
        typed = [token for token in tokens.all if self.token_id(token) in self.encode(token)]
        if typed:
            raise CheckpointError(f"the tokenizer lets people type {', '.join(typed)}")
        self.end_id = self.token_id(tokens.end)
        self.stop_ids = frozenset(self.token_id(token) for token in (tokens.end, *tokens.also_end))
        self.pad_id = self.token_id(tokens.pad)
        self.image_id = None if tokens.image is None else self.token_id(tokens.image)
        self.audio_id = None if tokens.audio is None else self.token_id(tokens.audio)
        self._begin = () if tokens.begin is None else (Token(self.token_id(tokens.begin), None),)

    @classmethod
    def load(cls, folder: Path, tokens: SpecialTokens) -> ChatTokenizer:
        """Read `tokenizer.json` and `chat_template.jinja`.

        Raises:
            CheckpointError: a file is missing or malformed.
        """
        template, text = _read(folder / TEMPLATE_FILE), _read(folder / TOKENIZER_FILE)
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"{folder / TOKENIZER_FILE} is malformed: {' '.join(str(error).split())}") from error
        return cls(tokenizer, template, tokens)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `chat_template.jinja`."""
        (folder / TOKENIZER_FILE).write_text(self._source.to_str(pretty=True) + "\n", encoding="utf-8")
        (folder / TEMPLATE_FILE).write_text(self.template, encoding="utf-8")

    @property
    def template(self) -> str:
        """The chat template, Jinja."""
        return self._template.source

    @property
    def vocab_size(self) -> int:
        """How many ids a decoder has to embed, special tokens included."""
        if self.tokens.fill is None:
            return int(self._source.get_vocab_size())
        vocabulary = self._source.get_vocab()
        return 1 + max(vocabulary[token] for token in vocabulary.keys() - {self.tokens.image, self.tokens.audio})

    def token_id(self, token: str) -> int:
        """The id of a token that is known to be there."""
        index = self._source.token_to_id(token)
        assert index is not None, token
        return int(index)

    def fill_id(self, placeholder: int) -> int:
        """The id that fills the run of a picture or clip."""
        return placeholder if self.tokens.fill is None else self.token_id(self.tokens.fill)

    def encode(self, text: str) -> list[int]:
        """Ids of text that somebody typed; a special token's name in it stays plain text."""
        tokenizer = self._plain if self._added.search(text) else self._markup
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        return str(self._source.decode(list(ids), skip_special_tokens=True))

    def render(self, messages: Sequence[Message], answer_next: bool) -> list[Token]:
        """The conversation through the chat template, in ids.

        Each picture and clip is one placeholder id, in the order of the messages.

        Args:
            messages: the conversation.
            answer_next: end with the opening of an assistant turn.

        Raises:
            CheckpointError: the template refuses the conversation or loses a part of it.
        """
        tokens = tuple(self._encoded(self._template.layout(messages, answer_next)))
        begun = tokens[: len(self._begin)] == self._begin
        return list(tokens if begun else self._begin + tokens)

    @cached_property
    def _plain(self) -> Tokenizer:
        """To which no text is a special token."""
        return _changed(self._source, post_processor=None, added_tokens=[])

    def _encoded(self, layout: Layout) -> Iterator[Token]:
        """Template and text are encoded together, but for text that names an added token: that stands alone."""
        turns: list[int | None] = [None] * len(layout.text)
        for typed in layout.typed:
            turns[typed.start : typed.end] = [typed.turn] * (typed.end - typed.start)
        named = [match.span() for match in self._added.finditer(layout.text)]
        ends = [end for _, end in named]
        begin = 0
        for typed in layout.typed:
            first = bisect_right(ends, typed.start)  # the first that ends behind its beginning
            if first < len(named) and named[first][0] < typed.end:
                yield from _piece(self._markup, layout.text, begin, typed.start, turns)
                yield from _piece(self._plain, layout.text, typed.start, typed.end, turns)
                begin = typed.end
        yield from _piece(self._markup, layout.text, begin, len(layout.text), turns)


def _piece(tokenizer: Tokenizer, text: str, start: int, end: int, turns: Sequence[int | None]) -> Iterator[Token]:
    """Tokens of `text[start:end]`; one that holds typed characters is typed.

    It is encoded behind a line break where it is not the beginning: SentencePiece puts a blank before a beginning.
    """
    encoding = tokenizer.encode(text[start:end], add_special_tokens=False)
    ids, offsets = encoding.ids, encoding.offsets
    if start:
        lead = len(tokenizer.encode(_LINE_BREAK, add_special_tokens=False).ids)
        behind = tokenizer.encode(_LINE_BREAK + text[start:end], add_special_tokens=False)
        if all(last <= len(_LINE_BREAK) for _, last in behind.offsets[:lead]):
            ids = behind.ids[lead:]
            offsets = [(first - len(_LINE_BREAK), last - len(_LINE_BREAK)) for first, last in behind.offsets[lead:]]
    for index, (first, last) in zip(ids, offsets, strict=True):
        inside = turns[start + first : max(start + last, start + first + 1)]
        turn = inside[0] if len(inside) == 1 else next((turn for turn in inside if turn is not None), None)
        yield Token(index, turn)


def _longest_first(tokenizer: Tokenizer) -> list[str]:
    """The added tokens; of two that begin alike tokenizers takes the longer one."""
    return sorted((token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len, reverse=True)


def _changed(tokenizer: Tokenizer, **fields: Any) -> Tokenizer:
    """A copy with other fields in its `tokenizer.json`."""
    return Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), **fields}))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is malformed: {error}") from error
