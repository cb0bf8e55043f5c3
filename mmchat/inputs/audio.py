"""Clips at the door: a path, bytes or a waveform becomes 16 kHz mono, or one line says why not."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from mmchat.errors import AudioError
from mmchat.inputs.files import check_size, read_file

SAMPLE_RATE = 16_000
MAX_FILE_BYTES = 256 * 2**20
MAX_SECONDS = 600.0
MAX_VALUES = 120_000_000  # samples times channels, decoded at once: 10 minutes of 96 kHz stereo
SILENCE_PEAK = 10 ** (-60 / 20)  # -60 dBFS

_RATES = range(1_000, 400_001)
_MAX_CHANNELS = 64


@dataclass(frozen=True, eq=False)
class AudioPart:
    """A clip in a message.

    Attributes:
        waveform: (samples,) float32, mono, 16 kHz, in [-1, 1].
        name: what a receipt calls it.
        note: something that the person should know.
    """

    waveform: NDArray[np.float32]
    name: str = "voice"
    note: str | None = None

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.waveform) / SAMPLE_RATE

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of the samples."""
        return hashlib.sha256(self.waveform.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AudioPart):
            return NotImplemented
        return (self.name, self.note, self.digest) == (other.name, other.note, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.note, self.digest))

    @classmethod
    def from_waveform(cls, waveform: NDArray[Any], rate: int, name: str = "voice") -> AudioPart:
        """A clip that a program holds already.

        Args:
            waveform: (samples,) or (samples, channels); floats in [-1, 1], or integers of full range.
            rate: samples a second.

        Raises:
            AudioError: an unusable shape, type, rate or length, samples that are not numbers, or silence.
        """
        if waveform.ndim not in (1, 2) or not 0 < math.prod(waveform.shape[1:]) <= _MAX_CHANNELS:
            raise AudioError(f"{name}: a waveform is (samples,) or (samples, channels), not {waveform.shape}")
        frames = waveform if waveform.ndim == 2 else waveform[:, np.newaxis]
        _check_header(name, len(frames), frames.shape[1], rate)
        return cls(_to_16_khz(_to_float(frames, name), rate, name), name)


def load_audio(source: Path | bytes, name: str | None = None) -> AudioPart:
    """Read a clip from a file or from a file's bytes.

    Args:
        source: anything libsndfile decodes: WAV, FLAC, MP3, OGG, Opus, AIFF ...
        name: what receipts call it; a path's own last part if not given.

    Raises:
        AudioError: missing, a folder, empty, not a clip, damaged, no samples, samples that are not numbers,
            silence, or over MAX_FILE_BYTES, MAX_SECONDS or MAX_VALUES; the header counts, before decoding.
    """
    if isinstance(source, Path):
        label = str(source)
        data = read_file(source, kind="a clip", limit=MAX_FILE_BYTES, error=AudioError)
    else:
        label = "voice" if name is None else name
        data = source
        check_size(data, label, kind="a clip", limit=MAX_FILE_BYTES, error=AudioError)
    if name is None:
        name = source.name if isinstance(source, Path) else label
    frames, rate = _decode(data, label)
    return AudioPart(_to_16_khz(frames, rate, label), name)


def _decode(data: bytes, label: str) -> tuple[NDArray[np.float32], int]:
    """All frames, (samples, channels) float32, and their rate."""
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as reason:
        raise AudioError(f"{label}: not a clip that I can read; give a WAV, FLAC, MP3 or OGG") from reason
    with file:
        _check_header(label, file.frames, file.channels, file.samplerate)
        try:
            # In one go: between blocks soundfile seeks, which in an MP3 lands beside the mark and garbles it.
            frames = file.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as reason:
            raise AudioError(f"{label}: the clip is damaged or cut short") from reason
        # An MP3 without an exact header may promise a few samples more than it holds.
        if len(frames) == 0 or file.frames - len(frames) > file.samplerate // 10:
            raise AudioError(f"{label}: the clip is damaged or cut short")
        return frames, int(file.samplerate)


def _check_header(label: str, samples: int, channels: int, rate: int) -> None:
    if samples == 0:
        raise AudioError(f"{label}: the clip has no samples")
    if rate not in _RATES:
        raise AudioError(f"{label}: {rate} samples a second is no rate of a voice; give 8000 to 96000")
    if samples > MAX_SECONDS * rate:
        minutes, limit = samples / rate / 60, MAX_SECONDS / 60
        raise AudioError(f"{label}: the clip is {minutes:.1f} minutes long; give at most {limit:.0f}")
    if samples * channels > MAX_VALUES:
        raise AudioError(f"{label}: {channels} channels at {rate} Hz are too much to decode; give 16 kHz mono")


def _to_float(waveform: NDArray[Any], label: str) -> NDArray[np.float32]:
    """Floats in [-1, 1] from any number type; 8 bits without a sign are centred on 128, as in WAV."""
    if waveform.dtype == np.uint8:
        return ((waveform.astype(np.float32) - 128) / 128).astype(np.float32)
    if np.issubdtype(waveform.dtype, np.signedinteger):
        return (waveform / -float(np.iinfo(waveform.dtype).min)).astype(np.float32)
    if np.issubdtype(waveform.dtype, np.floating):
        return waveform.astype(np.float32)
    raise AudioError(f"{label}: a waveform of {waveform.dtype} cannot be used; give float32 or int16")


def _to_16_khz(frames: NDArray[np.float32], rate: int, label: str) -> NDArray[np.float32]:
    mono = frames.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError(f"{label}: the clip has samples that are not numbers (NaN or infinite); export it again")
    if float(np.abs(mono - mono.mean()).max()) < SILENCE_PEAK:
        raise AudioError(f"{label}: I hear no speech; the clip is silent")
    if rate != SAMPLE_RATE:
        # Imported here since it takes over a second, and most clips, our own among them, come at 16 kHz.
        from scipy.signal import resample_poly

        divisor = math.gcd(SAMPLE_RATE, rate)
        mono = resample_poly(mono, SAMPLE_RATE // divisor, rate // divisor)
    peak = float(np.abs(mono).max())
    # Over-driven floats and the ringing of the resampler are scaled, since clipping would distort them.
    return np.ascontiguousarray(mono / max(peak, 1.0), dtype=np.float32)
