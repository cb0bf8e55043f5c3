"""What is said in a conversation, kept while it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmchat.cli import console
from mmchat.errors import HistoryError

if TYPE_CHECKING:
    from mmchat.generation.reply import Reply
    from mmchat.history.store import History
    from mmchat.inputs.messages import Message


@dataclass
class Keeper:
    """The place of one conversation in the history; without a history nothing is kept."""

    history: History | None = None
    conversation: int | None = None
    system: str | None = None
    """The system prompt."""
    _asked: list[int] = field(default_factory=list)
    """The ids of the questions."""
    _answer: int | None = None
    _text: str = ""

    @classmethod
    def opened(cls, *, keep: bool, go_on: bool, system: str | None) -> tuple[Keeper, list[Message]]:
        """The keeper of a new conversation, or of the latest one with what was said in it.

        Args:
            keep: whether anything is kept at all. A history that cannot be opened is only noted, unless it has to be
                read.
            go_on: with the latest conversation.
            system: the system prompt; None for that of the conversation that goes on.

        Raises:
            HistoryError: there is none to go on with, or the history cannot be opened.
        """
        from mmchat.history.store import History, default_path

        if not keep and not go_on:
            return cls(system=system), []
        try:
            history = History(default_path())
        except HistoryError as error:
            if go_on:
                raise
            console.note(f"nothing is kept: {error}")
            return cls(system=system), []
        if not go_on:
            return cls(history, system=system), []
        latest = history.latest()
        if latest is None:
            raise HistoryError("there is no conversation to go on with")
        turns = history.turns(latest)
        if system is None:
            system = next((turn.message.text for turn in turns if turn.message.role == "system"), None)
        asked = [turn.id for turn in turns if turn.message.role == "user"]
        messages = [turn.message for turn in turns if turn.message.role != "system"]
        return cls(history if keep else None, latest, system, asked), messages

    def asked(self, question: Message) -> None:
        """A question was taken, and is being answered."""
        with self._noted():
            if self.history is not None:
                if self.conversation is None:
                    self.conversation = self.history.begin()
                if self.system is not None:
                    self.history.set_system(self.conversation, self.system)
                self._asked.append(self.history.add(self.conversation, question))
                self._answer, self._text = self.history.begin_answer(self.conversation), ""

    def said(self, piece: str) -> None:
        """A piece of the answer, which is about to be shown."""
        self._text += piece
        with self._noted():
            if self.history is not None and self._answer is not None:
                self.history.write(self._answer, self._text)

    def answered(self, reply: Reply) -> None:
        """The whole answer."""
        with self._noted():
            if self.history is not None and self._answer is not None:
                self.history.write(self._answer, reply.text, reply)
        self._answer = None

    def stopped(self) -> None:
        """There will be no more of the answer; what there is of it stays."""
        self._answer = None

    def drop(self) -> None:
        """Forget the question that is being answered, if any: it is to be asked again."""
        if self._answer is not None:
            self.take_back()

    def take_back(self) -> None:
        """Forget the last question and its answer."""
        self._answer = None
        with self._noted():
            if self.history is not None and self.conversation is not None and self._asked:
                self.history.cut(self.conversation, self._asked.pop())

    def new(self) -> None:
        """Another conversation begins; this one stays as it is."""
        self.conversation, self._asked, self._answer = None, [], None

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """A history that can no longer be written costs no answer: it is said once, and nothing more is kept."""
        try:
            yield
        except HistoryError as error:
            console.note(f"nothing more is kept: {error}")
            self.history = None
