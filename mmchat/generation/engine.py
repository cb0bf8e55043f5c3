"""The decode loop: ids only, over a key/value cache. It knows no text and has no thread.

An answer is a plain generator: the next token is computed when it is asked for, an exception arrives where
the answer is read, and closing the generator ends the work.

Shapes: T tokens of the prompt, D width of the decoder, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmchat.config import FinishReason, GenerationOptions
from mmchat.errors import ContextError
from mmchat.generation.continuation import Continuation
from mmchat.generation.prefixes import Prefixes
from mmchat.generation.sampling import Sampler
from mmchat.model.cache import Cache
from mmchat.model.decoder import Decoder
from mmchat.model.sequence import MixedSequence


@dataclass(frozen=True)
class Prefill:
    """A prompt that the decoder has read; any number of answers start from it."""

    logits: Tensor
    """(V,) of the last position."""
    cache: Cache
    """What the decoder keeps of the prompt. Answers extend a `fork` of it, never this one: a cache cropped back when
    an answer ends would not do, since answers may be read in turns, and what sliding windows forgot is gone."""
    length: int
    """T."""
    sequence: MixedSequence | None = None
    """Whose embeddings these are, where what was read of it may be used again."""


class Engine:
    """Decodes answers from prompts that are already embedded."""

    def __init__(self, decoder: Decoder, stop_ids: frozenset[int], remembered: int = 0) -> None:
        """
        Args:
            decoder: in evaluation mode.
            stop_ids: ids that end an answer; they are never yielded.
            remembered: bytes for what was read lately; see `Prefixes`.
        """
        self.decoder = decoder
        self.stop_ids = stop_ids
        self._prefixes = Prefixes(remembered)

    def prefill(self, embeddings: Tensor, sequence: MixedSequence | None = None) -> Prefill:
        """Read a prompt in one pass.

        Args:
            embeddings: (1, T, D), T at least 1.
            sequence: whose embeddings these are; the longest beginning that was read lately is not read again.

        Raises:
            ContextError: the prompt leaves no room for a single token of an answer.
        """
        (prefill,) = self.prefill_in_chunks(embeddings, sequence, embeddings.shape[1])
        assert prefill is not None
        return prefill

    @torch.inference_mode()
    def prefill_in_chunks(
        self, embeddings: Tensor, sequence: MixedSequence | None, size: int
    ) -> Generator[Prefill | None, None, None]:
        """Read a prompt in passes of at most `size` positions, so that others need not wait for all of it.

        Yields:
            None after each pass but the last, then the prompt that was read.

        Raises:
            ContextError: as for `prefill`.
        """
        assert not self.decoder.training, "dropout would make every answer a lottery: call eval() first"
        length, context = embeddings.shape[1], self.decoder.context
        if length >= context:
            raise ContextError(
                f"the conversation takes {length} tokens and the model holds {context}, the answer included:"
                " make it shorter"
            )
        cache = None if sequence is None else self._prefixes.longest(sequence)
        fresh = embeddings if cache is None else embeddings[:, cache.length :]
        *chunks, last = torch.split(fresh, size, dim=1)
        for chunk in chunks:
            _, cache = self.decoder(chunk, cache=cache, logits_to_keep=1)
            yield None
        logits, cache = self.decoder(last, cache=cache, logits_to_keep=1)
        if sequence is not None:
            self._prefixes.keep(sequence, (), cache)
        yield Prefill(logits[0, -1], cache, length, sequence)

    @torch.inference_mode()
    def decode(
        self, prefill: Prefill, prompt_ids: Sequence[int], options: GenerationOptions, seed: int
    ) -> Generator[int, None, FinishReason]:
        """One answer, id by id.

        Prompt and answer together never exceed the context: where `max_new_tokens` does not fit, the answer
        ends with the context, for the reason "length".

        Args:
            prefill: the prompt; left as it is, so that more answers can start from it, also at the same time.
            prompt_ids: (T,) ids of the prompt, for the repetition penalty.
            options: all but `seed` and `stop` are used.
            seed: of this answer's own random generator.

        Yields:
            Ids, never a stop id.

        Returns:
            The reason for the end (`StopIteration.value`, or the value of `yield from`).

        Raises:
            FailureError: the logits are not numbers.
            OptionError: prompt lookup is wanted of a decoder that cannot forget what it read.
        """
        assert len(prompt_ids) == prefill.length, f"{len(prompt_ids)} ids for {prefill.length} embeddings"
        logits, continuation = prefill.logits, None
        sampler = Sampler(options, seed, prompt_ids, logits.shape[-1], logits.device)
        answer: list[int] = []
        try:
            for left in reversed(range(self.budget(prefill, options))):
                token = sampler.draw(logits)
                if token in self.stop_ids:
                    return "stop"
                answer.append(token)
                yield token
                if left:
                    if continuation is None:
                        cache = prefill.cache.fork()
                        continuation = Continuation(self.decoder, cache, prompt_ids, options.prompt_lookup)
                    logits = continuation.after(token, left)
            return "length"
        finally:  # also where the reader has closed it
            if continuation is not None:
                continuation.forget_guesses()
                self.remember(prefill, answer, continuation.cache)

    def budget(self, prefill: Prefill, options: GenerationOptions) -> int:
        """How many tokens an answer may have: as many as are wanted, and have room in the context."""
        return min(options.max_new_tokens, self.decoder.context - prefill.length)

    def remember(self, prefill: Prefill, answer: Sequence[int], cache: Cache) -> None:
        """Keep what was read of a prompt and its answer for the next turn; nobody extends the cache any more."""
        if prefill.sequence is not None:
            self._prefixes.keep(prefill.sequence, answer, cache)
