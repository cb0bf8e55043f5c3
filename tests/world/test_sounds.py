"""Clips without speech: their length, their level, and that each is what it is called."""

from __future__ import annotations

import numpy as np
import pytest

from mmchat.inputs.audio import SILENCE_PEAK
from mmchat.world.sounds import SOUNDS, make_sound
from mmchat.world.speech import SPEECH_RATE, Waveform
from mmchat.world.talk import Sound


@pytest.fixture(scope="module")
def clips() -> dict[Sound, list[Waveform]]:
    return {sound: [make_sound(sound, np.random.default_rng(seed)) for seed in range(24)] for sound in SOUNDS}


def decibels(amplitude: float) -> float:
    """dBFS; of nothing at all, minus infinity."""
    return 20 * np.log10(amplitude) if amplitude else -np.inf


def flatness(clip: Waveform) -> float:
    """Of the spectrum between 100 Hz and 2 kHz: near 0 for tones, near 0.56 for white noise."""
    power = np.abs(np.fft.rfft(clip)) ** 2
    frequencies = np.fft.rfftfreq(len(clip), 1 / SPEECH_RATE)
    band = power[(frequencies > 100) & (frequencies < 2_000)] + 1e-12
    return float(np.exp(np.log(band).mean()) / band.mean())


def test_sounds_are_silence_noise_and_music() -> None:
    assert SOUNDS == ("silence", "noise", "music")


@pytest.mark.parametrize("sound", SOUNDS)
def test_clips_are_waveforms_of_one_to_four_seconds(clips: dict[Sound, list[Waveform]], sound: Sound) -> None:
    for clip in clips[sound]:
        assert (clip.dtype, clip.ndim) == (np.dtype(np.float32), 1)
        assert 0.8 <= len(clip) / SPEECH_RATE <= 4
        assert np.isfinite(clip).all()
        assert np.abs(clip).max() <= 1
    assert len({len(clip) for clip in clips[sound]}) > 20


def test_silence_is_far_below_all_else_and_just_loud_enough_to_be_let_in(clips: dict[Sound, list[Waveform]]) -> None:
    peaks = [decibels(float(np.abs(clip).max())) for clip in clips["silence"]]
    assert decibels(SILENCE_PEAK) + 6 < min(peaks)
    assert max(peaks) < -45


@pytest.mark.parametrize("sound", ["noise", "music"])
def test_noise_and_music_peak_between_minus_25_and_minus_1_dbfs(
    clips: dict[Sound, list[Waveform]], sound: Sound
) -> None:
    peaks = [decibels(float(np.abs(clip).max())) for clip in clips[sound]]
    assert -25.01 < min(peaks) < -18
    assert -8 < max(peaks) < -0.99


def test_music_is_made_of_tones(clips: dict[Sound, list[Waveform]]) -> None:
    """Noise may hum like a machine, so only most of it is flat."""
    assert max(flatness(clip) for clip in clips["music"]) < 0.1
    assert np.median([flatness(clip) for clip in clips["noise"]]) > 0.1


@pytest.mark.parametrize("sound", SOUNDS)
def test_the_same_state_makes_the_same_samples(sound: Sound) -> None:
    one, same, other = (make_sound(sound, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other)
