"""Voices, with a program on PATH that writes down how it was called and hums instead of speaking."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mmchat.errors import DatasetError
from mmchat.world.speech import SPEECH_RATE, perturb, speak
from mmchat.world.voices import EVALUATION_VOICES, VOICES, Voice

ESPEAK = Voice("espeak-ng", "en-us+f1", speed=(130, 190), pitch=(35, 65))
FLITE = Voice("flite", "slt", speed=(0.85, 1.2))
FESTIVAL = Voice("festival", "kal_diphone", speed=(0.85, 1.2))
PICO = Voice("pico", "en-US", speed=(80, 125), pitch=(60, 140))

HUM = """#!{python} -S
import json, math, struct, sys, wave
json.dump([sys.argv[1:], sys.stdin.read()], open({log!r}, "w"))
target = sys.argv[sys.argv.index("-w" if "-w" in sys.argv else "-o") + 1]
with wave.open(target, "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    tone = [round({level} * math.sin(2 * math.pi * 440 * i / 22050)) for i in range(22050)]
    file.writeframes(struct.pack("<22050h", *tone))
"""


class Programs:
    """A PATH of its own, with the programs that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log.json"

    def add(self, name: str, source: str) -> None:
        path = self.folder / name
        path.write_text(source)
        path.chmod(0o755)

    def hum(self, name: str, level: int = 16_000) -> None:
        self.add(name, HUM.format(python=sys.executable, log=str(self.log), level=level))

    def last_call(self) -> tuple[list[str], str]:
        """Arguments, with the name of the file to write left out, and standard input."""
        arguments, text = json.loads(self.log.read_text())
        return [argument for argument in arguments if not argument.endswith(".wav")], text


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pitch(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * SPEECH_RATE / len(waveform))


# Voices


def test_voices_are_many_and_differ() -> None:
    assert len(VOICES) >= 24
    assert len(set(VOICES + EVALUATION_VOICES)) == len(VOICES) + len(EVALUATION_VOICES)
    assert {voice.engine for voice in VOICES} == {"espeak-ng", "flite", "pico", "piper", "kokoro"}


def test_evaluation_voices_share_no_variant_and_no_flite_voice_with_training() -> None:
    def timbre(voice: Voice) -> str:
        return voice.name.partition("+")[2] if voice.engine == "espeak-ng" else str(voice)

    assert not {timbre(voice) for voice in EVALUATION_VOICES} & {timbre(voice) for voice in VOICES}


def test_british_variants_are_asked_for_by_the_name_that_honours_them() -> None:
    """`espeak-ng -v en-gb+f2` speaks as plain `en-gb`, so five voices were once the same."""
    assert not [voice for voice in VOICES + EVALUATION_VOICES if voice.name.startswith("en-gb+")]


# Speaking


def test_espeak_is_given_text_as_it_is(programs: Programs) -> None:
    programs.hum("espeak-ng")
    text = 'what\'s $HOME; `ls` "this" --help?'
    waveform, rate = speak(text, ESPEAK, rng())
    arguments, said = programs.last_call()
    assert said == text
    assert arguments == ["-v", "en-us+f1", "-s", "168", "-p", "43", "--stdin", "-w"]
    assert (rate, waveform.dtype, waveform.shape) == (SPEECH_RATE, np.dtype(np.float32), (SPEECH_RATE,))
    assert pitch(waveform) == 440


def test_flite_call(programs: Programs) -> None:
    programs.hum("flite")
    speak("-o what is this?", FLITE, rng())
    stretch = f"duration_stretch={rng().uniform(0.85, 1.2):.3f}"
    expected = ["-voice", "slt", "--setf", stretch, "-t", "-o what is this?", "-o"]
    assert programs.last_call()[0] == expected


def test_festival_call(programs: Programs) -> None:
    programs.hum("text2wave")
    speak("what is this?", FESTIVAL, rng())
    stretch = f"{rng().uniform(0.85, 1.2):.3f}"
    scheme = f"(begin (voice_kal_diphone) (Parameter.set 'Duration_Stretch {stretch}))"
    assert programs.last_call() == (["-eval", scheme, "-o"], "what is this?")


class Pico:
    """What `ttspico` has of an engine; it hums."""

    made: ClassVar[list[Pico]] = []
    level: ClassVar[int] = 16_000

    def __init__(self, language: str) -> None:
        self.language, self.rate, self.pitch, self.volume = language, 100, 100, 100
        self.made.append(self)

    def speak(self, text: str) -> bytes | None:
        self.text = text
        hum = self.level * np.sin(2 * np.pi * 440 * np.arange(SPEECH_RATE) / SPEECH_RATE)
        return hum.round().astype(np.int16).tobytes() if text.strip(".") else None


@pytest.fixture
def pico(monkeypatch: pytest.MonkeyPatch) -> type[Pico]:
    module = types.ModuleType("ttspico")
    module.__dict__["TtsEngine"] = Pico
    monkeypatch.setitem(sys.modules, "ttspico", module)
    monkeypatch.setattr(Pico, "made", [])
    return Pico


def test_pico_call(pico: type[Pico]) -> None:
    """An engine for each sentence: what one has said before changes its noise."""
    for _ in range(2):
        waveform, rate = speak("what's this?", PICO, rng())
        assert (rate, waveform.dtype, waveform.shape) == (SPEECH_RATE, np.dtype(np.float32), (SPEECH_RATE,))
        assert pitch(waveform) == 440
    drawn = rng()
    speed, height = round(drawn.uniform(80, 125)), round(drawn.uniform(60, 140))
    called = [(engine.language, engine.text, engine.rate, engine.pitch, engine.volume) for engine in pico.made]
    assert called == [("en-US", "what's this?", speed, height, 50)] * 2


def test_a_missing_pico_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ttspico", None)
    with pytest.raises(DatasetError) as caught:
        speak("hello", PICO, rng())
    assert str(caught.value) == "pico is not installed: run pip install 'mmchat[voices]', which needs a C compiler"


def test_a_pico_that_says_nothing(pico: type[Pico]) -> None:
    with pytest.raises(DatasetError) as caught:
        speak("...", PICO, rng())
    assert str(caught.value) == "pico:en-US said nothing for '...'"


def test_a_pico_that_fails(pico: type[Pico], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("Text to speech failed")

    monkeypatch.setattr(pico, "speak", fail)
    with pytest.raises(DatasetError) as caught:
        speak("hello", PICO, rng())
    assert str(caught.value) == "pico:en-US could not speak 'hello': Text to speech failed"


def test_a_throat_moves_all_frequencies_and_not_the_pace(pico: type[Pico], programs: Programs) -> None:
    """What comes out longer was spoken faster: by pico's percent, or by flite's stretch of each sound."""
    throat = (0.8, 0.8)
    waveform, _ = speak("hello", replace(PICO, speed=(100, 100), throat=throat), rng())
    assert pico.made[0].rate == 125
    assert len(waveform) == SPEECH_RATE / 0.8
    assert pitch(waveform) == pytest.approx(440 * 0.8, abs=1)
    programs.hum("flite")
    waveform, _ = speak("hello", replace(FLITE, speed=(1, 1), throat=throat), rng())
    assert "duration_stretch=0.800" in programs.last_call()[0]
    assert pitch(waveform) == pytest.approx(440 * 0.8, abs=1)


def test_speed_and_pitch_stay_within_the_voice(programs: Programs) -> None:
    programs.hum("espeak-ng")
    calls = []
    for seed in range(6):
        speak("hello", ESPEAK, rng(seed))
        arguments, _ = programs.last_call()
        calls.append((int(arguments[3]), int(arguments[5])))
    assert len(set(calls)) == 6
    assert all(130 <= speed <= 190 and 35 <= height <= 65 for speed, height in calls)


@pytest.mark.parametrize(
    ("voice", "program", "package"),
    [(ESPEAK, "espeak-ng", "espeak-ng"), (FLITE, "flite", "flite"), (FESTIVAL, "text2wave", "festival")],
)
def test_a_missing_program_names_its_package(programs: Programs, voice: Voice, program: str, package: str) -> None:
    with pytest.raises(DatasetError) as caught:
        speak("hello", voice, rng())
    expected = f"{program} is not installed: on Debian, `apt-get install {package}`"
    assert str(caught.value) == expected


def test_a_program_that_fails(programs: Programs) -> None:
    programs.add("espeak-ng", "#!/bin/sh\necho warming up >&2\necho no such voice >&2\nexit 1\n")
    with pytest.raises(DatasetError) as caught:
        speak("hello", ESPEAK, rng())
    assert str(caught.value) == "espeak-ng could not speak 'hello': no such voice"


def test_a_program_that_fails_without_a_word(programs: Programs) -> None:
    programs.add("espeak-ng", "#!/bin/sh\nexit 3\n")
    with pytest.raises(DatasetError) as caught:
        speak("hello", ESPEAK, rng())
    assert str(caught.value) == "espeak-ng could not speak 'hello': exit code 3"


def test_a_program_that_writes_nothing(programs: Programs) -> None:
    programs.add("espeak-ng", "#!/bin/sh\nexit 0\n")
    with pytest.raises(DatasetError) as caught:
        speak("hello", ESPEAK, rng())
    assert str(caught.value) == "espeak-ng:en-us+f1 wrote no sound for 'hello'"


def test_a_program_that_says_nothing(programs: Programs) -> None:
    programs.hum("espeak-ng", level=0)
    with pytest.raises(DatasetError) as caught:
        speak("...", ESPEAK, rng())
    assert str(caught.value) == "espeak-ng:en-us+f1 said nothing for '...'"


# Rooms

TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(SPEECH_RATE) / SPEECH_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [perturb(TONE, SPEECH_RATE, rng(seed)) for seed in range(60)]


def test_perturbed_clips_stay_clips(clips: list[np.ndarray]) -> None:
    for clip in clips:
        assert clip.dtype == np.float32
        assert np.isfinite(clip).all()
        assert 0.1 <= np.abs(clip).max() * 1.001 <= 1
        assert 0.1 <= (len(clip) - len(TONE)) / SPEECH_RATE <= 0.8
        assert pitch(clip) == pytest.approx(440, abs=1)


def test_perturbing_is_repeatable_and_leaves_its_input_alone(clips: list[np.ndarray]) -> None:
    before = TONE.copy()
    np.testing.assert_array_equal(perturb(TONE, SPEECH_RATE, rng(7)), clips[7])
    np.testing.assert_array_equal(TONE, before)
    assert len({len(clip) for clip in clips}) > 50


def test_noise_lies_15_to_40_db_below_the_voice(clips: list[np.ndarray]) -> None:
    """The first 50 ms are always before the voice: noise alone. Short pieces of noise vary by a few dB."""
    ratios = []
    for clip in clips:
        noise = np.mean(clip[:800] ** 2)
        ratios.append(10 * np.log10(np.mean(clip**2) / noise))
    assert 10 < min(ratios) < 22
    assert 33 < max(ratios) < 46


def test_some_clips_have_a_telephones_band() -> None:
    """White noise goes in, so only the band limit takes away what lies above 4 kHz; our own noise is weak there."""
    hiss = rng(1).normal(size=SPEECH_RATE).astype(np.float32) * 0.1
    shares = []
    for seed in range(40):
        power = np.abs(np.fft.rfft(perturb(hiss, SPEECH_RATE, rng(seed)))) ** 2
        shares.append(power[len(power) // 2 :].sum() / power.sum())
    limited = sum(share < 0.1 for share in shares)
    assert 4 <= limited <= 20
    assert sum(share > 0.4 for share in shares) == 40 - limited


def test_rooms_echo_after_the_voice_has_stopped() -> None:
    click = np.zeros(4_000, dtype=np.float32)
    click[:400] = TONE[:400]
    tails = []
    for seed in range(60):
        clip = perturb(click, SPEECH_RATE, rng(seed))
        start = int(np.abs(clip).argmax()) + 600
        tails.append(np.mean(clip[start : start + 400] ** 2) / np.mean(clip[-400:] ** 2))
    assert 10 <= sum(tail > 3 for tail in tails) <= 35
