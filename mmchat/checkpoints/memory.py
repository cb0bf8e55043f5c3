"""How much memory a checkpoint's weights need, known from file headers before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from mmchat.checkpoints.store import Checkpoint
from mmchat.errors import OptionError
from mmchat.model.placement import Placement

_WHOLE = ("embed", "lm_head", "wte", "wpe")
"""What of a decoder is never quantized: the embeddings, at both ends."""
_QUANTIZED_BYTES = {"int8": 1.0, "int4": 0.5}
_LEAST_REMEMBERED = 512 * 2**20
_GB = 1e9


def needed_bytes(checkpoint: Checkpoint, place: Placement) -> int:
    """Bytes of all weights, those of encoders and projectors included; caches and activations come on top.

    Raises:
        CheckpointError: a file is missing or malformed.
    """
    total = 0.0
    for component in checkpoint.parameters():
        for name, shape in checkpoint.weights(component).shapes().items():
            if shape is not None:
                total += math.prod(shape) * _bytes_each(component, name, len(shape), place)
    return round(total)


def free_bytes(place: Placement) -> int:
    """Bytes of memory that are free where the weights go."""
    match place.device.type:
        case "cuda":
            devices = range(torch.cuda.device_count()) if place.spread else [place.device]
            return sum(torch.cuda.mem_get_info(device)[0] for device in devices)
        case "mps":
            return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    import psutil

    return int(psutil.virtual_memory().available)


def bytes_to_remember(checkpoint: Checkpoint, place: Placement) -> int:
    """Bytes for what was read of conversations: about as many as the weights have, and an eighth of what is free."""
    return min(free_bytes(place) // 8, max(_LEAST_REMEMBERED, needed_bytes(checkpoint, place)))


def fitted(checkpoint: Checkpoint, place: Placement) -> Placement:
    """The placement, over all GPUs where one is too small.

    Raises:
        OptionError: the weights do not fit; says how much they need, how much is free, and what to try.
    """
    needed, free = needed_bytes(checkpoint, place), free_bytes(place)
    if needed <= free:
        return place
    spread = replace(place, spread=True)
    if place.device == torch.device("cuda") and torch.cuda.device_count() > 1 and needed <= free_bytes(spread):
        return spread
    raise OptionError(
        f"{checkpoint.config.name} needs {needed / _GB:.1f} GB, {free / _GB:.1f} free on {place.device}: "
        f"{_way_out(checkpoint, place, free)}"
    )


def _way_out(checkpoint: Checkpoint, place: Placement, free: int) -> str:
    """The option that keeps most of the model's precision and makes it fit."""
    smaller = replace(place, dtype=torch.bfloat16, quantization=None)
    ways = {
        "--dtype bfloat16": smaller,
        "--quantize int8": replace(place, quantization="int8"),
        "--dtype bfloat16 --quantize int8": replace(smaller, quantization="int8"),
        "--quantize int4": replace(place, quantization="int4"),
    }
    for option, way in ways.items():
        if (option != "--quantize int4" or place.device.type == "cuda") and needed_bytes(checkpoint, way) <= free:
            return f"try {option}"
    return "choose a smaller model"


def _bytes_each(component: str, name: str, axes: int, place: Placement) -> float:
    whole = component != "decoder" or axes != 2 or any(part in name for part in _WHOLE)
    return place.dtype.itemsize if whole or place.quantization is None else _QUANTIZED_BYTES[place.quantization]
