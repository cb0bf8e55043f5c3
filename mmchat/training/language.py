"""Language-model pre-training of the decoder.

B rows of a batch, T tokens of a row
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ModelConfig
from mmchat.errors import ConfigError
from mmchat.inputs.messages import Message
from mmchat.model.sequence import build_sequence
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder
from mmchat.training import parallel
from mmchat.training.data import parts_of, read_dialogues, read_rows, shuffled, step_random
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.settings import LanguageStage
from mmchat.training.start import start_from

Rows = tuple[Tensor, Tensor]


class LanguageTraining(GradientStage[Rows]):
    """Next-token prediction over documents and text dialogues, packed end to end."""

    unit = "tokens"

    def __init__(
        self, config: LanguageStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device
    ) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._decoder = TransformersDecoder({"vocab_size": tokenizer.vocab_size, **model.decoder})
        start_from(config.start, "decoder", self._decoder)
        self.module = self._decoder.to(device)
        if config.context > self._decoder.context:
            raise ConfigError(f"{config.name}: context {config.context} is over the decoder's {self._decoder.context}")
        self._batch_size = parallel.own_batch(config.batch_size)
        self._documents = [torch.tensor(ids, dtype=torch.int32) for ids in self._read()]

    def batch(self, step: int) -> Rows:
        """(B, T) ids, and (B, T) positions that begin anywhere in the context, so that all positions are learnt."""
        config = self._config
        rng = step_random(config.seed, step)
        order = shuffled(len(self._documents), config.seed, rng.randrange(len(self._documents)))
        needed = whole = self._batch_size * config.context
        pieces: list[Tensor] = []
        while needed > 0:
            pieces.append(self._documents[next(order)])
            needed -= len(pieces[-1])
        ids = torch.cat(pieces)[:whole].view(self._batch_size, config.context)
        room = self._decoder.context - config.context
        starts = torch.tensor([rng.randint(0, room) for _ in range(self._batch_size)])
        return ids.long(), starts[:, None] + torch.arange(config.context)

    def loss(self, batch: Rows) -> Loss:
        """Cross entropy of each next token."""
        ids, positions = (tensor.to(self._decoder.device) for tensor in batch)
        logits, _ = self._decoder(self._decoder.embed(ids), positions=positions)
        value = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        return Loss(value, ids.numel())

    def components(self) -> Mapping[str, nn.Module]:
        """The decoder."""
        return {"decoder": self._decoder}

    def _read(self) -> Iterator[list[int]]:
        for row in parallel.own_rows(read_rows(self._config.data / "texts.jsonl", "text")):
            yield [*self._tokenizer.encode(row["text"]), self._tokenizer.end_id]
        dialogues = read_dialogues(self._config.data / "dialogues.jsonl")
        for row in parallel.own_rows(
            [row for row in dialogues if all(part["type"] == "text" for part in parts_of(row))]
        ):
            messages = [Message.from_dict(message) for message in row["messages"]]
            yield list(build_sequence(messages, self._tokenizer, _no_media, answer_next=False).ids)


def _no_media(part: object) -> int:
    raise AssertionError("dialogues with media were left out")
