"""Random hearings of clips: what still says the same, by another throat, at another pace, over another line.

M mel bands, F mel frames, S samples
"""

from __future__ import annotations

import random

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

from mmchat.inputs.audio import SAMPLE_RATE

_SIXTEENTHS = (14, 18)  # how long a clip of 16 becomes
_BLANKS = 2
_LONGEST_BLANK_S = 0.08
_PACE = 0.15
_THROAT = 0.15
_BEND = 0.1  # of a log-mel spectrogram, whose unit is 40 dB, up and down
_BENDS = 4
_NYQUIST_HZ = 8_000.0
_LINEAR_HZ = 1_000.0  # below it the scale of Slaney's mel bands is linear, above it logarithmic
_MEL_AT_LINEAR = 15.0
_MELS_A_NEPER = 27.0 / np.log(6.4)


def said_anew(waveform: NDArray[np.float32], rng: random.Random) -> NDArray[np.float32]:
    """(S,) samples to (an eighth fewer or more,): played slower or faster, so that pitch, throat and pace change.

    Speed perturbation (Ko et al. 2015), and up to two short blanks as SpecAugment has them. An encoder that stays as it
    is hears its own training clips better than anything else; heard anew, they are read with the mistakes that it makes
    with other voices.
    """
    waveform = resample_poly(waveform, rng.randint(*_SIXTEENTHS), 16).astype(np.float32)
    for _ in range(rng.randint(0, _BLANKS)):
        width = round(rng.uniform(0, _LONGEST_BLANK_S) * SAMPLE_RATE)
        start = rng.randint(0, max(0, len(waveform) - width))
        waveform[start : start + width] = 0
    return np.clip(waveform, -1, 1)


def draw_pace(rng: random.Random) -> float:
    """For how many frames one of a clip is heard: from 0.85 to 1.15."""
    return 1 + rng.uniform(-_PACE, _PACE)


def heard_anew(mel: Tensor, frames: int, rng: random.Random) -> Tensor:
    """(M, F) log-mel spectrogram to (M, frames).

    Frequencies are stretched as a shorter or longer throat would have them (vocal tract length perturbation, Jaitly and
    Hinton 2013), time evenly; bands are lifted or lowered, neighbours alike, as another microphone and another voice
    would have them (as in FilterAugment, Nam et al. 2022).
    """
    bands = len(mel)
    mel = _taken(mel.T, torch.linspace(0, mel.shape[1] - 1, frames)).T
    mel = _taken(mel, torch.from_numpy(_stretched(bands, 1 + rng.uniform(-_THROAT, _THROAT))).float())
    heights = torch.linspace(0, torch.pi, bands)
    for bend in range(1, _BENDS + 1):  # a slope, then waves
        mel = mel + rng.uniform(-_BEND, _BEND) * torch.cos(bend * heights)[:, None]
    return mel


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


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    """Rows (N, …) at fractional places (n,), each a mixture of its two neighbours."""
    places = places.clamp(0, len(rows) - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=len(rows) - 1)
    share = (places - below)[:, None]
    return rows[below] * (1 - share) + rows[above] * share


def _stretched(bands: int, factor: float) -> np.ndarray:
    """(M,) the band, with its fraction, whose sound each band gets when all frequencies are multiplied by `factor`."""
    step = _mels(np.array(_NYQUIST_HZ)) / (bands + 1)
    hertz = _hertz((np.arange(bands) + 1) * step)
    return _mels(hertz / factor) / step - 1


def _mels(hertz: np.ndarray) -> np.ndarray:
    linear = hertz * _MEL_AT_LINEAR / _LINEAR_HZ
    return np.where(
        hertz < _LINEAR_HZ, linear, _MEL_AT_LINEAR + _MELS_A_NEPER * np.log(np.maximum(hertz, 1) / _LINEAR_HZ)
    )


def _hertz(mels: np.ndarray) -> np.ndarray:
    linear = mels * _LINEAR_HZ / _MEL_AT_LINEAR
    return np.where(mels < _MEL_AT_LINEAR, linear, _LINEAR_HZ * np.exp((mels - _MEL_AT_LINEAR) / _MELS_A_NEPER))
