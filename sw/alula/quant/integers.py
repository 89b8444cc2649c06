"""Quantised rows and exact integer products on torch tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from alula.design import GROUP
from alula.isa.formats import Q_MAX, SCALE_MAX
from alula.quant.arithmetic import constant, exponents, piece_size, power_of_two, product, rounded
from alula.quant.functions import recip

EXACT = 1 << 53
"""Integers of smaller magnitude are exact in float64, in every order of summation."""
_LARGEST_ACTIVATION = Q_MAX * SCALE_MAX


@dataclass(frozen=True)
class Activations:
    """Rows in the A8 format.

    Attributes:
        scaled: ``q * u``, float64 ``[..., K]``.
        exponent: E, int64 ``[..., 1]``.
    """

    scaled: Tensor
    exponent: Tensor


def quantize_rows(x: Tensor) -> Activations:
    """QUANT over the last dimension of float32 ``[..., K]``."""
    inputs = x.shape[-1]
    padded = torch.nn.functional.pad(x, (0, -inputs % GROUP)).unflatten(-1, (-1, GROUP))
    step = product(padded.abs().amax(-1), constant(1 / Q_MAX, x))
    largest = step.amax(-1, keepdim=True)
    bits = SCALE_MAX.bit_length()
    exponent = torch.where(largest > 0, exponents(largest).to(torch.int64) + 1 - bits, 0)
    unit = power_of_two(-exponent)
    scale = torch.ceil(step.double() * unit).clamp_(1, SCALE_MAX)
    inverse = (1 / scale).float()
    q = torch.round(product(padded, inverse[..., None]).double() * unit[..., None])
    q = q.clamp_(-Q_MAX, Q_MAX).mul_(scale[..., None])
    return Activations(q.flatten(-2)[..., :inputs], exponent)


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


def multiply(x: Activations, weights: Tensor, scale: Tensor | None) -> Tensor:
    """MM: float32 ``[T, N]`` for `x` of ``[T, K]``, integer `weights` ``[N, K]`` and c ``[N]``.

    `scale` None means c = 1 (V8). Leading dimensions of batches may precede all three.
    """
    rows, inputs = x.scaled.shape[-2:]
    outputs = weights.shape[-2]
    each = max(rows, inputs) * max(1, weights[..., 0, 0].numel())
    step = max(1, piece_size(x.scaled.device) // each)
    result = x.scaled.new_empty((*x.scaled.shape[:-1], outputs), dtype=torch.float32)
    unit = power_of_two(x.exponent)
    for first in range(0, outputs, step):
        part = slice(first, first + step)
        values = (x.scaled @ weights[..., part, :].double().mT).float()
        if scale is not None:
            values = product(values, scale[..., None, part])
        result[..., part] = rounded(unit * values)
    return result
