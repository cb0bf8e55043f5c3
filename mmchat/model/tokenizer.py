"""Text to ids and back, and the chat template.

The template is Jinja as in transformers. It never sees what people typed: each text part goes through it as a mark that
cannot be guessed, and is encoded afterwards with special tokens switched off. So nobody can type a picture, or the end
of their turn, into a prompt.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from mmchat.config import SpecialTokens
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart

TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True)
class Markup:
    """A run of the template's own text: special tokens count."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Typed:
    """A text part of a message: special tokens are plain text."""

    ids: tuple[int, ...]
    turn: int


class ChatTokenizer:
    """A byte-level BPE tokenizer with its chat template."""

    def __init__(self, tokenizer: Tokenizer, template: str, tokens: SpecialTokens) -> None:
        """Join the parts of a checkpoint.

        Raises:
            CheckpointError: a special token is not in the vocabulary or could be typed, or the template is malformed.
        """
        missing = [token for token in tokens.all if tokenizer.token_to_id(token) is None]
        if missing:
            raise CheckpointError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        self.tokens = tokens
        self.template = template
        self._markup = tokenizer
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        typed = [token for token in tokens.all if tokenizer.token_to_id(token) in self.encode(token)]
        if typed:
            raise CheckpointError(f'the tokenizer lets people type {", ".join(typed)}: mark it as "special"')
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        try:
            self._template = environment.from_string(template)
        except TemplateError as error:
            raise CheckpointError(f"the chat template is malformed: {error}") from error
        self.end_id = self.token_id(tokens.end)
        self.pad_id = self.token_id(tokens.pad)
        self.image_id = self.token_id(tokens.image)
        self.audio_id = self.token_id(tokens.audio)

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
        (folder / TOKENIZER_FILE).write_text(self._markup.to_str(pretty=True) + "\n", encoding="utf-8")
        (folder / TEMPLATE_FILE).write_text(self.template, encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self._markup.get_vocab_size())

    def token_id(self, token: str) -> int:
        """The id of a token that is known to be there."""
        index = self._markup.token_to_id(token)
        assert index is not None, token
        return int(index)

    def encode(self, text: str) -> list[int]:
        """Ids of text that somebody typed; a special token's name in it stays plain text."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        return str(self._markup.decode(list(ids), skip_special_tokens=True))

    def render(self, messages: Sequence[Message], answer_next: bool) -> list[Markup | Typed]:
        """The conversation through the chat template, in runs of ids.

        Each picture and clip stands in the markup as one placeholder id, in the order of the messages.

        Args:
            messages: the conversation.
            answer_next: end with the opening of an assistant turn.

        Raises:
            CheckpointError: the template refuses the conversation or loses a part of it.
        """
        marks: dict[str, tuple[str, int]] = {}
        nonce = secrets.token_hex(8)
        values = [
            {"role": message.role, "content": list(self._masked(message, turn, marks, nonce))}
            for turn, message in enumerate(messages)
        ]
        try:
            text = self._template.render(messages=values, add_generation_prompt=answer_next)
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:  # it is a program, and may go wrong
            raise CheckpointError(f"the chat template refuses this conversation: {error}") from error
        pieces = re.split(f"({nonce}:[0-9]+;)", text)
        if [piece for piece in pieces if piece in marks] != list(marks):
            raise CheckpointError("the chat template loses, repeats or reorders a text part of the conversation")
        return [self._run(piece, marks) for piece in pieces if piece]

    def _masked(
        self, message: Message, turn: int, marks: dict[str, tuple[str, int]], nonce: str
    ) -> Iterable[dict[str, str]]:
        for part in message.content:
            match part:
                case TextPart(text):
                    mark = f"{nonce}:{len(marks)};"
                    marks[mark] = (text, turn)
                    yield {"type": "text", "text": mark}
                case ImagePart():
                    yield {"type": "image"}
                case AudioPart():
                    yield {"type": "audio"}

    def _run(self, piece: str, marks: dict[str, tuple[str, int]]) -> Markup | Typed:
        if piece in marks:
            text, turn = marks[piece]
            return Typed(tuple(self.encode(text)), turn)
        return Markup(tuple(self._markup.encode(piece, add_special_tokens=False).ids))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is malformed: {error}") from error
