"""Errors made up for as others do it: a library's GPTQ, and plain least squares.

neural-compressor is the oracle of levels; it gets our grid of scales and mins, the rest is its own.
No library that has SparseGPT installs beside this transformers, so what patterns keep is compared
with numpy's solutions of the least-squares problems behind it: what is best for the inputs that
follow, given those that are fixed.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from neural_compressor.torch.algorithms.weight_only import gptq
from tests.compress.test_descent import problem

from alula.compress import descent
from alula.compress.descent import DAMPING, solve
from alula.compress.grid import Codes
from alula.design import GROUP
from alula.isa.formats import MATRIX_FORMATS, MIN_UNIT


class OurGrid(gptq.Quantizer):
    """The library's quantiser with the scales and mins of codes, a group after the other."""

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.maxq, self.scale, self._codes = 0, torch.ones(1), codes
        self._groups = self._grids()

    def find_params(self, x: torch.Tensor, weight: bool = False) -> None:
        self.scale, self.zero = next(self._groups)

    def quantize(
        self, x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, maxq: int
    ) -> torch.Tensor:
        level = ((x - zero) / scale).round().clamp(self._codes.low, self._codes.high)
        return level * scale + zero

    def _grids(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        c = self._codes.c[:, None]
        for s, m in zip(self._codes.s.T, self._codes.m.T, strict=True):
            yield c * s[:, None], c * MIN_UNIT * m[:, None]


@pytest.mark.parametrize("inputs", [96, 150])
@pytest.mark.parametrize("name", ["W2", "W3", "W4", "W8"])
def test_levels_are_those_of_a_library(
    name: str, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It looks for layers of transformers if that is imported by now, which it need not be.
    monkeypatch.setattr(gptq, "is_transformers_imported", lambda: False)
    weight, moment = problem(24, inputs, 8)
    codes = solve(weight, MATRIX_FORMATS[name], moment, sweeps=0)
    library = gptq.GPTQ(torch.nn.Linear(inputs, 24), weight)
    library.H, library.quantizer = moment.float(), OurGrid(codes)
    found = library.fasterquant(weight.clone(), blocksize=64, percdamp=DAMPING, groupsize=GROUP)[3]
    step = (codes.c[:, None] * codes.s).repeat_interleave(GROUP, 1)[:, :inputs]
    assert ((found - codes.weights()).abs() < 1e-3 * step.abs()).all()
    nearest = descent.round_to_nearest(weight, MATRIX_FORMATS[name])
    assert (nearest.levels != codes.levels).float().mean() > 0.05


def root(moment: torch.Tensor) -> np.ndarray:
    """A square matrix whose columns have the damped moment's products with each other."""
    wide = moment.double().numpy()
    damped = wide + DAMPING * wide.diagonal().mean() * np.eye(len(wide))
    return np.linalg.cholesky(damped).T


def least_squares(matrix: np.ndarray, goal: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(matrix, goal)[0]


@pytest.mark.parametrize("pattern", ["2:4", "2:16", "4:16", "8:16"])
def test_a_pattern_keeps_what_is_dearest_to_lose(pattern: str) -> None:
    """A weight's price is what its loss adds to the error when those that follow do their best."""
    fmt = MATRIX_FORMATS[f"W4 {pattern}"]
    weight, moment = problem(12, 72, 9)
    columns, goal = root(moment), root(moment) @ weight.double().numpy().T
    work, wanted = weight.double().numpy().T.copy(), np.ones((72, 12), bool)
    for begin in range(0, 72, fmt.pattern.of):
        run = range(begin, min(begin + fmt.pattern.of, 72))
        alone = [
            columns[:, k] - columns[:, k + 1 :] @ least_squares(columns[:, k + 1 :], columns[:, k])
            for k in run
        ]
        price = np.abs(work[run]) * np.linalg.norm(alone, axis=1)[:, None]
        order = np.argsort(-price, axis=0)[fmt.pattern.kept :]
        np.put_along_axis(wanted[begin : run.stop], order, False, axis=0)
        for k in run:
            work[k] *= wanted[k]
            rest = goal - columns[:, : k + 1] @ work[: k + 1]
            work[k + 1 :] = least_squares(columns[:, k + 1 :], rest)
    kept = solve(weight, fmt, moment, sweeps=0).kept
    assert kept is not None
    assert np.array_equal(kept.numpy(), wanted.T)
    assert not torch.equal(kept, descent.largest(weight.abs(), fmt))


@pytest.mark.parametrize("pattern", ["2:4", "4:16"])
def test_what_is_kept_makes_up_for_the_rest(pattern: str) -> None:
    fmt = MATRIX_FORMATS[f"W8 {pattern}"]
    weight, moment = problem(8, 64, 10)
    columns = root(moment)
    kept = descent.largest(weight.abs(), fmt)
    damped = torch.from_numpy(columns.T @ columns).float()
    found = descent._compensated(weight, kept, damped)
    for row, mask, one in zip(weight, kept.numpy(), found.numpy(), strict=True):
        wanted = least_squares(columns[:, mask], columns @ row.double().numpy())
        np.testing.assert_allclose(one[mask], wanted, rtol=1e-3, atol=1e-3)
        assert not one[~mask].any()
