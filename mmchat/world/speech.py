"""The voices of the world: sentences spoken by programs and by neural networks, then put into ordinary rooms.

They are needed to make training and evaluation clips, never to run a model.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve, resample_poly

from mmchat.errors import DatasetError
from mmchat.world.neural_voices import say_by_kokoro, say_by_piper
from mmchat.world.programs import run_program
from mmchat.world.voices import Voice

SPEECH_RATE = 16_000

Waveform = NDArray[np.float32]

_PICO_RATE = 16_000
_PICO_VOLUME = 50  # percent: at 100 it clips
_RATE_STEP = 50  # Hz: between any two rates there would be a filter of a million taps


def speak(text: str, voice: Voice, rng: np.random.Generator, styles: Path | None = None) -> tuple[Waveform, int]:
    """Speak a sentence at a drawn speed and pitch.

    Args:
        text: what to say; never seen by a shell.
        voice: one of `mmchat.world.voices`.
        rng: where speed and pitch come from; the same state gives the same samples.
        styles: folder of the voices of kokoro-js, for which alone it is needed.

    Returns:
        ((samples,) float32 in [-1, 1], SPEECH_RATE).

    Raises:
        DatasetError: the program is missing, has no such voice, fails, or says nothing.
    """
    speed = float(rng.uniform(*voice.speed))
    pitch = None if voice.pitch is None else float(rng.uniform(*voice.pitch))
    throat = 1.0 if voice.throat is None else float(rng.uniform(*voice.throat))
    speed = speed / throat if voice.engine in ("espeak-ng", "pico", "kokoro") else speed * throat
    match voice.engine:
        case "pico":
            waveform, rate = _said_by_pico(voice, speed, pitch, text)
        case "piper":
            waveform, rate = say_by_piper(text, speed)
        case "kokoro":
            waveform, rate = say_by_kokoro(text, (styles or Path()) / f"{voice.name}.bin", speed)
        case _:
            waveform, rate = _said_by_program(voice, speed, pitch, text)
    if voice.throat is not None:
        rate = round(rate * throat / _RATE_STEP) * _RATE_STEP
    if waveform.ndim != 1 or not np.any(waveform):
        raise DatasetError(f"{voice} said nothing for {text!r}")
    return resampled(waveform, rate, SPEECH_RATE), SPEECH_RATE


def resampled(waveform: Waveform, rate: int, wanted: int) -> Waveform:
    """A (samples,) waveform of `rate` Hz at `wanted` Hz, in [-1, 1]."""
    if rate != wanted:
        divisor = int(np.gcd(rate, wanted))
        waveform = resample_poly(waveform, wanted // divisor, rate // divisor)
    return np.clip(waveform, -1, 1).astype(np.float32)


def _said_by_pico(voice: Voice, speed: float, pitch: float | None, text: str) -> tuple[Waveform, int]:
    """By an engine of its own: one that has spoken before says the same with other noise."""
    try:
        from ttspico import TtsEngine
    except ImportError as error:
        raise DatasetError(
            "pico is not installed: run pip install 'mmchat[voices]', which needs a C compiler"
        ) from error
    try:
        engine = TtsEngine(voice.name)
        engine.volume = _PICO_VOLUME
        engine.rate, engine.pitch = round(speed), round(100 if pitch is None else pitch)
        said = engine.speak(text) or b""
    except (RuntimeError, ValueError) as error:
        raise DatasetError(f"{voice} could not speak {text!r}: {error}") from error
    samples: NDArray[np.int16] = np.frombuffer(said, dtype=np.int16)
    return (samples / 32768).astype(np.float32), _PICO_RATE


def _said_by_program(voice: Voice, speed: float, pitch: float | None, text: str) -> tuple[Waveform, int]:
    with tempfile.TemporaryDirectory(prefix="mmchat-speech-") as folder:
        target = Path(folder) / "speech.wav"
        run_program(_command(voice, speed, pitch, text, target), text)
        if not target.exists():
            raise DatasetError(f"{voice} wrote no sound for {text!r}")
        waveform, rate = soundfile.read(io.BytesIO(target.read_bytes()), dtype="float32")
    return waveform, rate


def _command(voice: Voice, speed: float, pitch: float | None, text: str, target: Path) -> list[str]:
    """The program and its arguments; espeak-ng and festival read the text from standard input."""
    if voice.engine == "espeak-ng":
        height = [] if pitch is None else ["-p", str(round(pitch))]
        return ["espeak-ng", "-v", voice.name, "-s", str(round(speed)), *height, "--stdin", "-w", str(target)]
    if voice.engine == "flite":
        height = [] if pitch is None else ["--setf", f"int_f0_target_mean={pitch:.1f}"]
        stretch = ["--setf", f"duration_stretch={speed:.3f}"]
        return ["flite", "-voice", voice.name, *stretch, *height, "-t", text, "-o", str(target)]
    scheme = f"(begin (voice_{voice.name}) (Parameter.set 'Duration_Stretch {speed:.3f}))"
    return ["text2wave", "-eval", scheme, "-o", str(target)]


def perturb(waveform: Waveform, rate: int, rng: np.random.Generator) -> Waveform:
    """Put a clean voice into an ordinary recording.

    Silence of 0.05 to 0.4 s before and after; in a third of the clips a small room; in a quarter the band of
    a telephone or an old recorder; then noise at 15 to 40 dB below the voice, and a peak of -20 to -1 dBFS.

    Args:
        waveform: (samples,) float32, not silent.
        rate: its samples a second.
        rng: where everything comes from.

    Returns:
        (more samples,) float32 in [-1, 1] at the same rate.
    """
    before, after = (round(rate * rng.uniform(0.05, 0.4)) for _ in range(2))
    voice = np.pad(waveform.astype(np.float64), (before, after))
    if rng.random() < 1 / 3:
        voice = _in_a_room(voice, rate, rng)
    if rng.random() < 1 / 4:
        voice = _band_limited(voice, rate, float(rng.uniform(6_800, 8_000)))
    power = float(np.mean(voice[before : before + len(waveform)] ** 2))
    voice += coloured_noise(len(voice), rng) * np.sqrt(power / 10 ** (rng.uniform(15, 40) / 10))
    level = 10 ** (rng.uniform(-20, -1) / 20)
    voice *= level / np.abs(voice).max()
    return voice.astype(np.float32)


def _in_a_room(voice: NDArray[np.float64], rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Add echoes that die away within 0.1 to 0.35 s (to -60 dB); the length stays."""
    seconds = float(rng.uniform(0.1, 0.35))
    time = np.arange(round(rate * seconds)) / rate
    response = rng.normal(size=len(time)) * 10 ** (-3 * time / seconds)
    response *= rng.uniform(0.2, 0.6) / np.linalg.norm(response)
    response[0] = 1.0
    reverberant: NDArray[np.float64] = fftconvolve(voice, response)[: len(voice)]
    return reverberant


def _band_limited(voice: NDArray[np.float64], rate: int, band_rate: float) -> NDArray[np.float64]:
    """What is left after a recording at about `band_rate` samples a second: nothing above half of that."""
    padded = next_fast_len(len(voice), real=True)
    spectrum = np.fft.rfft(voice, padded)
    frequencies = np.fft.rfftfreq(padded, 1 / rate)
    # A slope of 10 % of the band, since a sharp edge rings.
    edge = band_rate / 2
    spectrum *= np.clip((edge - frequencies) / (0.1 * edge), 0, 1)
    limited: NDArray[np.float64] = np.fft.irfft(spectrum, padded)[: len(voice)]
    return limited


def coloured_noise(samples: int, rng: np.random.Generator, tilt: tuple[float, float] = (0, 0.5)) -> NDArray[np.float64]:
    """(samples,) noise of power 1; its amplitude falls as a power of frequency from `tilt`: 0 white, 1 brown."""
    padded = next_fast_len(samples, real=True)
    spectrum = np.fft.rfft(rng.normal(size=padded))
    slope = np.arange(1, len(spectrum) + 1) ** -float(rng.uniform(*tilt))
    noise: NDArray[np.float64] = np.fft.irfft(spectrum * slope, padded)[:samples]
    noise /= np.sqrt(np.mean(noise**2))
    return noise
