"""Speech-to-text pre-training: CTC (Graves et al. 2006) over letters, over the words of the decoder, or both.

B clips of a batch, M mel bands, F mel frames, T steps in time, A targets with the blank
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ModelConfig, ProjectorConfig
from mmchat.encoders.whisper import WhisperAudioEncoder
from mmchat.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from mmchat.inputs.audio import load_audio
from mmchat.model.projector import Projector
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.model.transformers_decoder import TransformersDecoder
from mmchat.training import parallel
from mmchat.training.data import read_rows, step_random
from mmchat.training.hearings import draw_pace, heard_anew, mask
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.settings import SpeechStage
from mmchat.training.spelling import Letters, Spelling, Words
from mmchat.training.start import start_from


@dataclass(frozen=True)
class Targets:
    """What the clips of a batch say, in one spelling."""

    ids: Tensor
    """All letters or words, end to end."""
    lengths: Tensor
    """(B,) how many each clip has."""


@dataclass(frozen=True)
class SpeechBatch:
    """Clips of nearly one length with what they say."""

    mels: Tensor
    """(B, M, F)"""
    targets: tuple[Targets, ...]
    """In each spelling."""


class SpeechTraining(GradientStage[SpeechBatch]):
    """The encoder learns to spell what is said, and that nothing is; in words, the projector learns it too.

    Letters beside words are the classic help (Fernández et al. 2007): every clip teaches all letters, and a rare word
    only itself.
    """

    unit = "clips"

    def __init__(self, config: SpeechStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device) -> None:
        if model.audio_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no audio_encoder to train")
        self._config = config
        self._encoder = WhisperAudioEncoder(model.audio_encoder)
        start_from(config.start, "audio_encoder", self._encoder)
        self._projector: Projector | None = None
        self._spellings: dict[str, Spelling] = {}
        if "letters" in config.spell_in:
            self._spellings["letters"] = Letters(self._encoder.width)
        if "words" in config.spell_in:
            embeddings = self._embeddings(model, tokenizer)
            self._projector = Projector(
                _projector_config(model), self._encoder.width, embeddings.shape[1], tokenizer.vocab_size
            )
            start_from(config.start, "audio_projector", self._projector)
            self._spellings["words"] = Words(self._projector, embeddings, tokenizer)
        heads = nn.ModuleDict({name: spelling.head for name, spelling in self._spellings.items()})
        self.module = nn.ModuleDict({"encoder": self._encoder, "heads": heads}).to(device)
        self._device = device
        rows = [
            row
            for row in read_rows(config.data / "transcripts.jsonl", "audio", "text")
            if not row["text"].strip() or all(self._spelt(row["text"]))
        ]
        if len(rows) < config.batch_size:
            raise DatasetError(f"{config.data}/transcripts.jsonl has {len(rows)} clips to learn, a batch needs more")
        rows = parallel.own_rows(rows)
        self._batch_size = parallel.own_batch(config.batch_size)
        clips = [(self._samples(config.data / row["audio"]), self._spelt(row["text"])) for row in rows]
        self._clips = sorted(clips, key=lambda clip: len(clip[0]))

    def batch(self, step: int) -> SpeechBatch:
        """A batch of clips whose lengths are neighbours, padded at the end to the longest of them."""
        rng = step_random(self._config.seed, step)
        first = rng.randint(0, len(self._clips) - self._batch_size)
        chosen = self._clips[first : first + self._batch_size]
        longest = max(len(samples) for samples, _ in chosen)
        waveforms = [np.pad(samples, (0, longest - len(samples))).astype(np.float32) / 32767 for samples, _ in chosen]
        spectrograms = [self._encoder.preprocess(waveform)[0].mel for waveform in waveforms]
        frames = min(round(spectrograms[0].shape[1] * draw_pace(rng)), 2 * self._encoder.config.n_audio_ctx)
        mels = torch.stack([mask(heard_anew(mel, frames, rng), rng) for mel in spectrograms])
        return SpeechBatch(mels, tuple(map(_targets, zip(*(spelt for _, spelt in chosen), strict=True))))

    def loss(self, batch: SpeechBatch) -> Loss:
        """CTC loss a letter or word; with both, their mean.

        Raises:
            TrainingError: no clip of the batch has a step in time for each of its letters or words.
        """
        features = self._encoder(batch.mels.to(self._device))
        spellings = zip(self._spellings.values(), batch.targets, strict=True)
        losses = [self._ctc(spelling, features, targets) for spelling, targets in spellings]
        return Loss(torch.stack(losses).mean(), len(batch.mels))

    def _ctc(self, spelling: Spelling, features: Tensor, targets: Targets) -> Tensor:
        scores = spelling.head(features).float().log_softmax(-1).transpose(0, 1)  # T, B, A
        if int(targets.lengths.min()) > len(scores):
            raise TrainingError(f"{self._config.name}: a batch without labels: its texts are too long for their clips")
        heard = torch.full((len(features),), len(scores))
        ids = targets.ids.to(self._device)
        return F.ctc_loss(scores, ids, heard, targets.lengths, spelling.blank, zero_infinity=True)

    def components(self) -> Mapping[str, nn.Module]:
        """The audio encoder, and the projector when it learnt."""
        parts: dict[str, nn.Module] = {"audio_encoder": self._encoder}
        return parts if self._projector is None else {**parts, "audio_projector": self._projector}

    def _embeddings(self, model: ModelConfig, tokenizer: ChatTokenizer) -> Tensor:
        """(V, D), of the decoder that a start folder holds."""
        decoder = TransformersDecoder({"vocab_size": tokenizer.vocab_size, **model.decoder})
        if not start_from(self._config.start, "decoder", decoder):
            folders = ", ".join(map(str, self._config.start))
            raise CheckpointError(f"{self._config.name}: no decoder, whose words these are, in any of: {folders}")
        return decoder.embed(torch.arange(tokenizer.vocab_size))

    def _spelt(self, text: str) -> tuple[list[int], ...]:
        return tuple(spelling.ids(text) for spelling in self._spellings.values())

    def _samples(self, path: Path) -> np.ndarray:
        waveform = load_audio(path).waveform
        if len(self._encoder.num_features(len(waveform))) > 1:
            raise DatasetError(f"{path} is longer than the encoder hears at once: cut it and its transcript in two")
        return (waveform * 32767).astype(np.int16)


def _projector_config(model: ModelConfig) -> ProjectorConfig:
    assert model.audio_projector is not None, "it comes with the encoder"
    return model.audio_projector


def _targets(spelt: Sequence[list[int]]) -> Targets:
    """Of the texts of a batch."""
    ids = torch.tensor([target for ids in spelt for target in ids], dtype=torch.long)
    return Targets(ids, torch.tensor([len(ids) for ids in spelt]))
