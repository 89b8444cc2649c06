"""Formats by blocks of rows: the choice is the best there is, and what it is made on is right."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.compress import mixing
from alula.compress.calibration import Moments
from alula.compress.descent import loss, round_to_nearest, solve
from alula.compress.methods import row_losses
from alula.compress.mixing import check_limits, least, mixed
from alula.compress.recipe import MatrixChoice, Mix
from alula.design import DesignError
from alula.ir.bands import bands_of
from alula.isa.formats import MATRIX_FORMATS
from alula.mapper.traffic import matrix_bytes
from alula.quant import quantize

FORMATS = ["W4 4:16", "W4 8:16", "W4"]
SHAPE = FAMILIES["smollm"]


def mix(**fields: Any) -> Mix:
    return Mix(**({"formats": FORMATS, "keep": 0.5, "rows": 16, "bands": 6} | fields))


def bands_in(chosen: list[int]) -> int:
    return len(list(itertools.groupby(chosen)))


@given(st.data())
def test_the_choice_is_the_best_of_all(data: st.DataObject) -> None:
    blocks, formats = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    rows = st.lists(st.integers(1, 9), min_size=formats, max_size=formats)
    table = st.lists(rows, min_size=blocks, max_size=blocks)
    losses, sizes = np.array(data.draw(table), float), np.array(data.draw(table))
    most_bands, limit = data.draw(st.integers(1, blocks)), data.draw(st.integers(0, 45))
    every = [
        (sum(losses[block, one] for block, one in enumerate(found)), found)
        for found in itertools.product(range(formats), repeat=blocks)
        if sum(sizes[block, one] for block, one in enumerate(found)) <= limit
        and bands_in(list(found)) <= most_bands
    ]
    if not every:
        with pytest.raises(ValueError, match="limit must be at least that of the smallest"):
            least(losses, sizes, limit, most_bands)
        return
    found = least(losses, sizes, limit, most_bands)
    assert (sum(losses[block, one] for block, one in enumerate(found)), tuple(found)) in every
    assert sum(losses[block, one] for block, one in enumerate(found)) == min(every)[0]


def test_large_sizes_are_rounded_up_to_what_is_told_apart() -> None:
    sizes = np.array([[3, 1 << 20], [5, 1 << 20], [7, (1 << 20) + 1]])
    losses = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    assert least(losses, sizes, 2 * (1 << 20) + 1000, 3) == [1, 1, 0]
    assert least(losses, sizes, 1 << 20, 3) == [0, 0, 0]


@pytest.mark.parametrize("fmt", ["W4", "W3 8:16"])
def test_methods_count_as_they_choose(fmt: str) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(6, 64, generator=generator)
    inputs = torch.randn(500, 64, generator=generator) * torch.arange(1, 65)
    moment, item = (inputs.T @ inputs).double(), MATRIX_FORMATS[fmt]
    error = weight - torch.from_numpy(quantize(weight.numpy(), fmt).dequantize())
    found, whole = row_losses("magnitude", weight, item, None)
    torch.testing.assert_close(found, error.square().sum(1))
    torch.testing.assert_close(whole, weight.square().sum(1))
    found, whole = row_losses("descent", weight, item, Moments(moment, moment))
    codes = solve(weight, item, moment, 0)
    torch.testing.assert_close(found, loss(codes, weight, moment.float()), rtol=1e-3, atol=0)
    torch.testing.assert_close(whole, ((weight @ moment.float()) * weight).sum(1))
    found, whole = row_losses("wanda", weight, item, Moments(moment, moment))
    norms = moment.diagonal().float()
    error = weight - round_to_nearest(weight, item, moment.float()).weights()
    torch.testing.assert_close(found, (error.square() * norms).sum(1))
    torch.testing.assert_close(whole, (weight.square() * norms).sum(1))


class Skewed(RandomCheckpoint):
    """Some rows are larger by far, in each layer other ones."""

    def tensor(self, name: str) -> np.ndarray:
        values = super().tensor(name).copy()
        if name.endswith("mlp.up.weight"):
            first = 16 + 32 * int(name.split(".")[1])
            values[first : first + 16] *= 8
        return values


def chosen(choice: Mix, method: str = "magnitude", **options: Any) -> Mapping[str, MatrixChoice]:
    names = [f"layers.{layer}.mlp.up" for layer in range(2)]
    choices = {name: MatrixChoice(FORMATS[0], method, choice) for name in names}
    choices["layers.0.attn.q"] = MatrixChoice("W3", "nearest")
    found = mixed(Skewed(SHAPE), choices, [[3, 5, 7, 11, 2, 9]] * 8, **options)
    assert found["layers.0.attn.q"] == MatrixChoice("W3", "nearest")
    assert found[names[0]].mix is None
    assert found[names[0]].method == method
    return found


@pytest.mark.parametrize("method", ["magnitude", "wanda", "compensate", "descent"])
def test_rows_that_matter_keep_more(method: str) -> None:
    found = chosen(mix(layers=1), method)
    for layer in range(2):
        bands = bands_of(found[f"layers.{layer}.mlp.up"].format, 96)
        by_row = [band.format.title for band in bands for _ in range(band.rows)]
        first = 16 + 32 * layer
        assert set(by_row[first : first + 16]) == {"W4"}
        kept = sum(band.rows / band.format.pattern.segments for band in bands)
        assert 0.4 * 96 < kept <= 0.5 * 96


class Read(RandomCheckpoint):
    """Some channels of the MLPs are read with larger weights."""

    def tensor(self, name: str) -> np.ndarray:
        values = super().tensor(name).copy()
        if name.endswith("mlp.down.weight"):
            values[:, 32:48] *= 8
        return values


@pytest.mark.parametrize("method", ["wanda", "compensate"])
def test_channels_count_by_what_they_give(method: str) -> None:
    choices = {
        f"layers.0.mlp.{kind}": MatrixChoice(FORMATS[0], method, mix()) for kind in ("gate", "up")
    }
    for choice in mixed(Read(SHAPE), choices, [[3, 5, 7, 11, 2, 9]] * 8).values():
        bands = bands_of(choice.format, 96)
        by_row = [band.format.title for band in bands for _ in range(band.rows)]
        assert set(by_row[32:48]) == {"W4"}


def test_layers_that_are_alike_have_the_same_bands() -> None:
    one, other = (chosen(mix())[f"layers.{layer}.mlp.up"].format for layer in range(2))
    assert one == other
    by_row = [band.format.title for band in bands_of(one, 96) for _ in range(band.rows)]
    assert set(by_row[16:32]) == set(by_row[48:64]) == {"W4"}
    apart = chosen(mix(layers=1))
    assert apart["layers.0.mlp.up"].format != apart["layers.1.mlp.up"].format


def test_bands_are_no_more_than_asked_for() -> None:
    for most in range(2, 6):
        found = chosen(mix(layers=1, bands=most))
        assert len(bands_of(found["layers.0.mlp.up"].format, 96)) <= most


@pytest.mark.parametrize("bits", [2.6, 3.0, 4.0, 9.0])
def test_bits_of_memory_are_kept(bits: float) -> None:
    found = chosen(mix(keep=None, stored_bits=bits, formats=["W2", "W3 4:16", "W4", "W8"]))
    bands = bands_of(found["layers.0.mlp.up"].format, 96)
    size = sum(matrix_bytes(band.format, band.rows, 64) for band in bands)
    assert bits - 1 < 8 * size / (96 * 64) <= bits
    low = {"layers.0.mlp.up": MatrixChoice("W2", "magnitude", mix(keep=None, stored_bits=1.0))}
    with pytest.raises(DesignError) as caught:
        check_limits(SHAPE, low, "x.yaml")
    assert str(caught.value) == (
        "must be at least 2.5 for layers.0.mlp.up, as the smallest of the formats has, not 1 "
        "(x.yaml: stored_bits)"
    )


def test_what_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[mixing.Losses] = []
    first = chosen(mix(), keep=lambda found: kept.append(dict(found)))
    assert [len(found) for found in kept] == [2, 2]
    with monkeypatch.context() as patch:
        patch.delattr(mixing, "row_losses")
        assert chosen(mix(), known=kept[-1]) == first
        assert chosen(mix(keep=0.6), known=kept[-1]) != first
        with pytest.raises(NameError):
            chosen(mix(formats=[*FORMATS, "W3"]), known=kept[-1])


def test_a_matrix_shorter_than_a_block() -> None:
    found = chosen(mix(rows=128))["layers.0.mlp.up"]
    assert found == replace(found, format="W4 8:16")
