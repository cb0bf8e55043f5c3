"""Where a model's weights go, and in what type of number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch

from mmchat.errors import OptionError

Quantization = Literal["int8", "int4"]
"""Weights of the decoder's linear layers as whole numbers with a scale a group; activations stay what they are."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Placement:
    """Device and type of all weights."""

    device: torch.device = _CPU
    """Of all weights; with `spread`, of the first ones."""
    dtype: torch.dtype = torch.float32
    quantization: Quantization | None = None
    spread: bool = False
    """Whether the decoder's layers are spread over all GPUs, and over main memory when these are full."""


ON_CPU = Placement()
"""In main memory, in float32."""


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        OptionError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise OptionError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise OptionError(f"no device {name} here: there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise OptionError("no device mps here: it needs macOS on Apple silicon")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type of a name; `auto` takes bfloat16 on a CUDA device that computes in it, and float32 elsewhere.

    Raises:
        OptionError: there is no such type.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if name not in DTYPES:
        raise OptionError(f"unknown dtype {name!r}: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def pick_quantization(name: str | None, device: torch.device) -> Quantization | None:
    """The quantization of a name.

    Raises:
        OptionError: there is no such quantization, or the device does not compute in it.
    """
    match name:
        case None:
            return None
        case "int8" | "int4":
            if name == "int4" and device.type != "cuda":
                raise OptionError(f"int4 weights need a CUDA device, this is {device}: use int8")
            return name
    raise OptionError(f"unknown quantization {name!r}: use int8 or int4")
