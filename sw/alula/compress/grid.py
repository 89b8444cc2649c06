"""Codes of a matrix on torch: the integers that a format has for each weight, scale and min."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alula.design import GROUP
from alula.isa.formats import DENSE, MIN_UNIT, Q_MAX, SCALE_MAX, WeightFormat
from alula.quant.banded import WeightMatrix, parts_of
from alula.quant.floats import SMALLEST, round_bf16
from alula.quant.matrix import QuantizedMatrix, largest

_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Shares of a group's range that its levels are spread over at first."""
_ROOM = 1.25
"""How far a group's scale may grow over the largest that is needed at first."""
_M_MAX = 127
_OF_BAND = "@"


@dataclass
class Codes:
    """A matrix of N rows and K inputs in a format, as float tensors that hold integers.

    A weight is ``c * (s * level + MIN_UNIT * m)``, for formats without metas ``c * level``.

    Attributes:
        format: the format.
        levels: ``[N, K]``, within `low` and `high`; 0 where a pattern keeps no weight.
        c: ``[N]``, bf16 values, positive.
        s, m: ``[N, G]``; ones and zeros where the format has none.
        kept: bool ``[N, K]`` of a pattern, None for a dense format.
    """

    format: WeightFormat
    levels: Tensor
    c: Tensor
    s: Tensor
    m: Tensor
    kept: Tensor | None = None

    @classmethod
    def of(cls, matrix: QuantizedMatrix, weight: Tensor) -> "Codes":
        """The codes of a matrix that replaces a weight ``[N, K]``.

        Of a pattern's weights those are kept that are not 0, and the largest of the others to fill
        the pattern.
        """
        fmt = matrix.layout
        rows, inputs = matrix.shape
        levels = torch.from_numpy(matrix.q[:, :inputs].astype(np.float32)) - fmt.excess
        s = (
            torch.ones(rows, -(-inputs // GROUP))
            if matrix.s is None
            else torch.from_numpy(matrix.s.astype(np.float32))
        )
        m = (
            torch.zeros_like(s)
            if matrix.m is None
            else torch.from_numpy(matrix.m.astype(np.float32))
        )
        kept = None
        if fmt.pattern is not DENSE:
            size = weight.cpu().abs()
            measure = (levels != 0) + size / (2 * size.max() + SMALLEST)
            kept = torch.from_numpy(largest(measure.numpy(), fmt.pattern))
        return cls(fmt, levels, torch.from_numpy(matrix.c), s, m, kept)

    @property
    def low(self) -> int:
        """The least level."""
        return -(1 << self.format.bits - 1) if self.format.metas else -Q_MAX

    @property
    def high(self) -> int:
        """The largest level."""
        return (1 << self.format.bits - 1) - 1 if self.format.metas else Q_MAX

    @property
    def has_mins(self) -> bool:
        """Whether groups have a min."""
        return self.format.excess != 0

    def integers(self) -> Tensor:
        """Weights in units of `c`, ``[N, K]``."""
        inputs = self.levels.shape[1]
        s, m = (part.repeat_interleave(GROUP, 1)[:, :inputs] for part in (self.s, self.m))
        return torch.addcmul(MIN_UNIT * m, s, self.levels)

    def weights(self) -> Tensor:
        """The weights, float ``[N, K]``."""
        return self.integers() * self.c[:, None]

    def matrix(self) -> QuantizedMatrix:
        """The same as integers, checked."""
        fmt, (rows, inputs) = self.format, self.levels.shape
        padded = torch.nn.functional.pad(self.levels, (0, -inputs % GROUP), value=-fmt.excess)
        kind: Any = np.uint8 if fmt.excess else np.int8
        q = (padded + fmt.excess).cpu().numpy().astype(kind)
        s = self.s.cpu().numpy().astype(kind) if fmt.metas else None
        m = self.m.cpu().numpy().astype(np.int8) if self.has_mins else None
        c = self.c.cpu().numpy().astype(np.float32)
        return QuantizedMatrix(fmt.name, (rows, inputs), q, c, s, m, fmt.pattern.name)


def named_codes(name: str, matrix: WeightMatrix, weight: Tensor) -> dict[str, Codes]:
    """The codes of a matrix by its name; those of its bands, in order, by `layers.0.mlp.up@1`."""
    parts, found, first = parts_of(matrix), {}, 0
    for number, part in enumerate(parts):
        rows = weight[first : first + part.shape[0]]
        found[f"{name}{_OF_BAND}{number}" if len(parts) > 1 else name] = Codes.of(part, rows)
        first += part.shape[0]
    return found


def matrix_name(name: str) -> str:
    """The name of the matrix that codes of a name belong to."""
    return name.partition(_OF_BAND)[0]


def grouped(values: Tensor) -> Tensor:
    """``[N, G, 32]`` of ``[N, K]``, zeros in a last group that is not full."""
    padded = torch.nn.functional.pad(values, (0, -values.shape[1] % GROUP))
    return padded.unflatten(1, (-1, GROUP))


def joined(parts: Sequence[Codes]) -> Codes:
    """One matrix of the rows of several of a format."""
    levels, c, s, m = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("levels", "c", "s", "m")
    )
    kept = [part.kept for part in parts if part.kept is not None]
    return Codes(parts[0].format, levels, c, s, m, torch.cat(kept) if kept else None)


def first_codes(
    weight: Tensor, fmt: WeightFormat, importance: Tensor, kept: Tensor | None = None
) -> Codes:
    """Scales and mins for a matrix, from the ranges of its groups; levels to the nearest.

    Args:
        weight: ``[N, K]``.
        fmt: the format.
        importance: ``[K]``, what an input's squared error counts.
        kept: bool ``[N, K]``, which weights a pattern keeps.
    """
    weight = weight if kept is None else weight * kept
    rows, inputs = weight.shape
    groups = -(-inputs // GROUP)
    ones = weight.new_ones(rows, groups)
    codes = Codes(fmt, torch.zeros_like(weight), ones[:, 0], ones, 0 * ones, kept)
    if not fmt.metas:
        codes.c = _bf16(weight.abs().amax(1) / Q_MAX)
        nearest(codes, weight)
        return codes
    if codes.has_mins:
        _fit_mins(codes, weight, importance)
    else:
        _fit_scales(codes, weight, importance)
    nearest(codes, weight)
    return codes


def nearest(codes: Codes, weight: Tensor) -> None:
    """Set every level to the one nearest to its weight."""
    inputs = weight.shape[1]
    s, m = (part.repeat_interleave(GROUP, 1)[:, :inputs] for part in (codes.s, codes.m))
    wanted = (weight / codes.c[:, None] - MIN_UNIT * m) / torch.where(s == 0, 1, s)
    codes.levels = wanted.round_().clamp_(codes.low, codes.high)
    if codes.kept is not None:
        codes.levels *= codes.kept


def _bf16(values: Tensor) -> Tensor:
    """bf16 row factors at or above `values`, none below the normal numbers."""
    need = np.maximum(values.double().cpu().numpy() * (1 + 2.0**-8), SMALLEST)
    return torch.from_numpy(round_bf16(need)).to(values)


def _fit_mins(codes: Codes, weight: Tensor, importance: Tensor) -> None:
    steps = codes.high - codes.low
    runs, counts = grouped(weight), grouped(importance[None])
    real = grouped(torch.ones_like(importance)[None]) > 0
    low = runs.where(real, torch.inf).amin(2)
    high = runs.where(real, -torch.inf).amax(2)
    reach = (high + low).abs() / 2 + (high - low) / (2 * steps)
    need = torch.maximum(_ROOM * (high - low) / (steps * SCALE_MAX), reach / (MIN_UNIT * _M_MAX))
    codes.c = _bf16(need.amax(1))
    unit = codes.c[:, None]
    best = torch.full_like(low, torch.inf)
    for below in _CLIPS:
        for above in _CLIPS:
            middle, half = (high + low) / 2, (high - low) / 2
            start, end = middle - below * half, middle + above * half
            s = ((end - start) / (steps * unit)).round_().clamp_(1, SCALE_MAX)
            m = ((start / unit - codes.low * s) / MIN_UNIT).round_().clamp_(-_M_MAX - 1, _M_MAX)
            offset = MIN_UNIT * m * unit
            step = s * unit
            q = (
                ((runs - offset[..., None]) / step[..., None])
                .round_()
                .clamp_(codes.low, codes.high)
            )
            error = (q * step[..., None] + offset[..., None] - runs).square_()
            error = (error * counts).sum(2)
            better = error < best
            best = torch.where(better, error, best)
            codes.s, codes.m = torch.where(better, s, codes.s), torch.where(better, m, codes.m)


def _fit_scales(codes: Codes, weight: Tensor, importance: Tensor) -> None:
    """Signed scales: the larger end of the levels' range is given to the larger end of a group."""
    runs, counts = grouped(weight), grouped(importance[None])
    low, high = runs.amin(2), runs.amax(2)
    sign = torch.where(-low > high, 1.0, -1.0)
    large = torch.maximum(-low, high)
    codes.c = _bf16((_ROOM * large / (-codes.low * _M_MAX)).amax(1))
    unit = codes.c[:, None]
    best = torch.full_like(low, torch.inf)
    for clip in (1.3, 1.2, 1.1, *_CLIPS):
        s = sign * (clip * large / (-codes.low * unit)).round_().clamp_(1, _M_MAX)
        step = (s * unit)[..., None]
        q = (runs / step).round_().clamp_(codes.low, codes.high)
        error = ((q * step - runs).square_() * counts).sum(2)
        better = error < best
        best = torch.where(better, error, best)
        codes.s = torch.where(better, s, codes.s)
