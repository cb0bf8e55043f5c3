"""Speech-to-text pre-training: CTC (Graves et al. 2006) over letters, or over the words of the decoder.

B clips of a batch, M mel bands, F mel frames, T steps in time, A targets with the blank
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ModelConfig, ProjectorConfig, SpeechStage
from mmchat.encoders.whisper import WhisperAudioEncoder
from mmchat.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from mmchat.inputs.audio import load_audio
from mmchat.model.decoder import Decoder
from mmchat.model.projector import Projector
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training import parallel
from mmchat.training.data import read_rows, step_random
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.spelling import Letters, Spelling, Words
from mmchat.training.start import start_from


@dataclass(frozen=True)
class SpeechBatch:
    """Clips of nearly one length with what they say."""

    mels: Tensor
    """(B, M, F)"""
    targets: Tensor
    """All letters or words, end to end."""
    lengths: Tensor
    """(B,) how many each clip has."""


class SpeechTraining(GradientStage[SpeechBatch]):
    """The encoder learns to spell what is said; in words, the projector learns it too."""

    unit = "clips"

    def __init__(self, config: SpeechStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device) -> None:
        if model.audio_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no audio_encoder to train")
        self._config = config
        self._encoder = WhisperAudioEncoder(model.audio_encoder)
        start_from(config.start, "audio_encoder", self._encoder)
        self._projector: Projector | None = None
        self._spelling: Spelling = Letters(self._encoder.width)
        if config.spell_in == "words":
            embeddings = self._embeddings(model, tokenizer)
            self._projector = Projector(_projector_config(model), self._encoder.width, embeddings.shape[1])
            start_from(config.start, "audio_projector", self._projector)
            self._spelling = Words(self._projector, embeddings, tokenizer)
        self.module = nn.ModuleDict({"encoder": self._encoder, "head": self._spelling.head}).to(device)
        self._device = device
        rows = [
            row
            for row in read_rows(config.data / "transcripts.jsonl", "audio", "text")
            if self._spelling.ids(row["text"])
        ]
        if len(rows) < config.batch_size:
            raise DatasetError(f"{config.data}/transcripts.jsonl has {len(rows)} clips with words, a batch needs more")
        rows = parallel.own_rows(rows)
        self._batch_size = parallel.own_batch(config.batch_size)
        clips = [(self._samples(config.data / row["audio"]), self._spelling.ids(row["text"])) for row in rows]
        self._clips = sorted(clips, key=lambda clip: len(clip[0]))

    def batch(self, step: int) -> SpeechBatch:
        """A batch of clips whose lengths are neighbours, padded at the end to the longest of them."""
        rng = step_random(self._config.seed, step)
        first = rng.randint(0, len(self._clips) - self._batch_size)
        chosen = self._clips[first : first + self._batch_size]
        longest = max(len(samples) for samples, _ in chosen)
        waveforms = [np.pad(samples, (0, longest - len(samples))).astype(np.float32) / 32767 for samples, _ in chosen]
        mels = torch.stack([mask(self._encoder.preprocess(waveform)[0].mel, rng) for waveform in waveforms])
        targets = torch.tensor([letter for _, letters in chosen for letter in letters])
        return SpeechBatch(mels, targets, torch.tensor([len(letters) for _, letters in chosen]))

    def loss(self, batch: SpeechBatch) -> Loss:
        """CTC loss a letter or word.

        Raises:
            TrainingError: no clip of the batch has a step in time for each of its letters or words.
        """
        features = self._encoder(batch.mels.to(self._device))
        scores = self._spelling.head(features).float().log_softmax(-1).transpose(0, 1)  # T, B, A
        if int(batch.lengths.min()) > len(scores):
            raise TrainingError(f"{self._config.name}: a batch without labels: its texts are too long for their clips")
        heard = torch.full((len(batch.mels),), len(scores))
        targets = batch.targets.to(self._device)
        value = F.ctc_loss(scores, targets, heard, batch.lengths, self._spelling.blank, zero_infinity=True)
        return Loss(value, len(batch.mels))

    def components(self) -> Mapping[str, nn.Module]:
        """The audio encoder, and the projector when it learnt."""
        parts: dict[str, nn.Module] = {"audio_encoder": self._encoder}
        return parts if self._projector is None else {**parts, "audio_projector": self._projector}

    def _embeddings(self, model: ModelConfig, tokenizer: ChatTokenizer) -> Tensor:
        """(V, D), of the decoder that a start folder holds."""
        decoder = Decoder({"vocab_size": tokenizer.vocab_size, **model.decoder})
        if not start_from(self._config.start, "decoder", decoder):
            folders = ", ".join(map(str, self._config.start))
            raise CheckpointError(f"{self._config.name}: no decoder, whose words these are, in any of: {folders}")
        return decoder.embed(torch.arange(tokenizer.vocab_size))

    def _samples(self, path: Path) -> np.ndarray:
        waveform = load_audio(path).waveform
        if len(self._encoder.num_features(len(waveform))) > 1:
            raise DatasetError(f"{path} is longer than the encoder hears at once: cut it and its transcript in two")
        return (waveform * 32767).astype(np.int16)


def _projector_config(model: ModelConfig) -> ProjectorConfig:
    assert model.audio_projector is not None, "it comes with the encoder"
    return model.audio_projector


def mask(mel: Tensor, rng: random.Random) -> Tensor:
    """SpecAugment (Park et al. 2019, section 2): a few mel bands and frames of an (M, F) spectrogram are blanked."""
    mel = mel.clone()
    floor = mel.min()
    bands, frames = mel.shape
    for _ in range(2):
        width = rng.randint(0, bands // 8)
        start = rng.randint(0, bands - width)
        mel[start : start + width] = floor
        width = rng.randint(0, frames // 16)
        start = rng.randint(0, frames - width)
        mel[:, start : start + width] = floor
    return mel
