"""What was read lately and is not read again: fewer positions through the decoder, and the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmchat.config import GenerationOptions
from mmchat.generation.engine import Engine
from mmchat.generation.prefixes import Prefixes
from mmchat.inputs.image import ImagePart
from mmchat.model.cache import KeyValueCache, Sizes
from mmchat.model.decoder import Decoder, answering_decoder
from mmchat.model.placement import ON_CPU
from mmchat.model.sequence import MixedSequence, Span
from mmchat.model.transformers_decoder import TransformersDecoder

V, D = 80, 32
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": D,
    "n_positions": 120,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
}
MISTRAL: dict[str, Any] = {
    "model_type": "mistral",
    "vocab_size": V,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "hidden_size": D,
    "intermediate_size": 64,
    "max_position_embeddings": 120,
    "sliding_window": 6,
    "initializer_range": 0.4,
}
OPTIONS = GenerationOptions.create(max_new_tokens=12)
TURN = list(range(20, 40))


@pytest.fixture(scope="module", params=["lean", "transformers", "sliding window"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    reference = TransformersDecoder(MISTRAL if request.param == "sliding window" else GPT2).eval()
    if request.param != "lean":
        return reference
    lean = answering_decoder(GPT2, ON_CPU).eval()
    lean.load_weights(reference.state_dict(), ON_CPU)
    return lean


def picture(shade: int) -> ImagePart:
    return ImagePart(Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)), "picture.png")


CAT, DOG = picture(10), picture(200)


def sequence(ids: Sequence[int], *pictures: tuple[int, ImagePart]) -> MixedSequence:
    """Pictures of four tokens at positions of the ids."""
    spans = tuple(Span(part, 0, start, 4) for start, part in pictures)
    return MixedSequence(tuple(ids), tuple(ids), spans)


class Chat:
    """An engine, what goes into its decoder, and how many positions that read."""

    def __init__(self, decoder: Decoder, remembered: int = 2**20) -> None:
        self.engine = Engine(decoder, frozenset(), remembered)
        self.read: list[int] = []
        self._decoder = decoder

    def embeddings(self, sequence: MixedSequence) -> Tensor:
        """(1, T, D), those of a picture by its content."""
        with torch.inference_mode():
            embedded = self._decoder.embed(torch.tensor([sequence.ids])).clone()
            for span in sequence.spans:
                seed = int(np.asarray(span.media.image)[0, 0, 0])  # type: ignore[union-attr]
                noise = torch.randn(span.length, D, generator=torch.Generator().manual_seed(seed))
                embedded[0, span.start : span.start + span.length] = noise
        return embedded

    def ask(self, sequence: MixedSequence, options: GenerationOptions = OPTIONS) -> list[int]:
        """The whole answer; `read` says how many positions the prompt cost."""
        handle = self._decoder.register_forward_pre_hook(lambda _, args: self.read.append(args[0].shape[1]))
        try:
            prefill = self.engine.prefill(self.embeddings(sequence), sequence)
        finally:
            handle.remove()
        return list(self.engine.decode(prefill, sequence.ids, options, seed=0))


def alone(decoder: Decoder, sequence: MixedSequence) -> list[int]:
    return Chat(decoder, remembered=0).ask(sequence)


def test_a_turn_costs_its_new_tokens(decoder: Decoder) -> None:
    """But for the last token of the answer, which nobody had read yet. A window cannot be cut: all but its own
    beginning is read again only where the conversation goes on from the very end."""
    chat = Chat(decoder)
    conversation = list(TURN)
    for turn in range(4):
        prompt = sequence(conversation, (3, CAT))
        answer = chat.ask(prompt)
        assert answer == alone(decoder, prompt)
        assert chat.read[-1] == (len(TURN) if turn == 0 else len(TURN) + 1)
        conversation = [*conversation, *answer, *TURN]


@pytest.mark.parametrize("decoder", ["lean", "transformers"], indirect=True)
@pytest.mark.parametrize(
    ("prompt", "fresh"),
    [
        (sequence(TURN, (3, CAT)), 1),
        (sequence([*TURN[:10], 1, 2, 3], (3, CAT)), 3),
        (sequence(TURN[:8], (3, CAT)), 1),
        (sequence(TURN, (3, DOG)), 17),
        (sequence(TURN), 17),
        (sequence(TURN, (3, CAT), (12, DOG)), 8),
        (sequence([1, *TURN], (4, CAT)), 21),
    ],
    ids=["retry", "edit", "shorter", "other picture", "no picture", "one more picture", "other beginning"],
)
def test_the_longest_common_beginning_is_kept(decoder: Decoder, prompt: MixedSequence, fresh: int) -> None:
    chat = Chat(decoder)
    chat.ask(sequence(TURN, (3, CAT)))
    assert chat.ask(prompt) == alone(decoder, prompt)
    assert chat.read[-1] == fresh


def test_a_window_is_not_cut(decoder: Decoder) -> None:
    """Whatever the decoder: a wrong cache shows in the answer."""
    chat = Chat(decoder)
    chat.ask(sequence(TURN))
    edited = sequence([*TURN[:15], 1, 2, 3])
    assert chat.ask(edited) == alone(decoder, edited)


def test_an_answer_that_was_given_up_is_no_harm(decoder: Decoder) -> None:
    chat = Chat(decoder)
    prompt = sequence(TURN)
    prefill = chat.engine.prefill(chat.embeddings(prompt), prompt)
    stream = chat.engine.decode(prefill, prompt.ids, OPTIONS, seed=0)
    begun = [next(stream) for _ in range(5)]
    stream.close()
    longer = sequence([*TURN, *begun, 7, 8])
    assert chat.ask(longer) == alone(decoder, longer)
    assert chat.read[-1] == 3


def test_conversations_that_go_apart_do_not_mix(decoder: Decoder) -> None:
    chat = Chat(decoder)
    chat.ask(sequence(TURN))
    with ThreadPoolExecutor(4) as threads:
        prompts = [sequence([*TURN, first, 5, 6]) for first in range(8)]
        answers = list(threads.map(lambda prompt: list(answer(chat, prompt)), prompts))
    assert answers == [alone(decoder, prompt) for prompt in prompts]


def answer(chat: Chat, prompt: MixedSequence) -> list[int]:
    prefill = chat.engine.prefill(chat.embeddings(prompt), prompt)
    return list(chat.engine.decode(prefill, prompt.ids, OPTIONS, seed=0))


# The budget


def cache(positions: int) -> KeyValueCache:
    kept = KeyValueCache(Sizes(layers=1, heads=1, width=4, context=512), 1, torch.float32, torch.device("cpu"))
    kept.extend(positions)
    return kept


def test_those_used_last_are_kept_within_the_budget() -> None:
    one = cache(64).nbytes
    prefixes = Prefixes(2 * one)
    for first in (1, 2):
        prefixes.keep(sequence([first] * 64), (), cache(64))
    assert prefixes.nbytes == 2 * one
    assert prefixes.longest(sequence([1] * 10)) is not None
    prefixes.keep(sequence([3] * 64), (), cache(64))
    known = [first for first in (1, 2, 3) if prefixes.longest(sequence([first] * 10)) is not None]
    assert (known, prefixes.nbytes) == ([1, 3], 2 * one)


def test_a_conversation_that_grows_is_kept_once() -> None:
    prefixes = Prefixes(2**20)
    for length in (10, 20, 30):
        prefixes.keep(sequence([1] * length), (), cache(length))
    assert prefixes.nbytes == cache(30).nbytes
    assert prefixes.longest(sequence([1] * 40)).length == 30  # type: ignore[union-attr]


def test_nothing_is_kept_without_a_budget() -> None:
    prefixes = Prefixes(0)
    prefixes.keep(sequence(TURN), (), cache(20))
    assert prefixes.nbytes == 0
    assert prefixes.longest(sequence(TURN)) is None
