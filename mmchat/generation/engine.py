"""The decode loop: ids only, over a key/value cache. It knows no text and has no thread.

An answer is a plain generator: the next token is computed when it is asked for, an exception arrives where
the answer is read, and closing the generator ends the work.

Shapes: T tokens of the prompt, D width of the decoder, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from mmchat.config import GenerationOptions
from mmchat.errors import ContextError
from mmchat.generation.sampling import next_id, seeded_generator, seen_mask
from mmchat.model.decoder import Decoder

FinishReason = Literal["stop", "length"]
"""The model ended its turn, or the token budget or the context ran out."""


@dataclass(frozen=True)
class Prefill:
    """A prompt that the decoder has read; any number of answers start from it."""

    logits: Tensor
    """(V,) of the last position."""
    cache: DynamicCache
    """Keys and values of the prompt. Answers extend a `fork`, never this one."""
    length: int
    """T."""

    def fork(self) -> DynamicCache:
        """A cache of its own that an answer may extend.

        A copy, not this cache cropped back when the answer ends: answers may be read in turns, and caches of
        sliding-window layers cannot be cropped.
        """
        return copy.deepcopy(self.cache)


class Engine:
    """Decodes answers from prompts that are already embedded."""

    def __init__(self, decoder: Decoder, stop_ids: frozenset[int]) -> None:
        """
        Args:
            decoder: in evaluation mode.
            stop_ids: ids that end an answer; they are never yielded.
        """
        self.decoder = decoder
        self.stop_ids = stop_ids

    @torch.inference_mode()
    def prefill(self, embeddings: Tensor) -> Prefill:
        """Read a prompt in one pass.

        Args:
            embeddings: (1, T, D), T at least 1.

        Raises:
            ContextError: the prompt leaves no room for a single token of an answer.
        """
        assert not self.decoder.training, "dropout would make every answer a lottery: call eval() first"
        length, context = embeddings.shape[1], self.decoder.context
        if length >= context:
            raise ContextError(
                f"the conversation takes {length} tokens and the model holds {context}, the answer included:"
                " make it shorter"
            )
        logits, cache = self.decoder(embeddings, logits_to_keep=1)
        return Prefill(logits[0, -1], cache, length)

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
        """
        assert len(prompt_ids) == prefill.length, f"{len(prompt_ids)} ids for {prefill.length} embeddings"
        logits, cache = prefill.logits, None
        seen = seen_mask(prompt_ids, logits.shape[-1], logits.device)
        generator = seeded_generator(seed, logits.device)
        budget = min(options.max_new_tokens, self.decoder.context - prefill.length)
        for left in reversed(range(budget)):
            token = next_id(logits, seen, options, generator)
            if token in self.stop_ids:
                return "stop"
            yield token
            if left:
                seen[token] = True
                cache = prefill.fork() if cache is None else cache
                logits, cache = self._advance(token, cache)
        return "length"

    def _advance(self, token: int, cache: DynamicCache) -> tuple[Tensor, DynamicCache]:
        """Append one token to the cache; the logits (V,) after it."""
        ids = torch.tensor([token], device=self.decoder.device)
        logits, cache = self.decoder(self.decoder.embed(ids)[None], cache=cache, logits_to_keep=1)
        return logits[0, -1], cache
