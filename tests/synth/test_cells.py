"""Cells counted as what a part has."""

import pytest

from alula.design import load_design
from alula.synth.cells import Use, use_of


def test_cells_of_both_families() -> None:
    cells = {"LUT6": 3, "INV": 1, "RAM32M16": 2, "FDRE": 7, "CARRY4": 9, "RAMB18E2": 3}
    assert use_of(cells | {"URAM288": 1}, "ultrascale+") == Use(20, 7, 0, 1.5, 1)
    cells = {
        "LUT4": 3,
        "CCU2C": 2,
        "TRELLIS_DPR16X4": 1,
        "TRELLIS_FF": 5,
        "DP16KD": 2,
        "PDPW16KD": 1,
    }
    assert use_of(cells | {"MULT18X18D": 4}, "ecp5") == Use(13, 5, 4, 1.5, 0)


def test_an_unknown_cell_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="LATCH"):
        use_of({"LATCH": 1}, "ecp5")


def test_shares_and_fit() -> None:
    part = load_design("tiny").part
    use = Use(lut=part.lut // 2, dsp=part.dsp)
    assert use.fits(part)
    assert use.shares(part) == {"lut": 0.5, "ff": 0, "dsp": 1, "bram36": 0}
    assert not (use + Use(dsp=1)).fits(part)
    assert not (use + Use(uram=1)).fits(part)
    assert use * 2 == Use(lut=part.lut, dsp=2 * part.dsp)
