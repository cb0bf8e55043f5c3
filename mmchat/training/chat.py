"""Chat tuning over all modalities; with encoders and decoder frozen it is projector alignment.

B conversations of a batch, T positions of the longest, K of which logits are needed, V size of the vocabulary
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mmchat.checkpoints.store import COMPONENTS
from mmchat.config import Component, ModelConfig
from mmchat.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart
from mmchat.model.multimodal import Multimodal
from mmchat.model.sequence import IGNORED, MixedSequence, build_sequence, check_fits
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder
from mmchat.training import parallel
from mmchat.training.data import MODALITIES, parts_of, read_dialogues, read_rows, shuffled, step_random
from mmchat.training.features import FeatureCache
from mmchat.training.hearings import said_anew
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.phrasings import typed_anew
from mmchat.training.settings import ChatStage
from mmchat.training.spelling import HearingLoss
from mmchat.training.start import start_from
from mmchat.training.views import seen_anew

Waveform = NDArray[np.float32]

_GRID = SAMPLE_RATE * 32 // 100  # clips end on a grid of 0.32 s: many of a batch run through the encoder at once

_BATCHES_SORTED = 8
_CHARACTERS = {"image": 24, "audio": 144}


@dataclass(frozen=True)
class Conversations:
    """A batch."""

    sequences: list[MixedSequence]
    positions: Tensor
    """(B, T)"""
    said: list[list[int] | None]
    """The words of each clip, as ids, in the order of the clips, None where no row tells them; with `ctc_weight`."""


class ChatTraining(GradientStage[Conversations]):
    """The assistant learns to speak its own turns, given all that came before."""

    unit = "tokens"

    def __init__(self, config: ChatStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device) -> None:
        self._config = config
        self._tokenizer = tokenizer
        extra = [name for name, times in config.extra_files.items() for _ in range(times)]
        there = [name for name in extra if (config.data / name).is_file()]
        rows = [row for name in (*config.files, *there) for row in _dialogues(config.data / name)]
        rows = [row for row in rows if _kinds(row) <= {"text", *config.media} and _teaches(row, config.train)]
        if not rows:
            raise DatasetError(f"{config.name}: no row of {config.data} teaches {' or '.join(config.train)}")
        unknown = config.repeat.keys() - {row.get("kind") for row in rows}
        if unknown:
            raise DatasetError(f"{config.name}: repeat: no row of {config.data} is {' or '.join(sorted(unknown))}")
        if config.ctc_weight:
            _check_transcripts(rows, config)
        rows = [row for row in rows for _ in range(_times(row, config))]
        self._rows = parallel.own_rows(rows)
        self._batch_size = parallel.own_batch(config.batch_size)
        model = model.model_copy(update={"decoder": {"vocab_size": tokenizer.vocab_size, **model.decoder}})
        self._model = Multimodal(model, TransformersDecoder(model.decoder))
        for modality in config.media:
            if getattr(model, f"{modality}_encoder") is not None:
                self._model.attach(self._model.fresh(modality))
        absent = [name for name in config.train if name not in self.components()]
        if absent:
            names = " and no ".join(absent)
            raise ConfigError(f"{config.name}: no {names} to train: {config.model} has none, or media leaves it out")
        for name, component in self.components().items():
            self._start(name, component)
            component.requires_grad_(name in config.train)
        self._heard: HearingLoss | None = None
        if config.ctc_weight:
            if self._model.audio_projector is None or not {"audio_encoder", "audio_projector"} & set(config.train):
                raise ConfigError(f"{config.name}: ctc_weight: train names neither audio_encoder nor audio_projector")
            self._heard = HearingLoss(self._model.audio_projector, self._model.decoder.width)
        self.module = (self._model if self._heard is None else nn.ModuleList([self._model, self._heard])).to(device)
        if self._model.image_encoder is not None and "image_encoder" in config.train:
            self._model.image_encoder.tower.to(memory_format=torch.channels_last)  # as in the naming stage
        anew = {"audio": config.hear_anew, "image": config.see_anew}
        frozen = [name for name in config.media if f"{name}_encoder" not in config.train and not anew[name]]
        self._cache = FeatureCache(self._model, frozen)

    def batch(self, step: int) -> Conversations:
        """Conversations whose positions begin anywhere in the context, so that all positions are learnt."""
        rng = step_random(self._config.seed, step)
        rows = self._alike(step)
        sequences = [self._read(row, rng) for row in rows]
        longest = max(len(sequence) for sequence in sequences)
        room = self._model.decoder.context - longest
        starts = torch.tensor([rng.choice((0, rng.randint(0, room))) for _ in sequences])
        said = [] if self._heard is None else [words for row in rows for words in self._said(row)]
        return Conversations(sequences, starts[:, None] + torch.arange(longest), said)

    def _alike(self, step: int) -> list[dict[str, Any]]:
        """The rows of a step: of a few batches drawn together, those of about one length, so that little is padded."""
        size = self._batch_size
        batches = min(_BATCHES_SORTED, max(1, len(self._rows) // size))
        draw, part = divmod(step, batches)
        order = shuffled(len(self._rows), self._config.seed, draw * batches * size)
        rows = sorted((self._rows[next(order)] for _ in range(batches * size)), key=_characters)
        parts = list(range(batches))
        step_random(self._config.seed, draw).shuffle(parts)
        return rows[parts[part] * size : (parts[part] + 1) * size]

    def loss(self, batch: Conversations) -> Loss:
        """Cross entropy of what the assistant says, and with `ctc_weight` CTC of what it hears.

        Raises:
            TrainingError: no conversation of the batch has an assistant turn.
        """
        sequences, positions = batch.sequences, batch.positions
        labels = torch.full(positions.shape, IGNORED)
        for row, sequence in zip(labels, sequences, strict=True):
            row[: len(sequence)] = torch.tensor(sequence.labels)
        labels = labels[:, 1:]  # B, T - 1: what follows each position
        kept = (labels != IGNORED).any(0).nonzero().flatten()  # K: most positions need no logits of V tokens
        if len(kept) == 0:
            raise TrainingError(
                f"{self._config.name}: a batch without labels: its conversations have no assistant turn"
            )
        device = self._model.decoder.device
        media = [span.media for sequence in sequences for span in sequence.spans]
        tokens = self._model.in_time(media, self._cache.features(media))
        read = self._model.as_read(media, tokens)
        logits = self._model.read(sequences, read, positions.to(device), kept.to(device))  # B, K, V
        labels = labels[:, kept].to(device)
        told = labels != IGNORED
        loss = F.cross_entropy(logits[told].float(), labels[told])
        if self._heard is not None:
            clips = [heard for part, heard in zip(media, tokens, strict=True) if isinstance(part, AudioPart)]
            loss = loss + self._config.ctc_weight * self._ctc(clips, batch.said)
        return Loss(loss, int(told.sum()))

    def _ctc(self, clips: Sequence[Tensor], said: Sequence[list[int] | None]) -> Tensor:
        assert self._heard is not None
        known = [(clip, words) for clip, words in zip(clips, said, strict=True) if words is not None]
        if not known:
            return torch.zeros((), device=self._model.decoder.device)
        words = torch.arange(self._tokenizer.vocab_size, device=self._model.decoder.device)
        loss: Tensor = self._heard(*zip(*known, strict=True), self._model.decoder.embed(words))
        return loss

    def components(self) -> Mapping[str, nn.Module]:
        """Every component of the model that its media need."""
        parts = {name: getattr(self._model, name) for name in COMPONENTS}
        return {name: part for name, part in parts.items() if part is not None}

    def _start(self, name: str, component: nn.Module) -> None:
        """Only what is trained may begin fresh."""
        if not start_from(self._config.start, name, component) and name not in self._config.train:
            folders = ", ".join(str(folder) for folder in self._config.start)
            raise CheckpointError(f"{self._config.name}: {name} is not trained here and stands in none of: {folders}")

    def _said(self, row: dict[str, Any]) -> list[list[int] | None]:
        """For each clip of a row its words, where the row tells them."""
        transcripts = row.get("transcripts") or [None] * _clips(row)
        return [None if text is None else self._tokenizer.encode(text.strip()) for text in transcripts]

    def _read(self, row: dict[str, Any], rng: random.Random) -> MixedSequence:
        messages = [Message.from_dict(message, self._config.data) for message in row["messages"]]
        if self._config.see_anew:
            messages = [_each_picture(message, lambda picture: seen_anew(picture, rng)) for message in messages]
        if self._config.hear_anew:
            messages = [_each_clip(message, lambda clip: said_anew(clip, rng)) for message in messages]
        if self._config.type_anew:
            answers = " ".join(message.text for message in messages if message.role == "assistant")
            messages = [_each_text(message, lambda text: typed_anew(text, answers, rng)) for message in messages]
        messages = [_each_clip(message, _on_grid) for message in messages]
        sequence = build_sequence(messages, self._tokenizer, self._model.num_tokens, answer_next=False)
        check_fits(sequence, self._model.decoder.context)
        return sequence


def _dialogues(path: Path) -> list[dict[str, Any]]:
    """Rows of a file; a caption is what the assistant says to its picture alone."""
    if path.stem != "captions":
        return read_dialogues(path)
    return [
        {"messages": [
            {"role": "user", "content": [{"type": "image", "image": row["image"]}]},
            {"role": "assistant", "content": row["text"]},
        ]}
        for row in read_rows(path, "image", "text")
    ]  # fmt: skip


def _times(row: dict[str, Any], config: ChatStage) -> int:
    """How often a row stands in an epoch: as its kind or its clip asks for, whichever is more."""
    return max(config.repeat.get(row.get("kind", ""), 1), config.repeat_audio if "audio" in _kinds(row) else 1)


def _check_transcripts(rows: Sequence[dict[str, Any]], config: ChatStage) -> None:
    if not any(row.get("transcripts") for row in rows):
        raise DatasetError(f"{config.name}: ctc_weight: no row of {config.data} has transcripts")
    for row in rows:
        told, clips = row.get("transcripts"), _clips(row)
        if told is not None and not (
            isinstance(told, list) and len(told) == clips and all(isinstance(text, str) for text in told)
        ):
            raise DatasetError(f'{config.name}: "transcripts" must be a text for each clip ({clips}), not {told!r}')


def _clips(row: dict[str, Any]) -> int:
    return sum(MODALITIES[part["type"]] == "audio" for part in parts_of(row))


def _characters(row: dict[str, Any]) -> int:
    """About how long a row is, in characters of text; a picture or clip counts as text of about as many tokens."""
    return sum(_CHARACTERS.get(MODALITIES[part["type"]]) or len(part["text"]) for part in parts_of(row))


def _kinds(row: dict[str, Any]) -> set[str]:
    """Which of text, image and audio a row holds."""
    return {MODALITIES[part["type"]] for part in parts_of(row)}


def _teaches(row: dict[str, Any], trained: Sequence[Component]) -> bool:
    """Whether a gradient of the row reaches anything that is trained."""
    return "decoder" in trained or any(name.split("_")[0] in _kinds(row) for name in trained)


def _each_picture(message: Message, change: Callable[[Image.Image], Image.Image]) -> Message:
    parts = [
        ImagePart(change(part.image), part.name) if isinstance(part, ImagePart) else part for part in message.content
    ]
    return Message(message.role, tuple(parts))


def _each_clip(message: Message, change: Callable[[Waveform], Waveform]) -> Message:
    parts = [
        AudioPart(change(part.waveform), part.name) if isinstance(part, AudioPart) else part for part in message.content
    ]
    return Message(message.role, tuple(parts))


def _each_text(message: Message, change: Callable[[str], str]) -> Message:
    """What a user typed; the words of others stay."""
    if message.role != "user":
        return message
    parts = [TextPart(change(part.text)) if isinstance(part, TextPart) else part for part in message.content]
    return Message(message.role, tuple(parts))


def _on_grid(waveform: Waveform) -> Waveform:
    return np.pad(waveform, (0, -len(waveform) % _GRID))
