"""A GPU that is lent for an answer: ZeroGPU of Hugging Face Spaces, through its package `spaces`.

What `spaces.GPU` decorates runs in another process, which is forked when a GPU is lent, and ends some time after it was
given back. What goes there and comes back is pickled. The process of the page never has a GPU, and threads do not
survive a fork: the model is loaded where the GPU is, and serves the questions that follow soon as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr
from PIL import Image

from mmchat.assistant import Assistant, AssistantInfo, Reply, ReplyStream
from mmchat.errors import FailureError, MmchatError
from mmchat.inputs.messages import Message
from mmchat.serving.look import look
from mmchat.serving.transcript import Transcript

logger = logging.getLogger(__name__)


def gpus_are_lent() -> bool:
    """Whether this is such a Space, by the variable that tells its apps."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


class LentAssistant:
    """The part of `Assistant` that a page needs; there is nothing to load before the first question."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str | None = None,
        transcriber: str | None = None,
    ) -> None:
        """Arguments as for `Assistant.load`. The first has to be made before the page is launched: `spaces` counts what
        it decorated then.
        """
        import spaces

        self._loaded_from = (model, device, dtype, quantize, transcriber)
        self._on_gpu: Callable[..., Generator[Any, None, None]] = spaces.GPU(_on_gpu)
        self._info: AssistantInfo | None = None

    def stream(self, conversation: Sequence[Message], **options: Any) -> ReplyStream:
        """The answer in pieces. Reading the conversation is done, and its errors raised, before this returns.

        Raises:
            UserError: as for `Assistant.reply`.
            FailureError: no GPU is lent, or it was taken back.
        """
        told = self._lent(_streamed, conversation, options)
        next(told)
        return ReplyStream(_pieces(told))

    def describe(self) -> AssistantInfo:
        """As of `Assistant`; asked once.

        Raises:
            MmchatError: the model cannot be loaded, or as for `stream`.
        """
        if self._info is None:
            (self._info,) = self._lent(_described)
        return self._info

    def look(self, transcript: Transcript, word: str, system: str = "") -> Image.Image:
        """As of `look.look`.

        Raises:
            UserError: likewise.
            FailureError: as for `stream`.
        """
        (picture,) = self._lent(_looked, transcript, word, system)
        assert isinstance(picture, Image.Image)
        return picture

    def _lent(self, work: Callable[..., Iterator[Any]], *given: Any) -> Generator[Any, None, None]:
        """What `work` yields where the GPU is, of the assistant there and of what is given."""
        try:
            with closing(self._on_gpu(self._loaded_from, work, given)) as values:
                for value in values:
                    if isinstance(value, _Failed):
                        raise value.error
                    yield value
        except gr.Error as error:  # of `spaces`, which has no class of its own for them
            raise FailureError(f"{error.title}: {error.message!s}") from error


AnyAssistant = Assistant | LentAssistant
"""What a page asks."""


@dataclass(frozen=True)
class _Failed:
    """An error, which `spaces` would give back as no more than the name of its class."""

    error: MmchatError


def _on_gpu(
    loaded_from: tuple[Any, ...], work: Callable[..., Iterator[Any]], given: tuple[Any, ...]
) -> Generator[Any, None, None]:
    """What runs where the GPU is."""
    try:
        yield from work(_assistant(*loaded_from), *given)
    except MmchatError as error:
        yield _Failed(error)
    except Exception:
        logger.exception("an answer failed")
        yield _Failed(FailureError("something went wrong on our side; the server's log says what"))


@lru_cache(maxsize=1)
def _assistant(model: str, device: str, dtype: str, quantize: str | None, transcriber: str | None) -> Assistant:
    """The one that this process has loaded; another takes its place."""
    return Assistant.load(model, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)


def _streamed(assistant: Assistant, conversation: Sequence[Message], options: dict[str, Any]) -> Iterator[str | Reply]:
    """Nothing once the conversation was read; the pieces; the whole."""
    with closing(assistant.stream(conversation, **options)) as stream:
        yield ""
        yield from stream
        assert stream.reply is not None, "a stream that ended has its reply"
        yield stream.reply


def _pieces(told: Generator[str | Reply, None, None]) -> Generator[str, None, Reply]:
    with closing(told):
        for each in told:
            if isinstance(each, Reply):
                return each
            yield each
    raise AssertionError("the whole comes last")


def _described(assistant: Assistant) -> Iterator[AssistantInfo]:
    yield assistant.describe()


def _looked(assistant: Assistant, transcript: Transcript, word: str, system: str) -> Iterator[Image.Image]:
    yield look(assistant, transcript, word, system)
