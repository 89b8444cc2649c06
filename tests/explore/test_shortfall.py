"""Why points cannot be, in numbers."""

import pytest

from alula.cost import predict
from alula.design import DesignError, load_design
from alula.explore.limits import limited
from alula.explore.row import Row
from alula.explore.shortfall import Shortfall, of_design, of_fit
from alula.ir.shapes import SHAPES
from alula.mapper import DoesNotFit


def shortfall(changes: dict[str, object], base: str = "kv260") -> Shortfall:
    with pytest.raises(DesignError) as caught:
        load_design(base).replace(changes)
    return of_design(caught.value)


def test_of_several_numbers_the_worst_counts() -> None:
    found = shortfall({"buffers.stream_kib": 3000})
    assert (found.what, found.unit, found.bound) == ("buffers", "UltraRAM", 64)
    assert found.demand > 64
    assert found.gap == found.demand - 64
    assert found.remedy == "smaller buffers, or a larger part"


def test_too_few_is_short_as_well() -> None:
    changes = {"buffers.activation_kib": 1, "mpe.tokens": 32, "prefill_chunk": 32}
    found = shortfall(changes, "nano")
    assert (found.what, found.demand, found.bound, found.gap) == (
        "buffers.activation_kib",
        1,
        2,
        1,
    )
    assert found.line == (
        "buffers.activation_kib: 1 against 2, a gap of 1; "
        "buffers.activation_kib must be at least 2 (2 groups)"
    )


def test_what_is_no_number_has_no_gap() -> None:
    found = shortfall({"mpe.tokens": 3})
    assert (found.what, found.demand, found.gap) == ("mpe.tokens", "3", None)


def test_a_model_that_does_not_fit_names_the_field() -> None:
    design = load_design("tiny")
    with pytest.raises(DoesNotFit) as caught:
        predict(design, SHAPES["llama2-7b"], "decode", position=100)
    found = of_fit(caught.value, design)
    assert isinstance(found.demand, float)
    assert isinstance(found.bound, float)
    assert found.gap == found.demand - found.bound > 0
    assert "memory.capacity_mib at least " in found.remedy


def test_limits(small_sweep) -> None:
    limits = {"tokens_per_s": {"at_least": 10}, "lut": {"at_most": 100}, "watts": {"at_most": 5}}
    row = Row({}, tokens_per_s=9.0, lut=150.0, watts=5.0)
    found = limited(row, small_sweep(constraints=limits))
    assert found is not None
    assert (found.what, found.demand, found.bound, found.gap) == ("LUT", 150, 100, 50)
    assert (
        limited(Row({}, tokens_per_s=10.0, lut=1.0, watts=1.0), small_sweep(constraints=limits))
        is None
    )
    unknown = limited(Row({}, tokens_per_s=10.0, lut=1.0), small_sweep(constraints=limits))
    assert unknown is not None
    assert unknown.demand == "unknown"
