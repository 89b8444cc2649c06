"""Energy: each coefficient has a source, and what has none has no energy."""

from typing import get_args

import pytest

from alula.cost.energy import JOULES_PER_BYTE, WATTS_PER_LUT, Basis, basis, chip_watts, energy
from alula.design import load_design


def test_every_coefficient_has_its_source_and_says_how_it_is_known() -> None:
    for one in (*JOULES_PER_BYTE.values(), *WATTS_PER_LUT.values()):
        assert one.value > 0
        assert one.basis in get_args(Basis)
        assert len(one.source) > 20


def test_what_is_assumed_makes_energy_assumed() -> None:
    """HBM2's coefficient is published, no chip's is."""
    assert JOULES_PER_BYTE["hbm2"].basis == "published"
    assert basis(load_design("u280")) == "assumed"


def test_memory_counts_by_the_byte_and_the_chip_by_the_second() -> None:
    design = load_design("kv260")
    one, twice = energy(design, 1e8, 0.005), energy(design, 2e8, 0.005)
    assert one is not None
    assert twice is not None
    assert twice.joules - one.joules == pytest.approx(1e8 * JOULES_PER_BYTE["ddr4"].value)
    assert one.chip == pytest.approx(0.005 * (chip_watts(design) or 0))
    assert one.watts == pytest.approx(one.joules / 0.005)


@pytest.mark.parametrize("name", ["tiny", "vhk158"])
def test_what_has_no_source_has_no_energy(name: str) -> None:
    assert energy(load_design(name), 1e8, 0.005) is None
    assert basis(load_design(name)) is None


def test_a_published_board_is_what_the_coefficients_were_taken_from() -> None:
    """6.21 W at 16.8 tokens/s and about 0.6 GB a token."""
    found = energy(load_design("kv260"), 0.6e9, 1 / 16.8)
    assert found is not None
    assert found.watts == pytest.approx(6.21, rel=0.02)
