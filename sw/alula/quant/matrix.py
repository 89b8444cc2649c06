"""A weight matrix in one of the contract's formats."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.design import GROUP
from alula.isa.formats import (
    DENSE,
    FORMATS,
    MATRIX_FORMATS,
    MIN_UNIT,
    PATTERNS,
    Q_MAX,
    WEIGHT_FORMATS,
    SparsityPattern,
    WeightFormat,
)
from alula.quant.fit import fit_mins
from alula.quant.floats import LARGEST, SMALLEST, FloatArray, round_bf16

_MOST_SCALE = 127
"""Largest magnitude of a signed scale that both signs have."""
_SHARES = (1.0, 0.9, 0.8, 1.1, 0.7, 1.25)
"""Shares of a group's largest weight that its last level is set to."""
_CHUNK = 1 << 20
"""Weights handled at a time: bounds the temporary memory."""


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """Integers and scales of a matrix of N rows and K inputs.

    K32 is K rounded up to a multiple of 32. With ``g = k // 32`` the weight is
    ``c[n] * (s[n, g] * (q[n, k] - excess) + MIN_UNIT * m[n, g])`` for W4, W3 and W2, without the
    last term for those with a pattern, and ``c[n] * q[n, k]`` for the 8-bit formats. Inputs from K
    on have ``q = 0``.

    Attributes:
        format: a name of `FORMATS`.
        shape: ``(N, K)``.
        q: ``[N, K32]``; W4, W3 and W2: uint8 below ``2 ** bits``; W8 and V8: int8, -127 to 127;
            with a pattern int8, at most N of M inputs other than 0.
        c: float32 ``[N]``, each a non-negative bf16 value; ones for V8.
        s: ``[N, K32 / 32]`` for W4, W3 and W2, else None; uint8, with a pattern int8.
        m: int8 ``[N, K32 / 32]`` for W4, W3 and W2 without a pattern, else None.
        pattern: a name of `PATTERNS`.

    Raises:
        ValueError: An array has another shape, type or range, or more inputs than the pattern.
    """

    format: str
    shape: tuple[int, int]
    q: NDArray[np.uint8] | NDArray[np.int8]
    c: FloatArray
    s: NDArray[np.uint8] | NDArray[np.int8] | None = None
    m: NDArray[np.int8] | None = None
    pattern: str = DENSE.name

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {self.format}")
        if (self.format, self.pattern) not in WEIGHT_FORMATS:
            names = ", ".join(name for name in PATTERNS if (self.format, name) in WEIGHT_FORMATS)
            raise ValueError(f"pattern of {self.format} must be one of {names}, not {self.pattern}")
        fmt, rows, groups = self.layout, self.shape[0], self.groups
        dense = fmt.pattern is DENSE
        self._check("q", self.q, np.uint8 if fmt.excess else np.int8, (rows, groups * GROUP))
        self._check("c", self.c, np.float32, (rows,))
        if fmt.metas:
            self._check("s", self.s, np.uint8 if dense else np.int8, (rows, groups))
        elif self.s is not None:
            raise ValueError(f"s must be None for {self.format}")
        if fmt.metas and dense:
            self._check("m", self.m, np.int8, (rows, groups))
        elif self.m is not None:
            raise ValueError(f"m must be None for {self.format} {self.pattern}")
        if fmt.bits < 8 or not dense:
            self._check_values(fmt)

    def _check_values(self, fmt: WeightFormat) -> None:
        low = 0 if fmt.excess else -(1 << fmt.bits - 1)
        high = low + (1 << fmt.bits) - 1
        if self.q.size and not low <= int(self.q.min()) <= int(self.q.max()) <= high:
            found = f"{self.q.min()}..{self.q.max()}"
            raise ValueError(f"q of {self.format} must be {low}..{high}, not {found}")
        if fmt.pattern is DENSE:
            return
        most = np.count_nonzero(self.q.reshape(-1, fmt.pattern.of), axis=1).max(initial=0)
        if most > fmt.pattern.kept:
            limit = f"at most {fmt.pattern.kept} of {fmt.pattern.of} inputs other than 0"
            raise ValueError(f"q must have {limit}, not {most}")

    @property
    def layout(self) -> WeightFormat:
        """Its format in the weight stream."""
        return WEIGHT_FORMATS[self.format, self.pattern]

    def _check(self, name: str, array: NDArray | None, dtype: type, shape: tuple[int, ...]) -> None:
        found = "None" if array is None else f"{array.dtype} {array.shape}"
        if array is None or array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, not {found}")

    @property
    def groups(self) -> int:
        """Groups of 32 inputs in a row."""
        return -(-self.shape[1] // GROUP)

    def integers(self) -> NDArray[np.int16]:
        """The integer weights ``w`` of the contract, ``[N, K]``: what `c` multiplies."""
        if self.s is None:
            return self.q[:, : self.shape[1]].astype(np.int16)
        excess = np.int16(self.layout.excess)
        out = self.q.astype(np.int16).reshape(len(self.q), -1, GROUP) - excess
        out *= self.s[..., None].astype(np.int16)
        if self.m is not None:
            out += MIN_UNIT * self.m[..., None].astype(np.int16)
        return np.ascontiguousarray(out.reshape(len(self.q), -1)[:, : self.shape[1]])

    def dequantize(self) -> FloatArray:
        """The weights, float32 ``[N, K]``. The product with `c` is exact; overflow is clamped."""
        with np.errstate(over="ignore"):
            weights = self.integers().astype(np.float32)
            weights *= self.c[:, None]
        return np.clip(weights, -LARGEST, LARGEST, out=weights)


def quantize(weight: FloatArray, fmt: str) -> QuantizedMatrix:
    """The matrix of format `fmt` nearest to `weight`, in squares summed over each row's groups.

    Deterministic. Temporary memory beyond the result is a few megabytes.

    Args:
        weight: float32 ``[N, K]``, finite.
        fmt: a name of `MATRIX_FORMATS`: ``"W4"``, ``"W3 8:16"``. A pattern keeps the largest.

    Raises:
        ValueError: Another format, not two dimensions, or NaN or infinity in `weight`.
    """
    if fmt not in MATRIX_FORMATS:
        raise ValueError(f"fmt must be one of {', '.join(MATRIX_FORMATS)}, not {fmt}")
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"weight must have rows and inputs, not the shape {weight.shape}")
    if not np.isfinite(weight).all():
        raise ValueError("weight must be finite, not NaN or infinite")
    item = MATRIX_FORMATS[fmt]
    if item.pattern is not DENSE:
        weight = np.where(largest(np.abs(weight), item.pattern), weight, np.float32(0))
    if item.excess:
        return _with_mins(weight, item)
    return _with_scales(weight, item) if item.metas else _by_rows(weight, item)


def largest(measure: FloatArray, pattern: SparsityPattern) -> NDArray[np.bool_]:
    """Of every M inputs the N of the largest measure, of equals the first; bool ``[N, K]``."""
    rows, inputs = measure.shape
    short = -inputs % pattern.of
    runs = np.pad(measure, ((0, 0), (0, short)), constant_values=-1).reshape(rows, -1, pattern.of)
    chosen = np.argsort(-runs, axis=2, kind="stable")[..., : pattern.kept]
    kept = np.zeros(runs.shape, np.bool_)
    np.put_along_axis(kept, chosen, True, axis=2)
    return kept.reshape(rows, -1)[:, :inputs]


def _row_scale(need: FloatArray) -> FloatArray:
    """bf16 scales near `need`, none of them below the normal numbers but for rows of zeros."""
    return np.where(need > 0, np.maximum(round_bf16(need), np.float32(SMALLEST)), np.float32(0))


def _by_rows(weight: FloatArray, fmt: WeightFormat) -> QuantizedMatrix:
    """A row's largest weight becomes the largest integer."""
    rows, inputs = weight.shape
    q = np.zeros((rows, -(-inputs // GROUP) * GROUP), np.int8)
    c = np.zeros(rows, np.float32)
    step = max(1, _CHUNK // inputs)
    for first in range(0, rows, step):
        part = weight[first : first + step]
        scale = _row_scale(np.abs(part).max(axis=1) / np.float32(Q_MAX))
        c[first : first + step] = scale
        ratio = part / np.where(scale > 0, scale, np.float32(1))[:, None]
        q[first : first + step, :inputs] = np.clip(np.rint(ratio), -Q_MAX, Q_MAX)
    return QuantizedMatrix(fmt.name, (rows, inputs), q, c, pattern=fmt.pattern.name)


def _with_scales(weight: FloatArray, fmt: WeightFormat) -> QuantizedMatrix:
    """Signed scales: the levels reach furthest where the largest weight is.

    Of several scales near a group's largest weight the one that loses least.
    """
    rows, inputs = weight.shape
    groups, reach = -(-inputs // GROUP), 1 << fmt.bits - 1
    runs = np.pad(weight, ((0, 0), (0, groups * GROUP - inputs))).reshape(rows, groups, GROUP)
    peak = np.take_along_axis(runs, np.abs(runs).argmax(axis=2)[..., None], axis=2)[..., 0]
    c = _row_scale((np.abs(peak).max(axis=1) / np.float32(reach * _MOST_SCALE)).astype(np.float32))
    unit = np.where(c > 0, c, np.float32(1))[:, None]
    best = np.full((rows, groups), np.inf, np.float32)
    s, q = np.zeros((rows, groups), np.int8), np.zeros(runs.shape, np.int8)
    for share in _SHARES:
        wanted = np.rint(-peak / (unit * np.float32(reach * share)))
        scale = np.clip(wanted, -_MOST_SCALE, _MOST_SCALE)
        step = (np.where(scale == 0, np.float32(1), scale) * unit)[..., None]
        level = np.clip(np.rint(runs / step), -reach, reach - 1)
        error = np.square(level * (scale * unit)[..., None] - runs).sum(axis=2)
        better = error < best
        best = np.where(better, error, best)
        s[better], q[better] = scale[better].astype(np.int8), level[better].astype(np.int8)
    q = q.reshape(rows, -1)
    return QuantizedMatrix(fmt.name, (rows, inputs), q, c, s, pattern=fmt.pattern.name)


def _with_mins(weight: FloatArray, fmt: WeightFormat) -> QuantizedMatrix:
    rows, inputs = weight.shape
    groups = -(-inputs // GROUP)
    q = np.zeros((rows, groups * GROUP), np.uint8)
    s = np.ones((rows, groups), np.uint8)
    m = np.zeros((rows, groups), np.int8)
    c = np.zeros(rows, np.float32)
    fit_mins(fmt, weight, q, s, m, c)
    return QuantizedMatrix(fmt.name, (rows, inputs), q, c, s, m)
