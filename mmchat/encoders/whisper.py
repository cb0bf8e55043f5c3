"""Clips to frame features: the audio encoder of openai-whisper, run at the clip's true length or on whole chunks.

B clips of one length, M mel bands, F mel frames (100 a second), T features (50 a second, or fewer with a longer
stride), Da width of a feature
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from whisper.audio import HOP_LENGTH, log_mel_spectrogram
from whisper.model import AudioEncoder

from mmchat.config import AudioEncoderConfig

FEATURES_PER_SECOND = 50
_SAMPLES_PER_FRAME: int = HOP_LENGTH
_SHORTEST = 16 * _SAMPLES_PER_FRAME  # shorter clips are padded with silence: the spectrogram needs 400 samples
_FEWEST_FRAMES = 2


class Chunk(NamedTuple):
    """30 s of a clip, or what is left of it, as the encoder reads it."""

    mel: Tensor
    """(M, F) log-mel spectrogram."""
    heard: int
    """How many of its features are of the clip, and attended to."""


class WhisperAudioEncoder(nn.Module):
    """Whisper's encoder; with its positions sliced where the clip is not padded to 30 s."""

    def __init__(self, config: AudioEncoderConfig, multiple: int = 1) -> None:
        """
        Args:
            config: with fresh weights.
            multiple: over zeros, features go on to a multiple of this: as many as the projector makes one token of.
        """
        super().__init__()
        self.config = config
        self.width = config.n_audio_state
        self._multiple = multiple
        self._window = config.n_audio_ctx * 2 * _SAMPLES_PER_FRAME
        self._positions = config.n_audio_ctx * 2 // config.stride
        self.encoder = AudioEncoder(
            config.n_mels, config.n_audio_ctx, config.n_audio_state, config.n_audio_head, config.n_audio_layer
        )
        self.encoder.conv2.stride = (config.stride,)
        if not config.final_norm:
            self.encoder.ln_post = nn.Identity()

    def num_features(self, samples: int) -> list[int]:
        """How many features each chunk of a clip of so many 16 kHz samples has; in a full one they fill the window."""
        features = [self._num_heard(length) for length in self._chunk_lengths(samples)]
        return features if len(features) == 1 else [*features[:-1], self._filled(features[-1])]

    def preprocess(self, waveform: np.ndarray) -> list[Chunk]:
        """A (samples,) waveform at 16 kHz to chunks; F is about `stride` times the number of features."""
        samples = torch.from_numpy(waveform)
        lengths = self._chunk_lengths(len(waveform))
        match self.config.padding:
            case "full":
                mels = self._mel(samples, len(lengths) * self._window).chunk(len(lengths), dim=1)
            case "zeros":
                mels = self._mel_over_zeros(samples)
            case _:
                mels = tuple(self._chunk_mel(chunk) for chunk in torch.split(samples, lengths))
        return [Chunk(mel, self._num_heard(length)) for mel, length in zip(mels, lengths, strict=True)]

    def forward(self, mel: Tensor, heard: int | None = None) -> Tensor:
        """(B, M, F) spectrograms of one length to (B, T, Da) features.

        Equal to `whisper.model.AudioEncoder.forward` where T is `n_audio_ctx`.

        Args:
            mel: the spectrograms.
            heard: how many features are attended to; by default all.
        """
        x = F.gelu(self.encoder.conv1(mel))
        x = F.gelu(self.encoder.conv2(x)).transpose(1, 2)  # B, T, Da
        if self.config.padding == "masked":
            x = x[:, : mel.shape[-1] // 2]  # the silence behind the clip becomes no feature of its own
        when = self.encoder.positional_embedding[:: self.config.stride // 2]
        x = (x + when[: x.shape[1]]).to(x.dtype)
        for block in self.encoder.blocks:
            normed = block.attn_ln(x)
            x = x + block.attn(normed, normed[:, :heard])[0]
            x = x + block.mlp(block.mlp_ln(x))
        features: Tensor = self.encoder.ln_post(x)
        return features

    def _num_heard(self, length: int) -> int:
        match self.config.padding:
            case "none":
                return math.ceil(max(length, _SHORTEST) / (self.config.stride * _SAMPLES_PER_FRAME))
            case "masked" | "zeros":
                return math.ceil(math.ceil(length / _SAMPLES_PER_FRAME) / 2)
            case "full":
                return self._positions

    def _filled(self, features: int) -> int:
        """How many features the last of several chunks has with those over zeros."""
        return min(self._positions, -(-features // self._multiple) * self._multiple)

    def _mel_over_zeros(self, samples: Tensor) -> tuple[Tensor, ...]:
        frames = max(_FEWEST_FRAMES, math.ceil(len(samples) / _SAMPLES_PER_FRAME))
        mel = self._mel(samples, frames * _SAMPLES_PER_FRAME)
        *full, last = torch.split(mel, 2 * self.config.n_audio_ctx, dim=1)
        if full:
            features = self._filled(math.ceil(last.shape[1] / 2))
            last = F.pad(last, (0, 2 * features - last.shape[1]))
        return (*full, last)

    def _chunk_mel(self, chunk: Tensor) -> Tensor:
        features = self._num_heard(len(chunk))
        if self.config.padding == "none":
            return self._mel(chunk, features * self.config.stride * _SAMPLES_PER_FRAME)
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
