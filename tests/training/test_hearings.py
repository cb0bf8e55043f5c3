"""Other hearings of a clip: what is changed, and what stays."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from whisper.audio import log_mel_spectrogram

from mmchat.training.hearings import draw_pace, heard_anew, mask, said_anew


def tone(hertz: float) -> torch.Tensor:
    """(80, 100): a second of a pure tone."""
    samples = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000).astype(np.float32)
    return log_mel_spectrogram(torch.from_numpy(samples))


def test_a_pace_is_near_one() -> None:
    paces = [draw_pace(random.Random(seed)) for seed in range(200)]
    assert 0.85 <= min(paces) < 0.87
    assert 1.13 < max(paces) <= 1.15


@pytest.mark.parametrize("hertz", [300.0, 900.0, 2500.0])
@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_a_throat_moves_every_frequency_by_one_factor(
    monkeypatch: pytest.MonkeyPatch, hertz: float, factor: float
) -> None:
    """A tone becomes what a tone of another height would have been, to a mel band."""
    draws = iter((factor - 1, 0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(random.Random, "uniform", lambda *_: next(draws))
    moved = heard_anew(tone(hertz), 100, random.Random(0))
    assert abs(int(moved[:, 50].argmax()) - int(tone(hertz * factor)[:, 50].argmax())) <= 1


def test_without_a_change_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random.Random, "uniform", lambda *_: 0.0)
    mel = torch.rand(80, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(heard_anew(mel, 64, random.Random(0)), mel, rtol=0, atol=1e-4)


def test_time_is_stretched_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rises by a unit a second still does, over more frames."""
    monkeypatch.setattr(random.Random, "uniform", lambda *_: 0.0)
    rising = torch.linspace(0, 1, 101).expand(80, 101)
    slower = heard_anew(rising, 121, random.Random(0))
    torch.testing.assert_close(slower, torch.linspace(0, 1, 121).expand(80, 121), rtol=0, atol=1e-4)


def test_a_microphone_lifts_and_lowers_bands_in_slopes_and_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter((0.0, 0.1, 0.0, -0.05, 0.0))
    monkeypatch.setattr(random.Random, "uniform", lambda *_: next(draws))
    bent = heard_anew(torch.zeros(80, 10), 10, random.Random(0))
    heights = np.linspace(0, np.pi, 80)
    expected = 0.1 * np.cos(heights) - 0.05 * np.cos(3 * heights)
    np.testing.assert_allclose(bent.numpy(), np.tile(expected[:, None], 10), atol=1e-6)
    assert list(draws) == []


def test_hearings_differ_and_come_again() -> None:
    mel = tone(700.0)
    first, again, other = (heard_anew(mel, 100, random.Random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)


def test_masking_blanks_a_few_bands_and_frames_and_nothing_else() -> None:
    mel = torch.rand(80, 64, generator=torch.Generator().manual_seed(0))
    before = mel.clone()
    shares = []
    for seed in range(20):
        masked = mask(mel, random.Random(seed))
        blank = masked == mel.min()
        whole = blank.all(1)[:, None] | blank.all(0)[None]  # whole bands or whole frames
        assert torch.equal(masked[~whole], mel[~whole])
        shares.append(float(whole.float().mean()))
    assert max(shares) < 2 / 8 + 2 / 16
    assert sum(shares) / len(shares) > 0.05
    assert torch.equal(mel, before)


def test_a_clip_of_a_few_frames_can_be_masked() -> None:
    assert mask(torch.rand(80, 2), random.Random(0)).shape == (80, 2)


def test_a_clip_said_anew_is_a_little_slower_or_faster() -> None:
    """And pitch goes with it: a tone of 1000 Hz over 16/14 or 16/18 of its time, between short blanks."""
    clip = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    heard = [said_anew(clip, random.Random(seed)) for seed in range(40)]
    assert {len(each) for each in heard} == {14_000, 15_000, 16_000, 17_000, 18_000}
    for each in heard:
        peak = int(np.abs(np.fft.rfft(each)).argmax()) * 16_000 / len(each)
        assert peak == pytest.approx(1_000 * 16_000 / len(each), rel=0.01)
        assert each.dtype == np.float32
        assert 0 <= float((each == 0).mean()) < 0.2
    assert any((each == 0).mean() > 0.05 for each in heard)
    np.testing.assert_array_equal(said_anew(clip, random.Random(3)), said_anew(clip, random.Random(3)))
