"""What one visitor of the page has said and been answered, in the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mmchat.assistant import Reply
from mmchat.errors import HistoryError
from mmchat.history.store import Conversation, History
from mmchat.history.values import encoded
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.serving.settings import Settings
from mmchat.serving.transcript import Chat, Exchange, restored
from mmchat.serving.words import ENGLISH, Phrases


class Shelf:
    """The conversations of one visitor; without a history, or an owner to keep them for, there are none.

    A history that cannot be written costs no answer: that is noted once, and what follows is not kept.
    """

    def __init__(
        self,
        history: History | None,
        owner: str | None,
        folder: Path,
        note: Callable[[str], object] = lambda _: None,
        phrases: Phrases = ENGLISH,
    ) -> None:
        """
        Args:
            history: where they are kept.
            owner: whose they are; None for a visitor who would never find them again.
            folder: for files of pictures and clips that a browser is shown.
            note: told when a history cannot be written.
            phrases: the visitor's language.
        """
        self.phrases = phrases
        self._history = None if owner is None else history
        self._owner = owner or ""
        self._folder = folder
        self._note = note

    # -------------------------------------------------------------------------------------------------------- answers

    def check(self, chat: Chat) -> None:
        """Nothing may be put behind a conversation that goes on elsewhere, or be taken from it.

        Raises:
            HistoryError: another tab, or the command line, changed it since.
        """
        changed = False
        with self._noted() as history:
            if history is not None and chat.number is not None:
                changed = not chat.ends_with(history.newest(chat.number, self._owner))
        if changed:
            raise HistoryError(self.phrases.changed)

    def asked(self, chat: Chat, settings: Settings) -> Chat:
        """Keep the last question of a chat, with a place for its answer."""
        with self._noted() as history:
            if history is not None:
                number = history.begin(self._owner) if chat.number is None else chat.number
                history.set_settings(number, settings.model_dump(), self._owner)
                last = chat.transcript[-1]
                last = replace(last, question_id=history.add(number, last.question))
                chat = replace(chat, number=number).put(-1, last)
                chat = chat.put(-1, replace(last, answer_id=history.begin_answer(number)))
        return chat

    def said(self, exchange: Exchange, reply: Reply | None = None) -> None:
        """Keep an answer as far as it has come; with its reply, it is whole."""
        with self._noted() as history:
            if history is not None and exchange.answer_id is not None:
                history.write(exchange.answer_id, exchange.answer, reply)

    def cut(self, chat: Chat, exchange: Exchange) -> None:
        """Forget a question, and all that was said since."""
        with self._noted() as history:
            if history is not None and chat.number is not None and exchange.question_id is not None:
                history.cut(chat.number, exchange.question_id, self._owner)

    def judged(self, chat: Chat, exchange: Exchange) -> None:
        """Keep what was thought of an answer."""
        with self._noted() as history:
            if history is not None and chat.number is not None and exchange.answer_id is not None:
                history.judge(chat.number, exchange.answer_id, exchange.feedback, self._owner)

    # -------------------------------------------------------------------------------------------------- conversations

    def list(self, search: str = "") -> list[Conversation]:
        """All of them, or those in which something is said; the latest first.

        Raises:
            HistoryError: the history cannot be read.
        """
        return [] if self._history is None else self._history.conversations(self._owner, search.strip())

    def open(self, number: int) -> tuple[Chat, Settings]:
        """One of them.

        Raises:
            HistoryError: it is not there, or somebody else's.
        """
        history = self._at_hand(number)
        settings = Settings.kept(history.settings(number, self._owner))
        transcript = restored(history.turns(number, self._owner), self._shown, self.phrases)
        return Chat(transcript, number, self.phrases), settings

    def rename(self, number: int, title: str) -> None:
        """Give one of them another title; errors as for `open`."""
        self._at_hand(number).rename(number, title, self._owner)

    def delete(self, number: int) -> None:
        """Forget one of them; errors as for `open`."""
        self._at_hand(number).delete(number, self._owner)

    def _at_hand(self, number: int) -> History:
        if self._history is None:
            raise HistoryError(f"there is no conversation {number}")
        return self._history

    def _shown(self, part: ImagePart | AudioPart) -> str:
        """A file with the content of a part under its name."""
        suffix = ".png" if isinstance(part, ImagePart) else ".wav"
        path = self._folder / part.digest[:32] / Path(Path(part.name).name or "media").with_suffix(suffix)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(part))
        return str(path)

    @contextmanager
    def _noted(self) -> Iterator[History | None]:
        try:
            yield self._history
        except HistoryError as error:
            self._history = None
            self._note(self.phrases.not_kept.format(error=error))
