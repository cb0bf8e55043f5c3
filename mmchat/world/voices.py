"""Whose voices speak in the world, and how often which of them does.

Voices for evaluation share no flite voice and no espeak-ng variant with those for training; festival's kal_diphone is
the man of flite's `kal`, heard through another program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from mmchat.world.phrasing import Split

Engine = Literal["espeak-ng", "flite", "pico", "festival", "piper", "kokoro"]

ENGINE_SHARES: Mapping[tuple[Engine, ...], float] = {
    ("espeak-ng",): 0.44,
    ("flite", "pico"): 0.3,  # put together from recordings: fewer voices, more like people
    ("piper",): 0.2,
    ("kokoro",): 0.06,  # many voices, each clip of which takes seconds to make
}
"""How often which programs speak in training."""


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


def draw_voice(split: Split, rng: Random) -> Voice:
    """A voice for a clip of this split."""
    if split == "test":
        return rng.choice(EVALUATION_VOICES)
    (engines,) = rng.choices(list(ENGINE_SHARES), weights=list(ENGINE_SHARES.values()))
    return rng.choice([voice for voice in VOICES if voice.engine in engines])
