"""The SFU's functions of one variable on torch tensors: table interpolation in integers."""

import math
from functools import partial

import torch
from torch import Tensor

from alula.isa.functions import EXP2, RECIP, RSQRT, Function, Table
from alula.quant import kernels
from alula.quant.arithmetic import (
    constant,
    exponents,
    in_pieces,
    power_of_two,
    product,
    rounded,
)
from alula.quant.floats import LARGEST

_LOG2E = math.log2(math.e)
_MANTISSA = (1 << 23) - 1
_ONE = 1 << 24


_HELD: dict[str, tuple[Tensor, Tensor]] = {}
"""Coefficients that are on a device already, by the names of both."""


def _coefficients(table: Table, device: torch.device) -> tuple[Tensor, Tensor]:
    name = f"{table.name} {device}"
    if name not in _HELD:
        c0, c1 = (
            torch.tensor(part, dtype=torch.int64, device=device) for part in table.coefficients
        )
        _HELD[name] = c0, c1
    return _HELD[name]


def interpolate(table: Table, u: Tensor) -> Tensor:
    """The table's integer at fixed-point arguments `u`, int64 and within its range."""
    c0, c1 = _coefficients(table, u.device)
    index = (u >> table.step_bits).flatten()
    rest = u & (1 << table.step_bits) - 1
    start, rise = (part.index_select(0, index).view(u.shape) for part in (c0, c1))
    return start + (rise * rest >> table.step_bits)


def _mantissas(x: Tensor) -> Tensor:
    return (x.contiguous().view(torch.int32) & _MANTISSA).to(torch.int64)


def exp(x: Tensor) -> Tensor:
    """``exp(x)`` for x <= 0."""
    t = product(x, constant(_LOG2E, x))
    bits = EXP2.step_bits + 7
    u = torch.floor(t.double().clamp_(min=-256.0) * (1 << bits) + 0.5).to(torch.int64)
    n = u >> bits
    y = interpolate(EXP2, u & (1 << bits) - 1).double() * power_of_two(n - EXP2.fraction_bits)
    return rounded(torch.where(u < -126 * (1 << bits), 0.0, y))


def distribution(table: Table, x: Tensor) -> Tensor:
    """A table of a function with f(-x) = 1 - f(x), 1 beyond the table's end."""
    end = table.segments << table.step_bits
    scaled = x.double().abs_().clamp_(max=2 * table.high) * (1 << table.argument_bits)
    u = torch.floor(scaled + 0.5).to(torch.int64)
    y = torch.where(u >= end, _ONE, interpolate(table, u.clamp(max=end - 1)))
    y = torch.where(x < 0, _ONE - y, y)
    return rounded(y.double() * 2.0**-24)


def activation(function: Function, x: Tensor, factor: Tensor | None = None) -> Tensor:
    """ACT of rows ``[T, n]``, times `factor` if it is gated."""
    if x.device.type == "cpu":
        return kernels.activate(function, x, factor)
    if factor is None:
        return in_pieces(partial(_activation, function), x)
    return in_pieces(partial(_gated, function), x, factor)


def _gated(function: Function, x: Tensor, factor: Tensor) -> Tensor:
    return product(_activation(function, x), factor)


def _activation(function: Function, x: Tensor) -> Tensor:
    if function.table is None:
        return torch.where(x > 0, x, 0.0)
    return product(x, distribution(function.table, x))


def recip(x: Tensor) -> Tensor:
    """``1 / x`` for x > 0; an unspecified finite number for x = 0."""
    y = interpolate(RECIP, _mantissas(x)).double()
    return rounded(y * power_of_two(-exponents(x) - RECIP.fraction_bits))


def rsqrt(x: Tensor) -> Tensor:
    """``1 / sqrt(x)`` for x >= 0; the largest finite number for x = 0."""
    exponent = exponents(x)
    odd = exponent & 1
    argument = torch.where(odd == 1, (1 << 23) + 2 * _mantissas(x), _mantissas(x))
    y = interpolate(RSQRT, argument).double() * power_of_two(-(exponent >> 1) - RSQRT.fraction_bits)
    return torch.where(x == 0, LARGEST, rounded(y))
