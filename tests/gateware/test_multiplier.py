from itertools import product
from random import Random

import pytest
from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, each_case, pipeline_cases
from alula.gateware.matrix.multiplier import LATENCY, PackedMultiplier

EDGES = (-127, -126, -1, 0, 1, 126, 127)


def operands(random: Random) -> list[tuple[int, int, int]]:
    """Every extreme by every other, and many between them."""
    return [
        *product(EDGES, EDGES, (-128, *EDGES)),
        *(
            (random.randint(-127, 127), random.randint(-127, 127), random.randint(-128, 127))
            for _ in range(2000)
        ),
    ]


def pack(a: int, d: int, b: int) -> int:
    """The packed product as a DSP48E2 computes it: 27-bit pre-adder, 45-bit product."""
    preadded = (a << 18) + d
    assert -(1 << 26) <= preadded < 1 << 26
    return preadded * b


def lanes(total: int) -> tuple[int, int]:
    low = (total & 0x3FFFF) - ((total & 0x20000) << 1)
    return low, (total >> 18) + (total >> 17 & 1)


def bench_cases(name: str, before: tuple[int, int, int], joins: int):
    """Products added to one that comes down the cascade, or, without `joins`, to nothing."""
    a, d, b = before if joins else (0, 0, 0)
    return pipeline_cases(
        {name: operands},
        lambda x, y, z: {"low": d * b + y * z, "high": a * b + x * z},
        latency=LATENCY,
        inputs=("a", "d", "b"),
        output=("low", "high"),
        settings={"joins": joins, "cascade_in": pack(*before) & (1 << 48) - 1},
    )


MULTIPLIER = Bench(
    "multiplier",
    PackedMultiplier,
    [*bench_cases("start", (-127, 127, 127), 0), *bench_cases("cascade", (127, -127, -128), 1)],
)


@each_case(MULTIPLIER)
def test_products_are_exact(case: BoundCase) -> None:
    case.check()


@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_eight_extreme_products_fit_a_packed_word(sign):
    a, d = 127 * sign[0], 127 * sign[1]
    for b in (-128, -127, 127):
        assert lanes(8 * pack(a, d, b)) == (8 * d * b, 8 * a * b)


def test_eight_random_products_fit_a_packed_word():
    random = Random(2)
    for _ in range(2000):
        terms = [
            (random.randint(-127, 127), random.randint(-127, 127), random.randint(-128, 127))
            for _ in range(8)
        ]
        total = sum(pack(*term) for term in terms)
        assert lanes(total) == (sum(d * b for _, d, b in terms), sum(a * b for a, _, b in terms))


def test_a_target_that_does_not_exist():
    refuses(
        "target must be one of portable, dsp48e2, mult18x18d, not 'dsp'",
        lambda: PackedMultiplier(target="dsp"),  # pyright: ignore[reportArgumentType]
    )
