"""Devices and types of number by name."""

from __future__ import annotations

import pytest
import torch

from mmchat.errors import OptionError
from mmchat.model.placement import pick_device, pick_dtype, pick_quantization

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("gpu", "unknown device 'gpu': use auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", "unknown device 'cuda:x': use auto, cpu, cuda, cuda:N or mps"),
        ("", "unknown device '': use auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_an_unknown_device_is_one_line(name: str, line: str) -> None:
    with pytest.raises(OptionError) as caught:
        pick_device(name)
    assert str(caught.value) == line


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no device cuda:1 here: there are 1 CUDA devices"):
        pick_device("cuda:1")
    with pytest.raises(OptionError, match="no device mps here"):
        pick_device("mps")


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_taken(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto") == torch.device(device)


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", CPU, torch.float32),
        ("auto", CUDA, torch.bfloat16),
        ("float32", CUDA, torch.float32),
        ("bfloat16", CPU, torch.bfloat16),
        ("float16", CUDA, torch.float16),
    ],
)
def test_types_by_name(monkeypatch: pytest.MonkeyPatch, name: str, device: torch.device, dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert pick_dtype(name, device) == dtype


def test_an_older_gpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert pick_dtype("auto", CUDA) == torch.float32


def test_an_unknown_type_is_one_line() -> None:
    with pytest.raises(OptionError, match="unknown dtype 'half': use auto, float32, bfloat16, float16"):
        pick_dtype("half", CPU)


def test_quantization_by_name() -> None:
    assert pick_quantization(None, CPU) is None
    assert pick_quantization("int8", CPU) == "int8"
    assert pick_quantization("int4", CUDA) == "int4"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("int4", "int4 weights need a CUDA device, this is cpu: use int8"),
        ("int2", "unknown quantization 'int2': use int8 or int4"),
    ],
)
def test_what_is_not_quantized_here_is_one_line(name: str, line: str) -> None:
    with pytest.raises(OptionError) as caught:
        pick_quantization(name, CPU)
    assert str(caught.value) == line
