"""Linear layers laid out for the machine that answers: reading the weights is what a token costs.

F inputs, O outputs
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mmchat.model.placement import Quantization

_MOST_SHARED_ROWS = 4
"""With more rows one product of all is as fast."""


class Linear(Protocol):
    """(…, F) → (…, O), over weights that no longer change."""

    @property
    def nbytes(self) -> int:
        """Bytes of the weights in memory."""
        ...

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply rows (…, F) with the weights."""
        ...


class DenseLinear:
    """Weights as torch has them."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """
        Args:
            weight: (O, F).
            bias: (O,).
        """
        self.weight = weight
        self._bias = bias

    @property
    def nbytes(self) -> int:
        """Bytes of the weights in memory."""
        return self.weight.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply rows (…, F) with the weights."""
        return functional.linear(rows, self.weight, self._bias)


class SharedLinear(DenseLinear):
    """Weights in float32 on a CPU, whose outputs are computed in as many shares as there are threads.

    MKL multiplies a matrix with one row, or with a few, in one thread, and slowly. As a batch of smaller matrices each
    thread has one, and two threads read nearly as fast as the memory gives; a single thread gains a little as well.
    """

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply rows (…, F) with the weights."""
        outputs, inputs = self.weight.shape
        shares, flat = max(2, torch.get_num_threads()), rows.reshape(-1, inputs)
        size = outputs // shares
        if size == 0 or len(flat) > _MOST_SHARED_ROWS:
            return super().__call__(rows)
        shared, rest = self.weight[: size * shares], self.weight[size * shares :]
        columns = flat.t()  # F, R
        product = torch.bmm(shared.view(shares, size, inputs), columns.expand(shares, -1, -1)).view(-1, len(flat))
        if len(rest):
            product = torch.cat([product, rest @ columns])
        product = product.t().contiguous()  # R, O
        return (product if self._bias is None else product + self._bias).reshape(*rows.shape[:-1], outputs)


class HalfLinear:
    """Weights in float16, multiplied in float32 by FBGEMM: half the bytes to read."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """
        Args:
            weight: (O, F), float32, of numbers that float16 holds exactly.
            bias: (O,), float32.
        """
        self.nbytes = weight.nbytes // 2
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply rows (…, F) with the weights."""
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, self._packed)
        return product


class Int8Linear:
    """Weights as whole numbers with a scale an output, multiplied in bfloat16 by a kernel of torch for CPUs."""

    multiple = 32
    """Inputs come in whole multiples of so many; the kernel reads past the end of others."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """
        Args:
            weight: (O, F), on a CPU, F a multiple of `multiple`.
            bias: (O,).
        """
        assert weight.shape[1] % self.multiple == 0, f"{weight.shape[1]} inputs"
        self._scales = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.bfloat16).tiny).bfloat16()  # O
        # Rounded to the scales as they are kept, so that these bring no error of their own.
        whole = (weight.float() / self._scales.float()[:, None]).round().clamp(-127, 127)
        self._weight = whole.to(torch.int8).contiguous()
        self._bias = bias
        self.nbytes = self._weight.nbytes

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply rows (…, F) with the weights."""
        flat = rows.reshape(-1, rows.shape[-1]).bfloat16()
        product = torch._weight_int8pack_mm(flat, self._weight, self._scales).to(rows.dtype)
        return (product if self._bias is None else product + self._bias).view(*rows.shape[:-1], -1)


def linear(weight: Tensor, bias: Tensor | None, quantization: Quantization | None = None) -> Linear:
    """The fastest layer that gives the numbers of these weights.

    In float32 on a CPU, weights that float16 holds exactly, as those of a float16 file, go to `HalfLinear` where there
    is FBGEMM: on x86.

    Args:
        weight: (O, F).
        bias: (O,).
        quantization: `int8`, on a CPU.
    """
    if quantization is not None:
        return Int8Linear(weight, bias)
    if not _is_plain(weight):
        return DenseLinear(weight, bias)
    if _has_fbgemm() and torch.equal(weight.half().float(), weight):
        return HalfLinear(weight, bias)
    return SharedLinear(weight.contiguous(), bias)


def _is_plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


@cache
def _has_fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines
