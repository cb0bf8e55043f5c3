"""The chat template: messages to the one text that the decoder was trained on, and what of it people typed.

The template is Jinja as in transformers, in the same sandbox and with the same additions. It never sees what people
typed: each text part goes through it as a mark that cannot be guessed. So neither Jinja nor a mark in a message takes
effect, and the tokenizer knows which characters are the template's own.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Scope
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mmchat.config import SpecialTokens
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart


@dataclass(frozen=True)
class Typed:
    """Characters `start` to `end` of a layout that a person or the assistant wrote in a turn."""

    start: int
    end: int
    turn: int


@dataclass(frozen=True)
class Layout:
    """A conversation as one text; all that is not typed is the template's own."""

    text: str
    typed: tuple[Typed, ...]


class ChatTemplate:
    """A Jinja chat template, compiled."""

    def __init__(self, source: str, tokens: SpecialTokens) -> None:
        """
        Args:
            source: Jinja.
            tokens: the template reads `bos_token` and `eos_token`; a template whose content is one string has the
                placeholders of media in it.

        Raises:
            CheckpointError: the template is malformed.
        """
        self.source = source
        self._tokens = tokens
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise CheckpointError(f"the chat template is malformed: {error}") from error

    def layout(self, messages: Sequence[Message], answer_next: bool) -> Layout:
        """Lay a conversation out; each picture and clip is the placeholder that the template or `tokens` give it.

        Args:
            messages: the conversation.
            answer_next: end with the opening of an assistant turn.

        Raises:
            CheckpointError: the template refuses the conversation or loses a part of it.
        """
        marks: dict[str, _Marked] = {}
        nonce = secrets.token_hex(8)
        values = [
            {"role": message.role, "content": self._content(_masked(message, turn, marks, nonce))}
            for turn, message in enumerate(messages)
        ]
        begin, end = self._tokens.begin or "", self._tokens.end
        try:
            text = self._template.render(
                messages=values, add_generation_prompt=answer_next, bos_token=begin, eos_token=end
            )
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:  # it is a program, and may go wrong
            raise CheckpointError(f"the chat template refuses this conversation: {error}") from error
        pieces = re.split(f"({nonce}:[0-9]+;)", text)
        if [piece for piece in pieces if piece in marks] != list(marks):
            raise CheckpointError("the chat template loses, repeats or reorders a text part of the conversation")
        return _filled(pieces, marks)

    def _content(self, parts: Iterator[dict[str, str]]) -> list[dict[str, str]] | str:
        if self._tokens.content == "parts":
            return list(parts)
        placeholders = {"image": self._tokens.image or "", "audio": self._tokens.audio or ""}
        return "".join(part["text"] if part["type"] == "text" else placeholders[part["type"]] for part in parts)


@dataclass(frozen=True)
class _Marked:
    """What a mark stands for. Blanks at the ends stay outside the mark, so that a template can trim them."""

    before: str
    text: str
    after: str
    turn: int


def _masked(message: Message, turn: int, marks: dict[str, _Marked], nonce: str) -> Iterator[dict[str, str]]:
    for part in message.content:
        match part:
            case TextPart(text):
                mark = f"{nonce}:{len(marks)};"
                core = text.strip()
                before, _, after = text.partition(core) if core else ("", "", text)
                marks[mark] = _Marked(before, core, after, turn)
                yield {"type": "text", "text": f"{before}{mark}{after}"}
            case ImagePart():
                yield {"type": "image"}
            case AudioPart():
                yield {"type": "audio"}


def _filled(pieces: Sequence[str], marks: Mapping[str, _Marked]) -> Layout:
    """The pieces of a rendered template with each mark replaced by its text."""
    text = ""
    typed: list[Typed] = []
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece not in marks:
            text += piece
            continue
        marked = marks[piece]
        start = len(text) - (len(marked.before) if text.endswith(marked.before) else 0)
        text += marked.text
        end = len(text) + (len(marked.after) if following.startswith(marked.after) else 0)
        typed.append(Typed(start, end, marked.turn))
    return Layout(text, tuple(typed))


class _Generation(Extension):
    """`{% generation %}` of transformers marks what the assistant says; here it only has to be passed over."""

    tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

    def parse(self, parser: Parser) -> Node:
        """The statements up to `{% endgeneration %}`, as they stand."""
        line = next(parser.stream).lineno
        return Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)
