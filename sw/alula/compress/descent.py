"""Codes that lose least of a matrix's output on calibration data: ``tr((W - V) H (W - V)^T)``.

`H` is the second moment of the matrix's inputs. Levels are first chosen input by input, the error
of each made up for by those that follow (GPTQ: Frantar et al., arXiv 2210.17323; with a pattern as
SparseGPT, arXiv 2301.00774, chooses its masks). Then they are improved one at a time, each to the
best for all others (cyclic coordinate descent), in turn with scales and mins, which have a closed
form for given levels.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alula.compress import runs, runs_gpu
from alula.compress.grid import Codes, first_codes, grouped, joined
from alula.design import GROUP
from alula.isa.formats import DENSE, MIN_UNIT, SCALE_MAX, WeightFormat

DAMPING = 0.01
"""Share of the mean of H's diagonal that is added to it."""
SWEEPS = 8
"""Rounds of levels, then scales and mins."""
SCALE_MAX_SIGNED = 127
"""Largest magnitude of a signed scale, and of a min but for the least one."""
_ROWS = 64
"""Rows that a thread solves at a time."""


@dataclass(frozen=True)
class Curvature:
    """The second moment of matrices' inputs as they are solved with.

    Attributes:
        moment: damped, float32 ``[K, K]``.
        factor: upper U with ``U^T U`` its inverse.
    """

    moment: Tensor
    factor: Tensor

    @classmethod
    def of(cls, moment: Tensor) -> "Curvature":
        """That of a moment ``[K, K]``, positive semidefinite."""
        damped = _damped(moment)
        return cls(damped, _inverse_factor(damped))


def loss(codes: Codes, weight: Tensor, moment: Tensor) -> Tensor:
    """Squared error of each row's output, ``[N]``."""
    error = weight - codes.weights()
    return ((error @ moment) * error).sum(1)


def round_to_nearest(weight: Tensor, fmt: WeightFormat, moment: Tensor | None = None) -> Codes:
    """Codes without error compensation; a pattern keeps the largest.

    With `moment` a weight counts as in Wanda (arXiv 2306.11695): times its input's norm.
    """
    importance = weight.new_ones(weight.shape[1]) if moment is None else moment.diagonal()
    kept = None
    if fmt.pattern is not DENSE:
        kept = largest(weight.abs() * importance.sqrt(), fmt)
    return first_codes(weight, fmt, importance, kept)


def solve(
    weight: Tensor, fmt: WeightFormat, moment: Tensor | Curvature, sweeps: int = SWEEPS
) -> Codes:
    """The codes of a matrix for inputs of a second moment.

    Args:
        weight: float32 ``[N, K]``.
        fmt: the format.
        moment: ``[K, K]``, positive semidefinite; as a curvature where several are solved with it.
        sweeps: rounds of coordinate descent after the first pass.

    It is done where `moment` is; on the CPU by all processors.
    """
    curvature = Curvature.of(moment) if isinstance(moment, Tensor) else moment
    weight = weight.to(curvature.moment.device)
    if weight.is_cuda:
        return _solve(weight, fmt, curvature, sweeps)
    # Rows are independent of each other: each processor takes some.
    with ThreadPoolExecutor(os.cpu_count(), "solve", torch.set_num_threads, (1,)) as pool:
        solved = pool.map(lambda rows: _solve(rows, fmt, curvature, sweeps), weight.split(_ROWS))
        return joined(list(solved))


def _solve(weight: Tensor, fmt: WeightFormat, curvature: Curvature, sweeps: int) -> Codes:
    """The codes of some rows."""
    moment, factor = curvature.moment, curvature.factor
    kept, near = None, weight
    if fmt.pattern is not DENSE:
        kept = _pruned(weight, fmt, factor)
        near = _compensated(weight, kept, moment)
    codes = first_codes(near, fmt, moment.diagonal(), kept)
    _compensate(codes, near, factor)
    best, error = _copy(codes), loss(codes, weight, moment)
    for _ in range(sweeps):
        if fmt.metas:
            _refit(codes, weight, moment)
        _descend(codes, weight, moment)
        now = loss(codes, weight, moment)
        _keep(best, codes, now < error)
        error = torch.minimum(now, error)
    return best


def largest(measure: Tensor, fmt: WeightFormat) -> Tensor:
    """Of every M inputs the N largest, of equals the first; bool ``[N, K]``, on any device.

    As `alula.quant.matrix.largest` chooses, which wants no torch.
    """
    pattern, inputs = fmt.pattern, measure.shape[1]
    padded = torch.nn.functional.pad(measure, (0, -inputs % pattern.of), value=-1.0)
    runs = padded.unflatten(1, (-1, pattern.of))
    chosen = runs.sort(dim=2, descending=True, stable=True).indices[..., : pattern.kept]
    kept = torch.zeros_like(runs, dtype=torch.bool).scatter_(2, chosen, True)
    return kept.flatten(1)[:, :inputs]


def _damped(moment: Tensor) -> Tensor:
    moment = moment.float().clone()
    mean = moment.diagonal().mean().clamp(min=1e-12)
    moment.diagonal().add_(DAMPING * mean)
    return moment


def _inverse_factor(moment: Tensor) -> Tensor:
    """Upper U with ``U^T U`` the inverse of `moment`."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moment.double()))
    return torch.linalg.cholesky(inverse, upper=True).float()


def _pruned(weight: Tensor, fmt: WeightFormat, factor: Tensor) -> Tensor:
    """Which weights a pattern keeps, each run of M chosen when its inputs' turn comes."""
    work, kept = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    for run in _runs(weight, fmt.pattern.of):
        errors = torch.empty_like(work[:, run])
        run_of, run_factor, run_kept, lost = _arrays(
            work[:, run].clone(), factor[run, run], kept[:, run], errors
        )
        _kernels(weight).prune(run_of, run_factor, fmt.pattern.kept, run_kept, lost)
        work[:, run.stop :] -= errors @ factor[run, run.stop :]
    return kept


def _compensated(weight: Tensor, kept: Tensor, moment: Tensor) -> Tensor:
    """The kept weights that lose least without the others, by conjugate gradients row by row."""
    x = weight * kept
    residual = ((weight - x) @ moment) * kept
    direction = residual.clone()
    old = residual.square().sum(1)
    for _ in range(2 * GROUP):
        curved = (direction @ moment) * kept
        step = old / (direction * curved).sum(1).clamp(min=1e-20)
        x += step[:, None] * direction
        residual -= step[:, None] * curved
        new = residual.square().sum(1)
        direction = residual + (new / old.clamp(min=1e-20))[:, None] * direction
        old = new
    return x


def _compensate(codes: Codes, weight: Tensor, factor: Tensor) -> None:
    """Levels input by input; what rounding loses is taken up by the inputs that follow."""
    work = weight / codes.c[:, None]
    for group, run in enumerate(_runs(weight, GROUP)):
        s, offset = codes.s[:, group], MIN_UNIT * codes.m[:, group]
        errors = torch.empty_like(work[:, run])
        _kernels(weight).compensate(
            *_arrays(work[:, run].clone(), s, offset, factor[run, run]),
            *_limits(codes, run),
            *_arrays(codes.levels[:, run], errors),
        )
        work[:, run.stop :] -= errors @ factor[run, run.stop :]


def _descend(codes: Codes, weight: Tensor, moment: Tensor) -> None:
    """One sweep over the inputs: each level becomes the best for all the others."""
    gradient = (weight / codes.c[:, None] - codes.integers()) @ moment
    for group, run in enumerate(_runs(weight, GROUP)):
        change = torch.empty_like(gradient[:, run])
        _kernels(weight).descend(
            *_arrays(gradient[:, run].clone(), codes.s[:, group], moment[run, run]),
            *_limits(codes, run),
            *_arrays(codes.levels[:, run], change),
        )
        gradient -= change @ moment[run]


def _runs(weight: Tensor, length: int) -> Iterator[slice]:
    """The inputs of a matrix in runs of a length."""
    inputs = weight.shape[1]
    return (slice(first, min(first + length, inputs)) for first in range(0, inputs, length))


def _kernels(weight: Tensor) -> Any:
    return runs_gpu if weight.is_cuda else runs


def _arrays(*tensors: Tensor) -> Any:
    """What the kernels take: tensors on a GPU, else arrays of the same memory."""
    return tensors if tensors[0].is_cuda else tuple(tensor.numpy() for tensor in tensors)


def _limits(codes: Codes, run: slice) -> Any:
    """Which weights of a run are kept, and the range of their levels."""
    kept = (
        torch.ones_like(codes.levels[:, run], dtype=torch.bool)
        if codes.kept is None
        else codes.kept[:, run]
    )
    return *_arrays(kept), np.float32(codes.low), np.float32(codes.high)


def _refit(codes: Codes, weight: Tensor, moment: Tensor) -> None:
    """Scales and mins that lose least for the levels as they are; a row keeps its own if better."""
    before = loss(codes, weight, moment)
    old = codes.s, codes.m, codes.levels
    s, m = _best_metas(codes, weight / codes.c[:, None], moment)
    if codes.has_mins:
        codes.s = s.round_().clamp_(1, SCALE_MAX)
        codes.m = m.round_().clamp_(-SCALE_MAX_SIGNED - 1, SCALE_MAX_SIGNED)
    else:
        codes.s = s.round_().clamp_(-SCALE_MAX_SIGNED, SCALE_MAX_SIGNED)
    worse = (loss(codes, weight, moment) > before)[:, None]
    codes.s, codes.m = torch.where(worse, old[0], codes.s), torch.where(worse, old[1], codes.m)


def _best_metas(codes: Codes, weight: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
    """Real scales and mins, each ``[N, G]``, that solve the normal equations of every row."""
    rows, groups = codes.s.shape
    inputs = weight.shape[1]
    padding = groups * GROUP - inputs
    padded = torch.nn.functional.pad(moment, (0, padding, 0, padding))
    by_group = padded.view(groups, GROUP, -1)
    s, m = torch.empty_like(codes.s), codes.m.clone()
    step = max(1, (1 << 26) // (groups * padded.shape[0]))
    ones = by_group.sum(1)
    for first in range(0, rows, step):
        part = slice(first, first + step)
        levels = grouped(codes.levels[part])
        target = torch.nn.functional.pad(weight[part], (0, padding))
        mixed = torch.einsum("ngj,gjk->ngk", levels, by_group)
        flat = levels.flatten(1)
        scale_scale = (mixed * flat[:, None]).unflatten(2, (groups, GROUP)).sum(3)
        scale_goal = torch.einsum("ngk,nk->ng", mixed, target)
        if not codes.has_mins:
            s[part] = _solved(scale_scale, scale_goal)
            continue
        scale_min = mixed.unflatten(2, (groups, GROUP)).sum(3)
        min_min = ones.unflatten(1, (groups, GROUP)).sum(2).expand(len(levels), -1, -1)
        min_goal = target @ ones.T
        top = torch.cat((scale_scale, scale_min), 2)
        bottom = torch.cat((scale_min.mT, min_min), 2)
        found = _solved(torch.cat((top, bottom), 1), torch.cat((scale_goal, min_goal), 1))
        s[part], m[part] = found[:, :groups], found[:, groups:] / MIN_UNIT
    return s, m


def _solved(equations: Tensor, goal: Tensor) -> Tensor:
    equations = equations.double()
    diagonal = equations.diagonal(dim1=-2, dim2=-1)
    diagonal += 1e-6 * diagonal.mean(-1, keepdim=True) + 1e-12
    return torch.linalg.solve(equations, goal.double()).to(goal)


def _copy(codes: Codes) -> Codes:
    return Codes(
        codes.format, codes.levels.clone(), codes.c, codes.s.clone(), codes.m.clone(), codes.kept
    )


def _keep(best: Codes, codes: Codes, better: Tensor) -> None:
    """Take over the rows that are better."""
    rows = better[:, None]
    best.levels = torch.where(rows, codes.levels, best.levels)
    best.s = torch.where(rows, codes.s, best.s)
    best.m = torch.where(rows, codes.m, best.m)
