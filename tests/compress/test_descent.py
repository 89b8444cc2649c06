"""Codes that lose less than rounding does, in every format."""

import numpy as np
import pytest
import torch

from alula.compress import descent
from alula.compress.descent import loss, round_to_nearest, solve
from alula.isa.formats import DENSE, MATRIX_FORMATS, MIN_UNIT
from alula.quant import matrix, pack, unpack


def problem(rows: int, inputs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, and the moment of inputs that depend on each other."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(inputs, inputs)) / np.sqrt(inputs) + np.eye(inputs)
    x = random.normal(size=(4 * inputs, inputs)) * random.uniform(0.1, 3, inputs) @ mixing
    weight = random.normal(size=(rows, inputs)).astype(np.float32)
    return torch.from_numpy(weight), torch.from_numpy(x.T @ x)


@pytest.mark.parametrize("name", MATRIX_FORMATS)
def test_solved_codes_lose_less_than_rounded_ones(name: str) -> None:
    fmt = MATRIX_FORMATS[name]
    weight, moment = problem(24, 160, 1)
    rounded, solved = round_to_nearest(weight, fmt, moment), solve(weight, fmt, moment, sweeps=3)
    before, after = (loss(codes, weight, moment.float()) for codes in (rounded, solved))
    assert after.sum() < 0.8 * before.sum()
    assert (after < before).float().mean() > 0.9


@pytest.mark.parametrize("name", MATRIX_FORMATS)
@pytest.mark.parametrize("inputs", [64, 90])
def test_codes_are_matrices_of_the_format(name: str, inputs: int) -> None:
    fmt = MATRIX_FORMATS[name]
    codes = solve(*_arguments(fmt, inputs), sweeps=1)
    matrix = codes.matrix()
    np.testing.assert_allclose(matrix.dequantize(), codes.weights(), rtol=1e-6)
    again = unpack(pack(matrix, 1, 8), fmt.name, matrix.shape, 1, 8, fmt.pattern.name)
    np.testing.assert_array_equal(again.integers(), matrix.integers())
    if fmt.pattern is not DENSE:
        runs = np.pad(matrix.integers() != 0, ((0, 0), (0, -inputs % fmt.pattern.of)))
        assert runs.reshape(-1, fmt.pattern.of).sum(1).max() <= fmt.pattern.kept


def _arguments(fmt, inputs):
    weight, moment = problem(10, inputs, 2)
    return weight, fmt, moment


def test_each_sweep_loses_no_more() -> None:
    weight, moment = problem(16, 96, 3)
    losses = [
        float(loss(solve(weight, MATRIX_FORMATS["W3"], moment, n), weight, moment.float()).sum())
        for n in (0, 1, 2, 4)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_no_change_of_one_level_helps() -> None:
    """After enough sweeps the levels are a minimum among their neighbours."""
    weight, moment = problem(4, 64, 4)
    codes = solve(weight, MATRIX_FORMATS["W3"], moment, sweeps=40)
    moment = moment.float()
    moment.diagonal().add_(0.01 * moment.diagonal().mean())
    least = loss(codes, weight, moment)
    for k in range(64):
        for step in (-1, 1):
            old = codes.levels[:, k].clone()
            codes.levels[:, k] = (old + step).clamp(codes.low, codes.high)
            assert (loss(codes, weight, moment) >= least * (1 - 1e-4)).all()
            codes.levels[:, k] = old


def test_weights_follow_the_formula() -> None:
    weight, moment = problem(3, 64, 5)
    codes = solve(weight, MATRIX_FORMATS["W4"], moment, sweeps=1)
    n, k = 2, 40
    integer = codes.s[n, 1] * codes.levels[n, k] + MIN_UNIT * codes.m[n, 1]
    assert codes.weights()[n, k] == codes.c[n] * integer


@pytest.mark.parametrize("pattern", ["2:4", "2:16", "4:16", "8:16"])
def test_both_choose_the_same_largest(pattern: str) -> None:
    """The choice on tensors and that on arrays, of equals the first."""
    fmt = MATRIX_FORMATS[f"W4 {pattern}"]
    measure = np.random.default_rng(1).integers(0, 4, (40, 70)).astype(np.float32)
    found = descent.largest(torch.from_numpy(measure), fmt).numpy()
    assert np.array_equal(found, matrix.largest(measure, fmt.pattern))


@pytest.mark.parametrize(("pattern", "of", "kept"), [("2:4", 4, 2), ("4:16", 16, 4)])
def test_magnitudes_are_kept_as_torch_prunes(pattern: str, of: int, kept: int) -> None:
    """torch.ao.pruning is the oracle of what a pattern keeps by magnitude."""
    from torch.ao.pruning import WeightNormSparsifier

    layer = torch.nn.Linear(96, 20, bias=False)
    sparsifier = WeightNormSparsifier(1.0, (1, of), of - kept)
    sparsifier.prepare(layer, [{"tensor_fqn": "weight"}])
    sparsifier.step()
    mask = layer.parametrizations.weight[0].mask.bool()
    weight = layer.parametrizations.weight.original.detach()
    assert torch.equal(descent.largest(weight.abs(), MATRIX_FORMATS[f"W4 {pattern}"]), mask)


def test_wanda_keeps_as_torch_prunes() -> None:
    """By weight times the norm of its input, as the text has it (arXiv 2306.11695)."""
    from torch.ao.pruning import WeightNormSparsifier

    random = torch.Generator().manual_seed(6)
    x = torch.randn(50, 96, generator=random) * torch.rand(96, generator=random) * 4
    layer = torch.nn.Linear(96, 20, bias=False)
    weight = layer.weight.detach().clone()
    layer.weight.data *= x.norm(dim=0)
    sparsifier = WeightNormSparsifier(1.0, (1, 4), 2)
    sparsifier.prepare(layer, [{"tensor_fqn": "weight"}])
    sparsifier.step()
    wanted = layer.parametrizations.weight[0].mask.bool()
    found = round_to_nearest(weight, MATRIX_FORMATS["W8 2:4"], x.T @ x).kept
    assert found is not None
    assert torch.equal(found, wanted)
    assert not torch.equal(descent.largest(weight.abs(), MATRIX_FORMATS["W8 2:4"]), wanted)


@pytest.mark.parametrize("name", ["W2", "W3", "W4", "W8"])
def test_errors_are_made_up_for_as_in_optimal_brain_quantisation(name: str) -> None:
    """GPTQ's levels, by its definition: after each input the inverse loses a row and a column.

    No Cholesky factor and no runs, all in float64 (arXiv 2210.17323, equations 2 and 3).
    """
    weight, moment = problem(12, 80, 7)
    codes = solve(weight, MATRIX_FORMATS[name], moment, sweeps=0)
    damped = moment.double() + 0.01 * moment.diagonal().mean() * torch.eye(80)
    inverse, work = torch.linalg.inv(damped), weight.double() / codes.c[:, None].double()
    scale = codes.s.double().repeat_interleave(32, 1)[:, :80]
    offset = MIN_UNIT * codes.m.double().repeat_interleave(32, 1)[:, :80]
    for k in range(80):
        level = ((work[:, k] - offset[:, k]) / scale[:, k]).round().clamp(codes.low, codes.high)
        assert torch.equal(level.float(), codes.levels[:, k]), k
        error = work[:, k] - (level * scale[:, k] + offset[:, k])
        work -= torch.outer(error / inverse[k, k], inverse[k])
        inverse = inverse - torch.outer(inverse[:, k], inverse[k]) / inverse[k, k]
