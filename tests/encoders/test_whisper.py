"""Frame features beside Whisper's own encoder on the same weights, at 30 s, below and above."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import whisper
from pydantic import ValidationError
from torch import Tensor
from whisper.model import AudioEncoder

from mmchat.config import AudioEncoderConfig
from mmchat.encoders.whisper import FEATURES_PER_SECOND, WhisperAudioEncoder
from mmchat.inputs.audio import SAMPLE_RATE

WIDTH, HEADS, LAYERS = 16, 2, 2
FULL = 30 * SAMPLE_RATE
"""Samples of the window that Whisper was trained on."""


@pytest.fixture(scope="module")
def ours() -> WhisperAudioEncoder:
    torch.manual_seed(0)
    return WhisperAudioEncoder(toy()).eval()


def toy(**changes: Any) -> AudioEncoderConfig:
    return AudioEncoderConfig(n_audio_state=WIDTH, n_audio_head=HEADS, n_audio_layer=LAYERS, **changes)


def reference(ours: WhisperAudioEncoder, positions: int) -> AudioEncoder:
    """Whisper's encoder for inputs of so many positions, with our weights and its own sinusoids."""
    theirs = AudioEncoder(80, positions, WIDTH, HEADS, LAYERS).eval()
    weights = {name: weight for name, weight in ours.encoder.state_dict().items() if name != "positional_embedding"}
    assert theirs.load_state_dict(weights, strict=False).missing_keys == ["positional_embedding"]
    return theirs


def clip(samples: int) -> np.ndarray:
    """A tone that rises and has noise in it, so that no two stretches are alike."""
    time = np.arange(samples) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 0.05, samples)
    return (0.4 * np.sin(2 * np.pi * (150 + 20 * time) * time) + noise).astype(np.float32)


@torch.no_grad()
def features(encoder: WhisperAudioEncoder, waveform: np.ndarray) -> list[Tensor]:
    """(T, Da) of each chunk."""
    return [encoder(mel[None], heard)[0] for mel, heard in encoder.preprocess(waveform)]


@torch.no_grad()
def test_features_of_30_seconds_equal_those_of_whisper(ours: WhisperAudioEncoder) -> None:
    waveform = clip(FULL)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(waveform), 80)
    ((chunk, _),) = ours.preprocess(waveform)
    torch.testing.assert_close(chunk, mel)
    theirs = reference(ours, 1500)(mel[None])
    torch.testing.assert_close(ours(chunk[None]), theirs)
    assert theirs.shape == (1, 1500, WIDTH)
    assert theirs.std() > 0.1


@torch.no_grad()
def test_a_shorter_clip_gets_the_first_positions(ours: WhisperAudioEncoder) -> None:
    """As if Whisper had been built for clips of just this length: nothing is padded to 30 s."""
    waveform = clip(2 * SAMPLE_RATE)
    theirs = reference(ours, 100)(whisper.log_mel_spectrogram(waveform, 80)[None])
    torch.testing.assert_close(features(ours, waveform)[0], theirs[0])


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (SAMPLE_RATE, [FEATURES_PER_SECOND]),
        (10 * 320, [10]),
        (10 * 320 + 1, [11]),
        (1, [8]),
        (8 * 320, [8]),
        (FULL - 1, [1500]),
        (FULL, [1500]),
        (FULL + 1, [1500, 8]),
        (2 * FULL, [1500, 1500]),
        (75 * SAMPLE_RATE, [1500, 1500, 750]),
    ],
)
def test_a_feature_is_20_milliseconds_and_lengths_are_known_beforehand(
    ours: WhisperAudioEncoder, samples: int, expected: list[int]
) -> None:
    """What does not fill a feature is padded to one, a very short clip to eight; after 30 s comes another chunk."""
    assert ours.num_features(samples) == expected
    assert [chunk.shape for chunk in features(ours, clip(samples))] == [(length, WIDTH) for length in expected]


@pytest.mark.parametrize("samples", [FULL + 1, 75 * SAMPLE_RATE], ids=["30 s and a sample", "75 s"])
def test_a_long_clip_is_heard_to_its_end(ours: WhisperAudioEncoder, samples: int) -> None:
    """Each chunk has the features that it has as a clip of its own; Whisper itself drops all after 30 s."""
    waveform = clip(samples)
    for start, chunk in zip(range(0, samples, FULL), features(ours, waveform), strict=True):
        torch.testing.assert_close(chunk, features(ours, waveform[start : start + FULL])[0])


@torch.no_grad()
@pytest.mark.parametrize(("seconds", "features_of"), [(2, [100]), (31, [1500, 56]), (59.99, [1500, 1500])])
def test_over_zeros_features_go_on_to_a_whole_token(seconds: float, features_of: list[int]) -> None:
    """Nobody attends to them: what is of the clip is as it would be without them."""
    torch.manual_seed(0)
    encoder = WhisperAudioEncoder(toy(padding="zeros"), multiple=8).eval()
    waveform = clip(round(seconds * SAMPLE_RATE))
    assert encoder.num_features(len(waveform)) == features_of
    assert [len(chunk) for chunk in features(encoder, waveform)] == features_of
    mel, heard = encoder.preprocess(waveform)[-1]
    assert heard == round((seconds % 30) * FEATURES_PER_SECOND)
    alone = encoder(mel[None, :, : 2 * heard])[0]
    torch.testing.assert_close(encoder(mel[None], heard)[0, :heard], alone)


@torch.no_grad()
def test_clips_of_one_length_have_the_same_features_in_a_batch(ours: WhisperAudioEncoder) -> None:
    first, second = clip(SAMPLE_RATE), clip(SAMPLE_RATE)[::-1].copy()
    together = ours(torch.stack([ours.preprocess(each)[0].mel for each in (first, second)]))
    torch.testing.assert_close(together[0], features(ours, first)[0])
    torch.testing.assert_close(together[1], features(ours, second)[0])


@pytest.mark.parametrize("stride", [4, 8])
@torch.no_grad()
def test_a_longer_stride_goes_on_with_a_part_of_the_features(ours: WhisperAudioEncoder, stride: int) -> None:
    """Into the layers goes each second or fourth feature of the convolutions, with the position of its time."""
    encoder = WhisperAudioEncoder(toy(stride=stride)).eval()
    encoder.load_state_dict(ours.state_dict())
    waveform = clip(2 * SAMPLE_RATE)
    assert encoder.num_features(len(waveform)) == [200 // stride]
    ((mel, _),) = ours.preprocess(waveform)
    x = F.gelu(ours.encoder.conv2(F.gelu(ours.encoder.conv1(mel[None])))).transpose(1, 2)
    x = (x + ours.encoder.positional_embedding[: x.shape[1]])[:, :: stride // 2]
    for block in ours.encoder.blocks:
        x = block(x)
    torch.testing.assert_close(features(encoder, waveform)[0], ours.encoder.ln_post(x)[0])


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(SAMPLE_RATE, [25]), (1, [4]), (10 * 640 + 1, [11]), (FULL, [750]), (FULL + 1, [750, 4]), (2 * FULL, [750, 750])],
)
def test_a_feature_of_40_milliseconds(samples: int, expected: list[int]) -> None:
    encoder = WhisperAudioEncoder(toy(stride=4)).eval()
    assert encoder.num_features(samples) == expected
    assert [len(chunk) for chunk in features(encoder, clip(samples))] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 4, "padding": "full"}, "4 goes with padding none, not full"),
        ({"stride": 8, "n_audio_ctx": 1501}, "3002 mel frames are no multiple of 8"),
    ],
)
def test_a_stride_that_fits_no_window_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        toy(**changes)


def test_a_smaller_window_makes_shorter_chunks() -> None:
    """`n_audio_ctx` is the number of positions: a chunk may not have more features than that."""
    encoder = WhisperAudioEncoder(toy(n_audio_ctx=50)).eval()
    assert encoder.num_features(int(2.5 * SAMPLE_RATE)) == [50, 50, 25]
    assert [len(chunk) for chunk in features(encoder, clip(int(2.5 * SAMPLE_RATE)))] == [50, 50, 25]


@pytest.mark.parametrize("bands", [80, 128])
def test_spectrograms_have_the_bands_of_the_weights(bands: int) -> None:
    ((mel, _),) = WhisperAudioEncoder(toy(n_mels=bands)).to(torch.bfloat16).preprocess(clip(SAMPLE_RATE))
    assert (mel.shape, mel.dtype) == ((bands, 100), torch.bfloat16)
