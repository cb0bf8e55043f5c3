"""Speech-to-text pre-training of the audio tower: CTC over characters (Graves et al. 2006).

B clips of a batch, M mel bands, F mel frames, T features, A characters with the blank
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmchat.config import ModelConfig, SpeechStage
from mmchat.encoders.whisper import WhisperAudioEncoder
from mmchat.errors import ConfigError, DatasetError, TrainingError
from mmchat.inputs.audio import load_audio
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training import parallel
from mmchat.training.data import read_rows, step_random
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.start import start_from

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
_BLANK = 0


@dataclass(frozen=True)
class SpeechBatch:
    """Clips of nearly one length with what they say."""

    mels: Tensor
    """(B, M, F)"""
    targets: Tensor
    """All characters, end to end."""
    lengths: Tensor
    """(B,) characters of each clip."""


class SpeechTraining(GradientStage[SpeechBatch]):
    """The encoder learns to spell what is said; the spelling head is thrown away afterwards."""

    unit = "clips"

    def __init__(self, config: SpeechStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device) -> None:
        if model.audio_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no audio_encoder to train")
        self._config = config
        self._encoder = WhisperAudioEncoder(model.audio_encoder)
        start_from(config.start, "audio_encoder", self._encoder)
        self._head = nn.Linear(self._encoder.width, len(ALPHABET) + 1)
        self.module = nn.ModuleDict({"encoder": self._encoder, "head": self._head}).to(device)
        self._device = device
        rows = [row for row in read_rows(config.data / "transcripts.jsonl", "audio", "text") if spell(row["text"])]
        if len(rows) < config.batch_size:
            raise DatasetError(f"{config.data}/transcripts.jsonl has {len(rows)} clips with words, a batch needs more")
        rows = parallel.own_rows(rows)
        self._batch_size = parallel.own_batch(config.batch_size)
        clips = [(self._samples(config.data / row["audio"]), spell(row["text"])) for row in rows]
        self._clips = sorted(clips, key=lambda clip: len(clip[0]))

    def batch(self, step: int) -> SpeechBatch:
        """A batch of clips whose lengths are neighbours, padded at the end to the longest of them."""
        rng = step_random(self._config.seed, step)
        first = rng.randint(0, len(self._clips) - self._batch_size)
        chosen = self._clips[first : first + self._batch_size]
        longest = max(len(samples) for samples, _ in chosen)
        waveforms = [np.pad(samples, (0, longest - len(samples))).astype(np.float32) / 32767 for samples, _ in chosen]
        mels = torch.stack([mask(self._encoder.preprocess(waveform)[0], rng) for waveform in waveforms])
        targets = torch.tensor([letter for _, letters in chosen for letter in letters])
        return SpeechBatch(mels, targets, torch.tensor([len(letters) for _, letters in chosen]))

    def loss(self, batch: SpeechBatch) -> Loss:
        """CTC loss a character.

        Raises:
            TrainingError: no clip of the batch has a feature for each of its characters.
        """
        features = self._encoder(batch.mels.to(self._device))  # B, T, Da
        scores = self._head(features).float().log_softmax(-1).transpose(0, 1)  # T, B, A
        if int(batch.lengths.min()) > len(scores):
            raise TrainingError(f"{self._config.name}: a batch without labels: its texts are too long for their clips")
        heard = torch.full((len(batch.mels),), len(scores))
        value = F.ctc_loss(scores, batch.targets.to(self._device), heard, batch.lengths, _BLANK, zero_infinity=True)
        return Loss(value, len(batch.mels))

    def components(self) -> Mapping[str, nn.Module]:
        """The audio encoder."""
        return {"audio_encoder": self._encoder}

    def _samples(self, path: Path) -> np.ndarray:
        waveform = load_audio(path).waveform
        if len(self._encoder.num_features(len(waveform))) > 1:
            raise DatasetError(f"{path} is longer than the encoder hears at once: cut it and its transcript in two")
        return (waveform * 32767).astype(np.int16)


def spell(text: str) -> list[int]:
    """Letters of a text as CTC targets; all but letters, spaces and apostrophes is dropped."""
    kept = re.sub(rf"[^{ALPHABET}]+", " ", text.lower()).strip()
    return [ALPHABET.index(letter) + 1 for letter in re.sub(" +", " ", kept)]


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
