"""Clips at the door: what is refused, in which words, and what the accepted ones sound like afterwards."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmchat.errors import AudioError
from mmchat.inputs import audio
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart, load_audio


def tone(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def encoded(waveform: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def pitch(waveform: np.ndarray) -> float:
    """The strongest frequency, in hertz, of a clip at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(waveform))


def share_at(waveform: np.ndarray, hertz: float) -> float:
    """The share of the power within 20 Hz of a frequency."""
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    return float(power[np.abs(frequencies - hertz) < 20].sum() / power.sum())


def refusal(source: Path | bytes, name: str | None = None) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(source, name)
    return str(caught.value)


# Refused


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "nope.wav"
    assert refusal(path) == f"{path}: no such file"


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: this is a folder; give a clip"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert refusal(path) == f"{path}: the file is empty; give a clip"
    assert refusal(b"", name="upload") == "upload: the file is empty; give a clip"


@pytest.mark.parametrize("ending", ["wav", "mp3", "ogg"])
def test_text_named_as_a_clip(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"letter.{ending}"
    path.write_text("Dear cat, what is this?\n" * 50)
    assert refusal(path) == f"{path}: not a clip that I can read; give a WAV, FLAC, MP3 or OGG"


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "none.wav"
    path.write_bytes(encoded(np.zeros(0), 16_000))
    assert refusal(path) == f"{path}: the clip has no samples"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(bad: float) -> None:
    waveform = tone(440, 16_000).astype(np.float32)
    waveform[777] = bad
    expected = "voice: the clip has samples that are not numbers (NaN or infinite); export it again"
    assert refusal(encoded(waveform, 16_000, subtype="FLOAT")) == expected


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(16_000), np.full(16_000, 0.25), tone(440, 16_000, level=0.0009), np.array([0.5])],
    ids=["zeros", "constant", "far too quiet", "one sample"],
)
def test_silence(waveform: np.ndarray) -> None:
    assert refusal(encoded(waveform, 16_000), "q.wav") == "q.wav: I hear no speech; the clip is silent"


def test_quiet_speech_is_not_silence() -> None:
    assert pitch(load_audio(encoded(tone(440, 16_000, level=0.002), 16_000)).waveform) == 440


def test_too_long_is_refused_before_decoding() -> None:
    """The clip is silent, which would be the complaint if it had been decoded."""
    data = encoded(np.zeros(660 * 1_000), 1_000, "FLAC")
    assert refusal(data) == "voice: the clip is 11.0 minutes long; give at most 10"


def test_too_many_channels_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_VALUES", 50_000)
    data = encoded(np.zeros((8_000, 8)), 8_000)
    assert refusal(data) == "voice: 8 channels at 8000 Hz are too much to decode; give 16 kHz mono"


@pytest.mark.parametrize("rate", [100, 500_000])
def test_impossible_rate(rate: int) -> None:
    expected = f"voice: {rate} samples a second is no rate of a voice; give 8000 to 96000"
    assert refusal(encoded(np.ones(500), rate)) == expected


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_cut_short(format: str) -> None:
    data = encoded(tone(440, 16_000, seconds=3), 16_000, format)
    assert refusal(data[: len(data) // 2]) == "voice: the clip is damaged or cut short"


def test_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_FILE_BYTES", 2**20)
    expected = "voice: the file is larger than 1 MB; give a clip in a smaller file"
    assert refusal(bytes(2**20 + 1)) == expected


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (1, 16_000), (16_000, 0)])
def test_waveform_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError) as caught:
        AudioPart.from_waveform(np.zeros(shape), 16_000)
    assert str(caught.value) == f"voice: a waveform is (samples,) or (samples, channels), not {shape}"


@pytest.mark.parametrize("dtype", ["complex64", "bool", "uint16", "str"])
def test_waveform_of_a_wrong_type(dtype: str) -> None:
    waveform = np.ones(8).astype(dtype)
    with pytest.raises(AudioError) as caught:
        AudioPart.from_waveform(waveform, 16_000)
    assert str(caught.value) == f"voice: a waveform of {waveform.dtype} cannot be used; give float32 or int16"


# Accepted


@pytest.mark.parametrize(
    ("rate", "channels", "format", "subtype"),
    [
        (8_000, 2, "WAV", "PCM_16"),
        (11_025, 1, "WAV", "PCM_U8"),
        (16_000, 1, "WAV", "PCM_16"),
        (22_050, 1, "WAV", "PCM_16"),
        (44_100, 2, "WAV", "PCM_24"),
        (44_100, 6, "WAV", "PCM_32"),
        (48_000, 1, "WAV", "FLOAT"),
        (48_000, 1, "WAV", "DOUBLE"),
        (96_000, 2, "WAV", "PCM_16"),
        (96_000, 2, "FLAC", "PCM_24"),
        (8_000, 1, "WAV", "ULAW"),
        (44_100, 2, "MP3", None),
        (22_050, 1, "MP3", None),
        (44_100, 1, "OGG", "VORBIS"),
        (48_000, 2, "OGG", "OPUS"),
        (44_100, 1, "AIFF", "PCM_16"),
    ],
)
def test_formats(rate: int, channels: int, format: str, subtype: str | None) -> None:
    waveform = np.stack([tone(440, rate)] * channels, axis=1)
    part = load_audio(encoded(waveform, rate, format, subtype))
    assert part.waveform.dtype == np.float32
    assert part.waveform.shape == (SAMPLE_RATE,)
    assert part.seconds == 1.0
    assert abs(pitch(part.waveform) - 440) <= 1
    assert share_at(part.waveform, 440) > 0.99
    assert np.sqrt(np.mean(part.waveform**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_stereo_is_the_mean_of_its_channels() -> None:
    waveform = np.stack([tone(300, 8_000), tone(1_000, 8_000)], axis=1)
    mono = load_audio(encoded(waveform, 8_000)).waveform
    assert share_at(mono, 300) == pytest.approx(0.5, abs=0.01)
    assert share_at(mono, 1_000) == pytest.approx(0.5, abs=0.01)


def test_what_lies_above_8_khz_does_not_come_back_as_another_tone() -> None:
    """20 kHz, sampled at 16 kHz without a filter, is heard at 4 kHz."""
    waveform = tone(440, 96_000, level=0.4) + tone(20_000, 96_000, level=0.4)
    mono = load_audio(encoded(waveform, 96_000, subtype="PCM_24")).waveform
    assert share_at(mono, 440) > 0.9999


def test_mp3_keeps_its_level_to_the_end() -> None:
    """Read in blocks, an MP3 of three seconds came out garbled from the second block on: soundfile seeks in between."""
    mono = load_audio(encoded(tone(440, 48_000, seconds=3), 48_000, "MP3")).waveform
    peaks = [float(np.abs(piece).max()) for piece in np.array_split(mono, 12)]
    assert peaks == pytest.approx([0.5] * 12, abs=0.05)


def test_two_minutes_are_taken_whole() -> None:
    part = load_audio(encoded(tone(440, 8_000, seconds=120), 8_000))
    assert part.seconds == 120.0


def test_floats_beyond_one_are_scaled_and_not_clipped() -> None:
    part = load_audio(encoded(tone(440, 16_000, level=3.0), 16_000, subtype="FLOAT"))
    assert np.abs(part.waveform).max() == pytest.approx(1.0)
    assert share_at(part.waveform, 440) > 0.9999


def test_a_streamed_wav_without_a_known_length(tmp_path: Path) -> None:
    """Programs that write WAV to a pipe, espeak-ng among them, put the largest number where the length belongs."""
    data = bytearray(encoded(tone(440, 16_000), 16_000))
    start = data.index(b"data") + 4
    data[4:8] = data[start : start + 4] = (0x7FFFF000).to_bytes(4, "little")
    assert load_audio(bytes(data)).seconds == 1.0


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [("int16", 2**15, 0), ("int32", 2**31, 0), ("int8", 2**7, 0), ("uint8", 2**7, 128), ("float64", 1, 0)],
)
def test_waveform_types(dtype: str, scale: float, offset: float) -> None:
    waveform = (tone(440, 16_000) * scale + offset).astype(dtype)
    part = AudioPart.from_waveform(waveform, 16_000)
    assert part.waveform.dtype == np.float32
    np.testing.assert_allclose(part.waveform, tone(440, 16_000), atol=1.5 / 2**7)
    assert pitch(part.waveform) == 440


def test_waveform_with_channels_at_another_rate() -> None:
    part = AudioPart.from_waveform(np.stack([tone(440, 44_100)] * 2, axis=1), 44_100, name="microphone")
    assert (part.name, part.seconds) == ("microphone", 1.0)
    assert pitch(part.waveform) == 440


def test_an_untouched_waveform_keeps_every_sample() -> None:
    waveform = tone(440, 16_000).astype(np.float32)
    np.testing.assert_array_equal(AudioPart.from_waveform(waveform, 16_000).waveform, waveform)


# The value


def test_name_is_the_last_part_of_the_path(tmp_path: Path) -> None:
    path = tmp_path / "question.wav"
    path.write_bytes(encoded(tone(440, 16_000), 16_000))
    assert load_audio(path).name == "question.wav"
    assert load_audio(path, name="").name == ""
    assert load_audio(path.read_bytes()).name == "voice"


def test_parts_compare_by_content() -> None:
    one, same = (AudioPart.from_waveform(tone(440, 16_000), 16_000) for _ in range(2))
    other = AudioPart.from_waveform(tone(441, 16_000), 16_000)
    assert one == same
    assert one.digest == same.digest
    assert len({one, same, other}) == 2
    assert one != "voice"
