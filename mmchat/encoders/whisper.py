"""Clips to frame features: the audio encoder of openai-whisper, run at the clip's true length.

B clips of one length, M mel bands, F mel frames (100 a second), T features (50 a second), Da width of a feature
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from whisper.audio import HOP_LENGTH, log_mel_spectrogram
from whisper.model import AudioEncoder

from mmchat.config import AudioEncoderConfig

FEATURES_PER_SECOND = 50
_SAMPLES_PER_FEATURE: int = 2 * HOP_LENGTH
_SHORTEST = 8 * _SAMPLES_PER_FEATURE  # shorter clips are padded with silence: the spectrogram needs 400 samples


class WhisperAudioEncoder(nn.Module):
    """Whisper's encoder, with its sinusoidal positions sliced instead of the clip padded to 30 s."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.width = config.n_audio_state
        self._window = config.n_audio_ctx * _SAMPLES_PER_FEATURE
        self.encoder = AudioEncoder(
            config.n_mels, config.n_audio_ctx, config.n_audio_state, config.n_audio_head, config.n_audio_layer
        )

    def num_features(self, samples: int) -> list[int]:
        """How many features each chunk of a clip of so many 16 kHz samples has; a full chunk has `n_audio_ctx`."""
        return [_padded(length) // _SAMPLES_PER_FEATURE for length in self._chunk_lengths(samples)]

    def preprocess(self, waveform: np.ndarray) -> list[Tensor]:
        """A (samples,) waveform at 16 kHz to one (M, F) log-mel spectrogram a chunk, F even."""
        chunks = torch.split(torch.from_numpy(waveform), self._chunk_lengths(len(waveform)))
        return [self._mel(chunk) for chunk in chunks]

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, F) spectrograms of one length to (B, T, Da) features, T = F / 2.

        Equal to `whisper.model.AudioEncoder.forward` where T is `n_audio_ctx`.
        """
        x = F.gelu(self.encoder.conv1(mel))
        x = F.gelu(self.encoder.conv2(x)).transpose(1, 2)  # B, T, Da
        x = (x + self.encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
        for block in self.encoder.blocks:
            x = block(x)
        features: Tensor = self.encoder.ln_post(x)
        return features

    def _mel(self, chunk: Tensor) -> Tensor:
        padded = F.pad(chunk, (0, _padded(len(chunk)) - len(chunk)))
        weight = self.encoder.conv1.weight
        mel: Tensor = log_mel_spectrogram(padded, self.config.n_mels).to(weight)
        return mel

    def _chunk_lengths(self, samples: int) -> list[int]:
        """Lengths in samples of the chunks of a clip: as many positions as the weights have, 30 s as a rule."""
        full, rest = divmod(samples, self._window)
        return [self._window] * full + ([rest] if rest else [])


def _padded(samples: int) -> int:
    """Samples of a chunk after padding to a whole number of features."""
    return math.ceil(max(samples, _SHORTEST) / _SAMPLES_PER_FEATURE) * _SAMPLES_PER_FEATURE
