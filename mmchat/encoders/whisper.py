"""Clips to frame features: the audio encoder of openai-whisper, run at the clip's true length or on whole chunks.

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
_SAMPLES_PER_FRAME: int = HOP_LENGTH
_SAMPLES_PER_FEATURE = 2 * _SAMPLES_PER_FRAME
_SHORTEST = 8 * _SAMPLES_PER_FEATURE  # shorter clips are padded with silence: the spectrogram needs 400 samples


class WhisperAudioEncoder(nn.Module):
    """Whisper's encoder; with its positions sliced where the clip is not padded to 30 s."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.width = config.n_audio_state
        self._window = config.n_audio_ctx * _SAMPLES_PER_FEATURE
        self.encoder = AudioEncoder(
            config.n_mels, config.n_audio_ctx, config.n_audio_state, config.n_audio_head, config.n_audio_layer
        )
        if not config.final_norm:
            self.encoder.ln_post = nn.Identity()

    def num_features(self, samples: int) -> list[int]:
        """How many features each chunk of a clip of so many 16 kHz samples has; a full chunk has `n_audio_ctx`."""
        return [self._num_features(length) for length in self._chunk_lengths(samples)]

    def preprocess(self, waveform: np.ndarray) -> list[Tensor]:
        """A (samples,) waveform at 16 kHz to one (M, F) log-mel spectrogram a chunk.

        F is twice the number of features, and one more where silence is heard behind them.
        """
        samples = torch.from_numpy(waveform)
        lengths = self._chunk_lengths(len(waveform))
        if self.config.padding == "full":
            return list(self._mel(samples, len(lengths) * self._window).chunk(len(lengths), dim=1))
        return [self._chunk_mel(chunk) for chunk in torch.split(samples, lengths)]

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, F) spectrograms of one length to (B, T, Da) features, T = ⌊F / 2⌋.

        Equal to `whisper.model.AudioEncoder.forward` where T is `n_audio_ctx`.
        """
        x = F.gelu(self.encoder.conv1(mel))
        x = F.gelu(self.encoder.conv2(x)).transpose(1, 2)[:, : mel.shape[-1] // 2]  # B, T, Da
        x = (x + self.encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
        for block in self.encoder.blocks:
            x = block(x)
        features: Tensor = self.encoder.ln_post(x)
        return features

    def _num_features(self, length: int) -> int:
        match self.config.padding:
            case "none":
                return math.ceil(max(length, _SHORTEST) / _SAMPLES_PER_FEATURE)
            case "masked":
                return math.ceil(math.ceil(length / _SAMPLES_PER_FRAME) / 2)
            case "full":
                return self.config.n_audio_ctx

    def _chunk_mel(self, chunk: Tensor) -> Tensor:
        features = self._num_features(len(chunk))
        if self.config.padding == "none":
            return self._mel(chunk, features * _SAMPLES_PER_FEATURE)
        return self._mel(chunk, self._window)[:, : 2 * features + 1]  # the convolutions hear one frame on

    def _mel(self, waveform: Tensor, samples: int) -> Tensor:
        """The log-mel spectrogram of a waveform that silence makes so many samples long."""
        padded = F.pad(waveform, (0, samples - len(waveform)))
        mel: Tensor = log_mel_spectrogram(padded, self.config.n_mels).to(self.encoder.conv1.weight)
        return mel

    def _chunk_lengths(self, samples: int) -> list[int]:
        """Lengths in samples of the chunks of a clip: as many positions as the weights have, 30 s as a rule."""
        full, rest = divmod(samples, self._window)
        return [self._window] * full + ([rest] if rest else [])
