"""Cells counted as what a part has."""

import re
from typing import get_args

import pytest

from alula.chips import FAMILIES, FamilyName, Use
from alula.design import load_design


def test_cells_of_both_families() -> None:
    cells = {"LUT6": 3, "INV": 1, "RAM32M16": 2, "FDRE": 7, "CARRY4": 9, "RAMB18E2": 3}
    assert FAMILIES["ultrascale+"].use_of(cells | {"URAM288": 1}) == Use(20, 7, 0, 1.5, 1)
    cells = {
        "LUT4": 3,
        "CCU2C": 2,
        "TRELLIS_DPR16X4": 1,
        "TRELLIS_FF": 5,
        "DP16KD": 2,
        "PDPW16KD": 1,
    }
    assert FAMILIES["ecp5"].use_of(cells | {"MULT18X18D": 4}) == Use(13, 5, 4, 1.5, 0)


def test_an_unknown_cell_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="LATCH"):
        FAMILIES["ecp5"].use_of({"LATCH": 1})


def test_shares_and_fit() -> None:
    part = load_design("tiny").part
    use = Use(lut=part.lut // 2, dsp=part.dsp)
    assert use.fits(part)
    assert use.shares(part) == {"lut": 0.5, "ff": 0, "dsp": 1, "bram36": 0}
    assert not (use + Use(dsp=1)).fits(part)
    assert not (use + Use(uram=1)).fits(part)
    assert use * 2 == Use(lut=part.lut, dsp=2 * part.dsp)


def test_families_have_the_names_that_designs_know() -> None:
    assert tuple(FAMILIES) == get_args(FamilyName)
    for family in FAMILIES.values():
        assert re.fullmatch(family.order_number, family.example, re.IGNORECASE)
