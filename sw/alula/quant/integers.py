"""Quantised rows and exact integer products on torch tensors."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from alula.design import GROUP
from alula.isa.formats import Q_MAX, SCALE_MAX
from alula.quant import kernels
from alula.quant.arithmetic import constant, exponents, piece_size, power_of_two, product, rounded
from alula.quant.functions import recip

_byte_product = torch.ops.aten._int_mm
EXACT = 1 << 53
"""Integers of smaller magnitude are exact in float64, in every order of summation."""
_LARGEST_ACTIVATION = Q_MAX * SCALE_MAX
_SUMS = 1 << 21
"""Sums of products that are made at a time."""


@dataclass(frozen=True)
class Activations:
    """Rows in the A8 format.

    Attributes:
        scaled: ``q * u``: on a CPU in bytes, int8 ``[..., 2, K]`` with zeros up to whole groups,
            each value ``256 * high + low``; elsewhere float64 ``[..., K]``.
        exponent: E, int64 ``[..., 1]``.
    """

    scaled: Tensor
    exponent: Tensor

    def wide(self) -> Tensor:
        """``q * u`` in float64; zeros may follow the K columns."""
        if self.scaled.dtype != torch.int8:
            return self.scaled
        high, low = self.scaled.double().unbind(-2)
        return 256 * high + low


@dataclass(frozen=True)
class WeightBytes:
    """Integer weights as a CPU multiplies them, each ``256 * high + low``.

    Attributes:
        parts: int8 ``[P, N, K]`` with zeros up to whole groups: the high bytes and the low ones, or
            the weights themselves where a byte holds each.
    """

    parts: Tensor

    @classmethod
    def of(cls, weights: Tensor) -> Self:
        """The bytes of integers ``[N, K]`` of at most 16 bits.

        ValueError if one is beyond -2**15 to 2**15 - 129.
        """
        if short := -weights.shape[-1] % GROUP:
            weights = pad(weights, (0, short))
        if weights.dtype == torch.int8:
            return cls(weights.contiguous()[None])
        low, high = (int(bound) for bound in torch.aminmax(weights))
        if -128 <= low <= high < 128:
            return cls(weights.to(torch.int8)[None])
        if low < -(1 << 15) or high >= (1 << 15) - 128:
            raise ValueError(f"weights must be within 16 bits, not {low} to {high}")
        high = weights + 128 >> 8
        return cls(torch.stack((high.to(torch.int8), (weights - 256 * high).to(torch.int8))))


@lru_cache
def multiplies_bytes() -> bool:
    """Whether this CPU's products of bytes are exact: some saturate sums of two at 16 bits."""
    worst = torch.full((16, 64), -128, dtype=torch.int8)
    try:
        return bool((_byte_product(worst, worst.T) == 64 << 14).all())
    except RuntimeError:
        return False


def quantize_rows(x: Tensor) -> Activations:
    """QUANT over the last dimension of float32 ``[..., K]``."""
    return Activations(*kernels.quantise(x)) if x.device.type == "cpu" else _quantize_rows(x)


def _quantize_rows(x: Tensor) -> Activations:
    levels, scale, exponent = _levels(x)
    q = levels.clamp(-Q_MAX, Q_MAX).mul_(scale[..., None])
    return Activations(q.flatten(-2)[..., : x.shape[-1]], exponent)


def _levels(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Q before it is clamped ``[..., groups, 32]``, u ``[..., groups]`` and E ``[..., 1]``."""
    padded = pad(x, (0, -x.shape[-1] % GROUP)).unflatten(-1, (-1, GROUP))
    step = product(padded.abs().amax(-1), constant(1 / Q_MAX, x))
    largest = step.amax(-1, keepdim=True)
    bits = SCALE_MAX.bit_length()
    exponent = torch.where(largest > 0, exponents(largest).to(torch.int64) + 1 - bits, 0)
    unit = power_of_two(-exponent)
    scale = torch.ceil(step.double() * unit).clamp_(1, SCALE_MAX)
    inverse = (1 / scale).float()
    levels = torch.round(product(padded, inverse[..., None]).double() * unit[..., None])
    return levels, scale, exponent


def vanished(x: Tensor) -> int:
    """How many values of rows other than 0 QUANT makes 0.

    None is clamped: a group's scale is that of its largest value.
    """
    levels, _, _ = _levels(x)
    return int(((levels.flatten(-2)[..., : x.shape[-1]] == 0) & (x != 0)).sum())


def quantize_kv(x: Tensor) -> tuple[Tensor, Tensor]:
    """QUANTKV over the last dimension of float32 ``[..., K]``.

    Gives int8 ``[..., K]`` and c ``[..., 1]``, float32 with bf16 values. Where c is zero, so is q.
    """
    largest = x.abs().amax(-1, keepdim=True)
    c = round_bf16(product(largest, constant(1 / Q_MAX, x)))
    q = torch.round(product(x, recip(c))).clamp_(-Q_MAX, Q_MAX)
    return torch.where(c > 0, q, 0.0).to(torch.int8), c


def round_bf16(values: Tensor) -> Tensor:
    """The nearest bf16 (ties to even) of non-negative float32 values far from overflow."""
    bits = values.contiguous().view(torch.int32)
    bits = bits + 0x7FFF + (bits >> 16 & 1)
    return (bits & -0x10000).view(torch.float32)


def check_exact(inputs: int, largest_weight: int) -> None:
    """ValueError unless every sum of `inputs` products with such weights is exact in float64."""
    bound = inputs * _LARGEST_ACTIVATION * largest_weight
    if bound >= EXACT:
        raise ValueError(f"inputs * 127 * {SCALE_MAX} * weight must be below 2**53, not {bound}")


def multiply(x: Activations, weights: Tensor | WeightBytes, scale: Tensor | None) -> Tensor:
    """MM: float32 ``[T, N]`` for `x` of ``[T, K]``, integer `weights` ``[N, K]`` and c ``[N]``.

    `scale` None means c = 1 (V8). Leading dimensions of batches may precede all three, but for
    `WeightBytes`.
    """
    if isinstance(weights, WeightBytes):
        return _multiply_bytes(x, weights, scale)
    if x.scaled.dtype == torch.int8 and multiplies_bytes():
        if weights.ndim == 2:
            return _multiply_bytes(x, WeightBytes.of(weights), scale)
        return torch.stack(
            [
                multiply(Activations(*one), w, None if scale is None else scale[index])
                for index, (*one, w) in enumerate(zip(x.scaled, x.exponent, weights, strict=True))
            ]
        )
    return _multiply_wide(x, weights, scale)


def _multiply_bytes(x: Activations, weights: WeightBytes, scale: Tensor | None) -> Tensor:
    """By products of bytes: sums of 16,384 of them are within 32 bits."""
    parts, outputs, inputs = weights.parts.shape
    count = len(x.scaled)
    step = max(GROUP, _SUMS // (2 * count * parts))
    found = []
    for first in range(0, outputs, step):
        some = weights.parts[:, first : first + step].reshape(-1, inputs)
        sums = _byte_product(x.scaled.view(-1, inputs), some.T).view(count, 2, parts, -1)
        factor = None if scale is None else scale[first : first + step]
        found.append(kernels.finish(sums, factor, x.exponent))
    return found[0] if len(found) == 1 else torch.cat(found, dim=-1)


def _multiply_wide(x: Activations, weights: Tensor, scale: Tensor | None) -> Tensor:
    """By products of float64, in which all sums are exact."""
    wide, outputs = x.wide()[..., : weights.shape[-1]], weights.shape[-2]
    each = max(wide.shape[-2:]) * max(1, weights[..., 0, 0].numel())
    step = max(1, piece_size(wide.device) // each)
    unit = power_of_two(x.exponent)
    found: list[Tensor] = []  # torch.compile traces no list[Tensor]()
    for first in range(0, outputs, step):
        part = slice(first, first + step)
        values = (wide @ weights[..., part, :].double().mT).float()
        if scale is not None:
            values = product(values, scale[..., None, part])
        found.append(rounded(unit * values))
    return found[0] if len(found) == 1 else torch.cat(found, dim=-1)
