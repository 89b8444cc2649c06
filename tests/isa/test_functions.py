"""The SFU's tables: accurate, in range, monotonic, and pinned to the last bit."""

import hashlib
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from alula.isa.functions import (
    EXP2,
    FUNCTIONS,
    LOOKED_UP,
    PHI,
    PHI_TANH,
    RECIP,
    RSQRT,
    SIGMOID,
    SOFTCAP,
    TABLES,
    Table,
)
from alula.isa.instructions import BY_NAME

EACH = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)

REFERENCES = {
    "EXP2": lambda x: math.pow(2.0, x),
    "SIGMOID": lambda x: 0.5 + 0.5 * math.tanh(x / 2),
    "PHI": lambda x: 1 - 0.5 * math.erfc(x / math.sqrt(2)),
    "PHI_TANH": lambda x: 1 / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "RECIP": lambda x: float(1 / Fraction(x)),
    "RSQRT": lambda x: math.pow(x, -0.5),
}
"""The functions in other words than the tables'."""


def arguments(table: Table, points: int) -> list[int]:
    """Fixed-point arguments: `points` in each segment and the last one of each."""
    size = 1 << table.step_bits
    inside = [*range(0, size, size // points), size - 1]
    return [index * size + rest for index in range(table.segments) for rest in inside]


def segments(table: Table) -> Iterator[np.ndarray]:
    """The table at every argument, a segment at a time."""
    rest = np.arange(1 << table.step_bits, dtype=np.int64)
    for c0, c1 in zip(*table.coefficients, strict=True):
        yield c0 + (c1 * rest >> table.step_bits)


@EACH
def test_the_interpolation_is_as_close_as_declared(table):
    reference = REFERENCES[table.name]
    scale = (table.high - table.low) / (table.segments << table.step_bits)
    worst = max(
        abs(table(u) / (1 << table.fraction_bits) - reference(table.low + u * scale))
        for u in arguments(table, 16)
    )
    assert 0.9 * table.error < worst <= table.error


@EACH
def test_the_argument_covers_the_range_in_steps_of_a_power_of_two(table):
    width = (table.high - table.low) / table.segments
    step = width / (1 << table.step_bits)
    assert step == 2.0 ** round(math.log2(step))
    assert {"EXP2": 17, "SIGMOID": 15, "PHI": 16, "PHI_TANH": 16, "RECIP": 23, "RSQRT": 23}[
        table.name
    ] == -math.log2(step)


@pytest.mark.parametrize(
    ("table", "c0", "c1"),
    [
        (EXP2, (8388608, 16686579), (45549, 90607)),
        (SIGMOID, (8388610, 16777214), (0, 131061)),
        (PHI, (8388609, 16777216), (0, 104576)),
        (PHI_TANH, (8388609, 16777216), (0, 104576)),
        (RECIP, (8405020, 16777184), (-65281, -16416)),
        (RSQRT, (8396811, 16777168), (-65154, -8204)),
    ],
    ids=lambda part: part.name if isinstance(part, Table) else "",
)
def test_coefficients_fit_the_gatewares_rom(table, c0, c1):
    """25 bits of c0, 18 signed bits of c1: a row of the ROM and one port of a DSP slice."""
    bases, slopes = table.coefficients
    assert len(bases) == len(slopes) == table.segments
    assert (min(bases), max(bases)) == c0
    assert (min(slopes), max(slopes)) == c1
    assert min(bases) >= 0
    assert max(bases) < 1 << 25
    assert min(slopes) >= -(1 << 17)
    assert max(slopes) < 1 << 17


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        (EXP2, 1 << 23, 16777097),
        (SIGMOID, 8388610, 16777214),
        (PHI, 8388609, 1 << 24),
        (PHI_TANH, 8388609, 1 << 24),
        (RECIP, 8388604, 16777184),
        (RSQRT, 8388607, 16777168),
    ],
    ids=lambda part: part.name if isinstance(part, Table) else "",
)
def test_results_stay_within(table, low, high):
    """EXP2 a significand in 2^23..2^24, the others at most one: 2^24."""
    assert min(part.min() for part in segments(table)) == low
    assert max(part.max() for part in segments(table)) == high
    assert high <= 1 << 24


def test_exp2_is_a_normal_significand():
    assert EXP2(0) == 1 << 23
    assert all(1 << 23 <= part.min() <= part.max() < 1 << 24 for part in segments(EXP2))


@pytest.mark.parametrize(
    ("table", "slack"),
    [(EXP2, 0), (SIGMOID, 0), (PHI, 0), (PHI_TANH, 0), (RECIP, 1), (RSQRT, 1)],
    ids=lambda part: part.name if isinstance(part, Table) else "",
)
def test_results_are_monotonic(table, slack):
    """Falling functions may step up by the one unit that rounding down a product costs."""
    sign = -1 if table in (RECIP, RSQRT) else 1
    before = None
    for part in segments(table):
        steps = sign * np.diff(part, prepend=part[0] if before is None else before)
        assert steps.min() >= -slack
        before = part[-1]


@EACH
def test_the_call_is_the_formula(table):
    size = 1 << table.step_bits
    for index, part in enumerate(segments(table)):
        for rest in (0, 1, size // 2, size - 1):
            assert table(index * size + rest) == part[rest]


@EACH
def test_coefficients_have_not_drifted(table):
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    digest = hashlib.sha256(repr(table.coefficients).encode()).hexdigest()
    assert digest == golden["tables"][table.name]


@EACH
def test_no_mathematical_library_can_round_a_coefficient_otherwise(table):
    """A last-place difference of exp, erf or tanh is below 2^-28 of a coefficient's unit."""
    width = (table.high - table.low) / table.segments
    one = 1 << table.fraction_bits
    closest = 1.0
    for index in range(table.segments):
        left = table.low + index * width
        start, middle, end = (table.function(left + part * width) for part in (0.0, 0.5, 1.0))
        for value in (start + (middle - (start + end) / 2) / 2, end - start):
            closest = min(closest, abs(value * one - math.floor(value * one) - 0.5))
    assert closest > 2**-16


def test_functions_keep_their_codes_and_are_what_they_are_called():
    assert list(FUNCTIONS) == ["silu", "gelu", "gelu_tanh", "relu"]
    choice = BY_NAME["ACT"].field("func")
    assert [name for name in choice.choices if name] == list(FUNCTIONS)
    torch_functions = {
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": partial(torch.nn.functional.gelu, approximate="tanh"),
        "relu": torch.relu,
    }
    x = torch.linspace(-9, 9, 97, dtype=torch.float64)
    for name, function in FUNCTIONS.items():
        ours = torch.tensor([function(value) for value in x.tolist()], dtype=torch.float64)
        torch.testing.assert_close(ours, torch_functions[name](x), rtol=1e-12, atol=1e-12)


def test_the_soft_cap_is_as_close_as_declared():
    x = np.concatenate((np.linspace(-9, 9, 40_001), np.geomspace(1e-6, 100, 997)))
    u = np.minimum(np.floor(np.abs(2 * x) * 2**15 + 0.5), 16 * 2**15 - 1).astype(int)
    y = np.array([SIGMOID(int(value)) for value in u]) / (1 << SIGMOID.fraction_bits)
    worst = np.abs(np.sign(x) * (2 * y - 1) - np.tanh(x)).max()
    assert 0.8 * SOFTCAP.error < worst <= SOFTCAP.error
    torch.testing.assert_close(
        torch.tensor([SOFTCAP(value, 50.0) for value in (x * 50).tolist()], dtype=torch.float64),
        50 * torch.tanh(torch.tensor(x)),
    )


def test_argument_bits_are_those_of_the_table():
    bits = {table.name: table.argument_bits for table in TABLES}
    assert bits == {"EXP2": 17, "SIGMOID": 15, "PHI": 16, "PHI_TANH": 16, "RECIP": 23, "RSQRT": 23}


def test_a_segment_must_be_a_power_of_two_wide():
    table = Table("ODD", lambda x: x, 0.0, 8.0, 500, 10, 24, 1e-5)
    with pytest.raises(ValueError, match=r"^ODD must have segments of a power of two"):
        _ = table.argument_bits


def test_a_table_of_act_begins_at_zero_and_ends_at_one():
    for table in LOOKED_UP:
        assert table.low == 0
        assert table.function(0.0) == 0.5
        assert abs(table.function(table.high) - 1) < 2.0**-table.argument_bits
