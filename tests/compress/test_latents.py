"""Latent values: they round to the codes that they came from, and their gradients are LSQ's."""

import numpy as np
import pytest
import torch
from tests.compress.test_descent import problem

from alula.compress.descent import solve
from alula.compress.grid import Codes, matrix_name, named_codes
from alula.compress.latents import Latents
from alula.ir.bands import bands_of
from alula.isa.formats import DENSE, MATRIX_FORMATS, MIN_UNIT
from alula.quant import quantize
from alula.quant.banded import joined, matrix_title, quantize_bands


def latents(name: str, folded: float = 1.0, inputs: int = 90) -> tuple[Latents, Codes]:
    """Those of one matrix `m`, whose last group is not full."""
    weight, moment = problem(6, inputs, 1)
    codes = solve(weight, MATRIX_FORMATS[name], moment, 1)
    return Latents({"m": codes}, {"m": weight / folded}, {"m": folded}, torch.float32), codes


@pytest.mark.parametrize("name", MATRIX_FORMATS)
def test_they_start_as_the_codes(name: str) -> None:
    found, codes = latents(name, folded=0.5)
    again = found.codes()["m"]
    for part in ("levels", "c", "s", "m"):
        torch.testing.assert_close(getattr(again, part), getattr(codes, part), rtol=0, atol=0)
    torch.testing.assert_close(found.weights["m"].detach(), codes.weights() / 0.5)


def test_bands_are_one_matrix_to_the_model() -> None:
    """Its rows in order, with the gradients of each band's rows; patterns choose anew in theirs."""
    weight, _ = problem(12, 96, 1)
    title = "W4 4:16 x 4 + W3 x 3 + W2 8:16 x 5"
    matrix = quantize_bands(weight.numpy(), bands_of(title, 12))
    codes = named_codes("m", matrix, weight)
    assert list(codes) == ["m@0", "m@1", "m@2"]
    assert {matrix_name(name) for name in codes} == {"m"}
    other = Codes.of(quantize(weight[:2].numpy(), "W3"), weight[:2])
    dense = dict(zip(codes, weight.split([4, 3, 5]), strict=True)) | {"other": weight[:2]}
    found = Latents({**codes, "other": other}, dense, {}, torch.float32)
    assert list(found.weights) == ["m", "other"]
    torch.testing.assert_close(
        found.weights["m"].detach(), torch.from_numpy(matrix.dequantize()), rtol=1e-6, atol=0
    )
    (found.weights["m"][5].sum() + found.weights["other"][1].sum()).backward()
    found.backward()
    gradient = found.parameters["weights"].grad
    assert gradient is not None
    rows = gradient.unflatten(0, (14, -1)).abs().sum((1, 2))
    assert (rows > 0).nonzero().flatten().tolist() == [5, 13]
    again = joined(found.codes()[part].matrix() for part in codes)
    assert matrix_title(again) == title
    np.testing.assert_array_equal(again.integers(), matrix.integers())


@pytest.mark.parametrize("name", MATRIX_FORMATS)
def test_gradients_pass_through_the_rounding(name: str) -> None:
    """As torch finds them where each rounding is written as a difference without a gradient."""
    found, codes = latents(name)
    generator = torch.Generator().manual_seed(3)
    for values in found.parameters.values():
        values += 0.05 * torch.randn(values.shape, generator=generator)
    found.quantise()
    wanted = torch.randn(codes.levels.shape, generator=generator)
    assert found.weights["m"].grad is not None
    found.weights["m"].grad += wanted
    found.backward()
    leaves = {key: value.clone().requires_grad_() for key, value in found.parameters.items()}
    (_plain(leaves, codes) * wanted).sum().backward()
    for key, leaf in leaves.items():
        ours = found.parameters[key].grad
        assert ours is not None
        expected = torch.zeros_like(ours) if leaf.grad is None else leaf.grad
        kept = _grouped(torch.ones_like(codes.levels) if codes.kept is None else codes.kept * 1.0)
        counted = kept if key == "weights" else torch.ones_like(ours)
        torch.testing.assert_close(ours * counted, expected * counted, rtol=1e-4, atol=1e-5)
        if not (key == "scales" and not codes.format.metas) and not (
            key == "mins" and not codes.has_mins
        ):
            assert ours.abs().max() > 0


def _plain(leaves: dict[str, torch.Tensor], codes: Codes) -> torch.Tensor:
    """The weights, so that torch finds the gradients."""
    s0, m0 = codes.s.reshape(-1, 1), codes.m.reshape(-1, 1)
    scale = s0 * leaves["scales"] if codes.format.metas else s0
    most = 255 if codes.has_mins else 127
    s = scale + (scale.sign() * scale.abs().round().clamp(1, most) - scale).detach()
    offset = m0 + leaves["mins"] * s0 / MIN_UNIT if codes.has_mins else m0
    m = offset + (offset.round().clamp(-128, 127) - offset).detach()
    real = (leaves["weights"] * s0 - MIN_UNIT * m) / s
    # Beyond the outermost levels' own ranges there is no gradient.
    bounded = real.clamp(codes.low - 0.5, codes.high + 0.5)
    level = bounded + (bounded.round().clamp(codes.low, codes.high) - bounded).detach()
    value = (s * level + MIN_UNIT * m).view(len(codes.levels), -1)[:, : codes.levels.shape[1]]
    kept = 1.0 if codes.kept is None else codes.kept
    return value * kept * codes.c[:, None]


def _grouped(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, -values.shape[1] % 32)).view(-1, 32)


@pytest.mark.parametrize(
    "name", [name for name, fmt in MATRIX_FORMATS.items() if fmt.pattern is not DENSE]
)
def test_what_grows_is_kept_and_what_decays_is_not(name: str) -> None:
    found, codes = latents(name, inputs=96)
    assert codes.kept is not None
    lost = found.codes()["m"].kept
    assert found.select() == 0, "what is kept at the start is the largest"
    place = tuple((~codes.kept).nonzero()[0].tolist())
    found._view(found.parameters["weights"], "m")[place] = 100.0
    assert found.select() == 1
    kept = found.codes()["m"].kept
    assert kept is not None
    assert kept[place]
    assert lost is not None
    assert kept.sum() == codes.kept.sum()
    for _ in range(40):
        found.decay(0.5)
    assert found._view(found.parameters["weights"], "m")[~kept].abs().max() < 1e-9


def test_a_state_comes_back() -> None:
    found, _ = latents("W3 8:16")
    state = {key: value.clone() for key, value in found.state().items()}
    found.parameters["weights"] += 2
    found.select()
    found.restore(state)
    for key, value in found.state().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)
