"""The voices of the world: sentences spoken by programs and by neural networks, then put into ordinary rooms.

The programs are needed to make training and evaluation clips, never to run a model. Voices for evaluation
share no flite voice and no espeak-ng variant with those for training; festival's kal_diphone is the man of
flite's `kal`, heard through another program.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve, resample_poly

from mmchat.errors import DatasetError
from mmchat.world.neural_voices import say_by_kokoro, say_by_piper
from mmchat.world.programs import run_program

SPEECH_RATE = 16_000

Engine = Literal["espeak-ng", "flite", "pico", "festival", "piper", "kokoro"]
Waveform = NDArray[np.float32]

_PICO_RATE = 16_000
_PICO_VOLUME = 50  # percent: at 100 it clips
_RATE_STEP = 50  # Hz: between any two rates there would be a filter of a million taps


@dataclass(frozen=True)
class Voice:
    """One way to speak.

    Attributes:
        engine: the program.
        name: the program's own name of the voice; for espeak-ng, accent+variant. British English is `en`
            there, since after `en-gb` espeak-ng passes over the variant without a word.
        speed: words a minute for espeak-ng, percent of its own for pico, times as fast as its own for kokoro, otherwise
            the stretch of each sound (1 = as recorded); drawn evenly between the two.
        pitch: espeak-ng's 0 to 99, percent of its own for pico, otherwise hertz, drawn likewise; None where the voice
            cannot be moved.
        throat: by what all frequencies, of the pitch as well, are multiplied while the pace stays, drawn likewise; None
            leaves them. Below 1 a woman's voice becomes a man's: of these there are few that are put together from
            recordings.
    """

    engine: Engine
    name: str
    speed: tuple[float, float]
    pitch: tuple[float, float] | None = None
    throat: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.engine}:{self.name}"


def _espeak(name: str) -> Voice:
    return Voice("espeak-ng", name, speed=(130, 190), pitch=(35, 65))


def _variants(accent: str, *names: str) -> tuple[Voice, ...]:
    """An accent of espeak-ng in other throats, slower and faster, lower and higher than most people speak."""
    return tuple(Voice("espeak-ng", f"{accent}+{name}", speed=(115, 205), pitch=(20, 80)) for name in names)


def _flite(name: str, pitch: tuple[float, float], throat: tuple[float, float] | None = None) -> Voice:
    return Voice("flite", name, speed=(0.85, 1.2), pitch=pitch, throat=throat)


def _kokoro(*names: str) -> tuple[Voice, ...]:
    return tuple(Voice("kokoro", name, speed=(0.8, 1.25), throat=(0.9, 1.12)) for name in names)


def _pico(name: str) -> Voice:
    return Voice("pico", name, speed=(80, 125), pitch=(60, 140), throat=(0.78, 1.1))


VOICES: tuple[Voice, ...] = (
    _espeak("en-us"),
    _espeak("en-us+m1"),
    _espeak("en-us+m3"),
    _espeak("en-us+m7"),
    _espeak("en-us+f1"),
    _espeak("en-us+f2"),
    _espeak("en-us+f3"),
    _espeak("en-us+f5"),
    _espeak("en"),
    _espeak("en+m2"),
    _espeak("en+m4"),
    _espeak("en+f2"),
    _espeak("en+f5"),
    _espeak("en-gb-scotland"),
    _espeak("en-gb-scotland+m3"),
    _espeak("en-gb-scotland+f1"),
    _espeak("en-gb-x-rp+m1"),
    _espeak("en-gb-x-rp+m5"),
    _espeak("en-gb-x-rp+f3"),
    _espeak("en-gb-x-gbclan+m2"),
    _espeak("en-gb-x-gbclan+f1"),
    _espeak("en-gb-x-gbcwmd+m4"),
    _espeak("en-029+m7"),
    _espeak("en-029+f2"),
    *_variants("en-us", "Alex", "Alicia", "Andy", "Denis", "Gene", "Jacky", "Lee", "Michael", "belinda", "edward"),
    *_variants("en-us", "grandma", "iven", "linda", "norbert", "quincy", "shelby", "victor", "klatt2", "m8"),
    *_variants("en", "Andrea", "Annie", "Gene2", "Mike", "adam", "anika", "aunty", "boris", "caleb", "ed"),
    *_variants("en-gb-x-rp", "grandpa", "iven3", "john", "max", "paul", "rob", "steph", "travis", "zac", "klatt4"),
    *_variants("en-029", "benjamin", "david", "iven2", "marcelo", "pablo", "robert", "sandro", "steph2"),
    _flite("kal", pitch=(85, 125)),
    _flite("kal16", pitch=(85, 125)),
    _flite("awb", pitch=(90, 190), throat=(0.85, 1.2)),
    _flite("slt", pitch=(100, 240), throat=(0.78, 1.1)),
    _pico("en-US"),
    _pico("en-GB"),
    Voice("piper", "joe", speed=(0.8, 1.25), throat=(0.85, 1.3)),
    *_kokoro(
        "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river"
    ),
    *_kokoro("af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx"),
    *_kokoro("am_puck", "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable"),
    *_kokoro("bm_george", "bm_lewis"),
    # What speaks another language, speaks English with its accent.
    *_kokoro("em_alex", "ff_siwis", "hf_alpha", "hm_omega", "if_sara", "im_nicola", "pf_dora", "pm_alex"),
)

EVALUATION_VOICES: tuple[Voice, ...] = (
    Voice("flite", "rms", speed=(0.85, 1.2)),
    Voice("festival", "kal_diphone", speed=(0.85, 1.2)),
    _espeak("en-us+f4"),
    _espeak("en-us+m6"),
    _espeak("en+f4"),
    _espeak("en-gb-x-rp+m6"),
)


def speak(text: str, voice: Voice, rng: np.random.Generator, styles: Path | None = None) -> tuple[Waveform, int]:
    """Speak a sentence at a drawn speed and pitch.

    Args:
        text: what to say; never seen by a shell.
        voice: one of VOICES or EVALUATION_VOICES.
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
