"""`mmchat doctor`: does everything that an answer needs work on this machine?"""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mmchat.cli import console, options
from mmchat.cli.info import media_costs, versions
from mmchat.errors import MmchatError, SelfTestError

if TYPE_CHECKING:
    from mmchat.assistant import Assistant
    from mmchat.checkpoints.about import AssistantInfo, MediaCheck
    from mmchat.inputs.audio import AudioPart
    from mmchat.inputs.image import ImagePart

MODULES = (
    "torch", "transformers", "accelerate", "open_clip", "whisper", "gradio", "PIL", "numpy", "scipy", "soundfile",
    "safetensors", "psutil", "pydantic", "yaml", "jinja2", "typer", "rich", "huggingface_hub",
)  # fmt: skip
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
TONE_HZ = 440.0


@dataclass(frozen=True)
class Check:
    """One thing to try: `run` returns what was found, in a few words, or raises."""

    name: str
    run: Callable[[], str]


def doctor(
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
) -> None:
    """Check that everything works on this machine.

    That is: the install, audio decoding, the model's files, the device, and that pictures and voice reach the answer.
    The exit code is 1 when something failed.
    """
    load = partial(console.load_assistant, model, device, dtype, quantize, transcriber)
    failed = sum([not _passed(check) for check in _checks(load)])
    if failed:
        raise SelfTestError(f"{failed} {'check' if failed == 1 else 'checks'} failed")


def _passed(check: Check) -> bool:
    """Try one thing and show its line."""
    try:
        with console.working(check.name):
            found = check.run()
    except MmchatError as error:
        console.verdict(False, check.name, str(error))
    except Exception as error:  # whatever a broken install raises is the finding
        console.verdict(False, check.name, f"{type(error).__name__}: {error}")
    else:
        console.verdict(True, check.name, found)
        return True
    return False


def _checks(load: Callable[[], Assistant]) -> Iterator[Check]:
    """The checks in order; those of the media come only when the model has loaded."""
    yield Check("packages", _packages)
    for name in FORMATS:
        yield Check(f"audio: {name}", partial(_tone_survives, name))
    loaded: list[Assistant] = []
    yield Check("model", lambda: _model_loads(loaded, load))
    for assistant in loaded:
        yield from _model_checks(assistant)


def _model_checks(assistant: Assistant) -> Iterator[Check]:
    described: list[AssistantInfo] = []
    yield Check("checkpoint", lambda: _compared(assistant.verify()))
    yield Check("encoders", lambda: _encoders_load(described, assistant))
    for about in described:
        yield Check("device", partial(_device_computes, about))
        if about.tokens_per_image is not None:
            yield Check("pictures are used", lambda: _moved(assistant.media_check(drawn_picture())))
        if about.tokens_per_second is not None:
            yield Check("voice is used", lambda: _moved(assistant.media_check(rising_tone())))


def _packages() -> str:
    for name in MODULES:
        importlib.import_module(name)
    return ", ".join(f"{name} {number}" for name, number in versions().items())


def _model_loads(loaded: list[Assistant], load: Callable[[], Assistant]) -> str:
    assistant = load()
    loaded.append(assistant)
    return assistant.name


def _compared(files: int) -> str:
    return f"{files} files are as they were saved" if files else "every tensor has its place; no hashes are recorded"


def _encoders_load(described: list[AssistantInfo], assistant: Assistant) -> str:
    about = assistant.describe()
    described.append(about)
    return "; ".join(f"{name}: {cost}" for name, cost in media_costs(about))


def _device_computes(about: AssistantInfo) -> str:
    import torch

    ones = torch.ones(4, 4, device=about.device, dtype=getattr(torch, about.dtype))
    if float((ones @ ones).sum()) != 64:
        raise SelfTestError(f"{about.device} multiplies wrongly")
    return f"{about.device}, {about.dtype}"


def _tone_survives(container: str) -> str:
    """Write a second of a tone in an audio format, read it back as a question would be, and look for the tone."""
    import numpy as np
    import soundfile

    from mmchat.inputs.audio import SAMPLE_RATE, load_audio

    rate = 44_100
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(2 * math.pi * TONE_HZ * np.arange(rate) / rate), rate, format=container)
    clip = load_audio(file.getvalue(), name=f"a tone in {container}")
    spectrum = np.abs(np.fft.rfft(clip.waveform * np.hanning(len(clip.waveform))))
    heard = float(spectrum.argmax()) * SAMPLE_RATE / len(clip.waveform)
    if abs(heard - TONE_HZ) > 5 or abs(clip.seconds - 1) > 0.1:
        raise SelfTestError(f"1.00 s of {TONE_HZ:.0f} Hz came back as {clip.seconds:.2f} s of {heard:.0f} Hz")
    return f"{clip.seconds:.2f} s, {heard:.0f} Hz"


def _moved(check: MediaCheck) -> str:
    if not check.ok:
        raise SelfTestError(f"another {check.kind} gives the same answer: the logits moved by {check.moved:.2g}")
    return f"with another {check.kind} the logits move by {check.moved:.2g}"


def drawn_picture() -> ImagePart:
    """A red disc on a green ground: not symmetric in its colours, so that its negative differs."""
    from PIL import Image, ImageDraw

    from mmchat.inputs.image import ImagePart

    image = Image.new("RGB", (128, 128), (60, 160, 60))
    ImageDraw.Draw(image).ellipse((32, 32, 96, 96), fill=(220, 40, 40))
    return ImagePart.from_pil(image)


def rising_tone() -> AudioPart:
    """Two seconds that rise from 200 Hz to 2 kHz: played backwards they fall."""
    import numpy as np

    from mmchat.inputs.audio import SAMPLE_RATE, AudioPart

    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return AudioPart.from_waveform(0.5 * np.sin(2 * math.pi * (200 * time + 450 * time**2)), SAMPLE_RATE)
