"""Clips in which nobody speaks: silence, noise and music, made from numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mmchat.world.speech import SPEECH_RATE, Waveform, coloured_noise
from mmchat.world.talk import Sound

SOUNDS: tuple[Sound, ...] = get_args(Sound)

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))  # major, minor, pentatonic; semitones
_Samples = NDArray[np.float64]


def make_sound(sound: Sound, rng: np.random.Generator) -> Waveform:
    """0.8 to 4 s of a sound, (samples,) float32 in [-1, 1] at `SPEECH_RATE`.

    Silence is the faint hiss of a recorder that peaks at -53 to -46 dBFS, for a clip below -60 is refused at the door;
    noise and music peak at -25 to -1 dBFS.
    """
    samples = round(SPEECH_RATE * rng.uniform(0.8, 4))
    makers = {"silence": coloured_noise, "noise": _noise, "music": _music}
    waveform = makers[sound](samples, rng)
    level = 10 ** (rng.uniform(*((-53, -46) if sound == "silence" else (-25, -1))) / 20)
    levelled: Waveform = (waveform / max(1e-9, np.abs(waveform).max()) * level).astype(np.float32)
    return levelled


def _noise(samples: int, rng: np.random.Generator) -> _Samples:
    """A rush, the hum of a machine, knocks, or wind that comes and goes; two of them now and then."""
    kinds: tuple[Callable[[int, np.random.Generator], _Samples], ...] = (coloured_noise, _hum, _knocks, _gusts)
    chosen = rng.choice(len(kinds), size=rng.integers(1, 3), replace=False)
    mixed: _Samples = sum((kinds[index](samples, rng) * rng.uniform(0.3, 1) for index in chosen), np.zeros(samples))
    return mixed


def _hum(samples: int, rng: np.random.Generator) -> _Samples:
    time = np.arange(samples) / SPEECH_RATE
    base = rng.choice((50.0, 60.0, rng.uniform(80, 240)))
    parts = [np.sin(2 * np.pi * base * harmonic * time) / harmonic ** rng.uniform(0.5, 2) for harmonic in range(1, 9)]
    hum: _Samples = np.sum(parts, axis=0) + 0.1 * coloured_noise(samples, rng)
    return hum


def _knocks(samples: int, rng: np.random.Generator) -> _Samples:
    knocks = 0.02 * coloured_noise(samples, rng)
    for start in rng.integers(0, max(1, samples - 800), size=rng.integers(2, 12)):
        length = min(samples - start, round(SPEECH_RATE * rng.uniform(0.01, 0.12)))
        decay = np.exp(-np.arange(length) / (length / rng.uniform(3, 7)))
        knocks[start : start + length] += coloured_noise(length, rng) * decay * rng.uniform(0.3, 1)
    return knocks


def _gusts(samples: int, rng: np.random.Generator) -> _Samples:
    time = np.arange(samples) / SPEECH_RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (rng.uniform(0.2, 1.5) * time + rng.random()))
    gusts: _Samples = coloured_noise(samples, rng, tilt=(0.4, 1.2)) * swell
    return gusts


def _music(samples: int, rng: np.random.Generator) -> _Samples:
    """A melody of one timbre, often over chords and a beat."""
    scale, root = _SCALES[rng.integers(len(_SCALES))], rng.uniform(48, 66)  # a MIDI number: 48 is 131 Hz
    beat = 60 / rng.uniform(70, 180)
    timbre = rng.uniform(0.6, 2.5)
    music = np.zeros(samples)
    degree, start = int(rng.integers(7)), 0.0
    while start * SPEECH_RATE < samples:
        length = beat * rng.choice((0.5, 1.0, 1.0, 2.0))
        degree = int(np.clip(degree + rng.integers(-2, 3), -3, 11))
        _add_tone(music, start, length, _pitch(root, scale, degree), timbre, 1.0)
        start += length
    if rng.random() < 0.6:
        _add_chords(music, beat * 4, root - 12, scale, rng)
    if rng.random() < 0.5:
        for hit in np.arange(0, samples / SPEECH_RATE, beat):
            _add_tone(music, float(hit), 0.12, 34.0, 1.5, 0.9)
    return music


def _add_chords(music: _Samples, length: float, root: float, scale: tuple[int, ...], rng: np.random.Generator) -> None:
    for start in np.arange(0, len(music) / SPEECH_RATE, length):
        degree = int(rng.integers(len(scale)))
        for step in (0, 2, 4):
            _add_tone(music, float(start), length, _pitch(root, scale, degree + step), 1.5, 0.3)


def _pitch(root: float, scale: tuple[int, ...], degree: int) -> float:
    octave, step = divmod(degree, len(scale))
    return root + 12 * octave + scale[step]


def _add_tone(music: _Samples, start: float, length: float, pitch: float, timbre: float, level: float) -> None:
    """Add a tone that is struck and dies away; `timbre` is how fast its harmonics get weaker."""
    first = round(start * SPEECH_RATE)
    time = np.arange(min(len(music) - first, round(length * SPEECH_RATE))) / SPEECH_RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    harmonics = [number for number in range(1, 7) if number * frequency < SPEECH_RATE / 2]
    tone = np.sum([np.sin(2 * np.pi * frequency * n * time) / n**timbre for n in harmonics], axis=0)
    attack = np.minimum(1, time / 0.01)
    music[first : first + len(time)] += level * tone * attack * np.exp(-3 * time / max(length, 0.05))
