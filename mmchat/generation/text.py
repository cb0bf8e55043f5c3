"""From ids to text, piece by piece, without showing what may still change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmchat.errors import OptionError

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns ids into pieces of text that are final.

    Held back are the bytes of an unfinished character and text that may be the beginning of a stop string.
    The pieces joined are the decoded ids up to the first stop string, however the text was cut into tokens.
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        """
        Args:
            decode: ids to text; bytes that are no whole character must come out as U+FFFD.
            stop: strings that end the text; neither they nor anything behind them is given out.

        Raises:
            OptionError: a stop string is empty.
        """
        if not all(stop):
            raise OptionError("stop: an empty string would end every answer before it begins")
        self._decode = decode
        self._stop = tuple(stop)
        self._ids: list[int] = []  # the last finished step, then the ids since
        self._n_finished = 0
        self._n_shown = 0  # characters of the decoded `_ids` that were passed on
        self._held = ""
        self.stopped = False
        """A stop string was seen; nothing more will come."""

    def push(self, token: int) -> str:
        """Take the next id; the text that became final by it, often empty."""
        if self.stopped:
            return ""
        return self._before_stop(self._whole_characters(token))

    def flush(self) -> str:
        """End the text: what was held back as a possible stop string. An unfinished character is dropped."""
        text, self._held = self._held, ""
        self._ids, self._n_finished, self._n_shown = [], 0, 0
        return text

    def _whole_characters(self, token: int) -> str:
        self._ids.append(token)
        text = self._decode(self._ids)
        whole = text.rstrip(_REPLACEMENT)
        piece = whole[self._n_shown :]
        self._n_shown = len(whole)
        if piece and whole == text:
            # This step stays in front of the next: SentencePiece decoders eat the space before a first word.
            self._ids = self._ids[self._n_finished :]
            self._n_finished = len(self._ids)
            self._n_shown = len(self._decode(self._ids))
        return piece

    def _before_stop(self, piece: str) -> str:
        text = self._held + piece
        # The stop string that is complete first ends the text, not the one that begins first: so the result
        # does not depend on how the text was cut into tokens.
        found = [(start + len(stop), start) for stop in self._stop if (start := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        n_held = max((n for stop in self._stop for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]
