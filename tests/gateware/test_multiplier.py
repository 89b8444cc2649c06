import random

import pytest
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.multiplier import LATENCY, PackedMultiplier


def run(component, vectors):
    """Results for operands fed one a cycle."""
    results = []

    async def bench(ctx):
        for cycle in range(len(vectors) + LATENCY):
            if cycle < len(vectors):
                for name, value in vectors[cycle].items():
                    ctx.set(getattr(component, name), value)
            if cycle >= LATENCY:
                results.append((ctx.get(component.low), ctx.get(component.high)))
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def test_every_extreme_and_random_pairs_are_exact():
    edges = (-127, -126, -1, 0, 1, 126, 127)
    rng = random.Random(1)
    vectors = [
        {"a": a, "d": d, "b": b, "start": 1} for a in edges for d in edges for b in (-128, *edges)
    ]
    for _ in range(2000):
        a, d = (rng.randint(-127, 127) for _ in range(2))
        vectors.append({"a": a, "d": d, "b": rng.randint(-128, 127), "start": 1})
    results = run(PackedMultiplier(), vectors)
    assert results == [(v["d"] * v["b"], v["a"] * v["b"]) for v in vectors]


def pack(a, d, b):
    """The packed product as a DSP48E2 computes it: 27-bit pre-adder, 45-bit product."""
    preadded = (a << 18) + d
    assert -(1 << 26) <= preadded < 1 << 26
    return preadded * b


def lanes(total):
    low = (total & 0x3FFFF) - ((total & 0x20000) << 1)
    return low, (total >> 18) + (total >> 17 & 1)


@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_eight_extreme_products_fit_a_packed_word(sign):
    a, d = 127 * sign[0], 127 * sign[1]
    for b in (-128, -127, 127):
        assert lanes(8 * pack(a, d, b)) == (8 * d * b, 8 * a * b)


def test_eight_random_products_fit_a_packed_word():
    rng = random.Random(2)
    for _ in range(2000):
        terms = [
            (rng.randint(-127, 127), rng.randint(-127, 127), rng.randint(-128, 127))
            for _ in range(8)
        ]
        total = sum(pack(*term) for term in terms)
        assert lanes(total) == (sum(d * b for _, d, b in terms), sum(a * b for a, _, b in terms))


def test_a_target_that_does_not_exist():
    refuses(
        "target must be one of portable, dsp48e2, mult18x18d, not 'dsp'",
        lambda: PackedMultiplier(target="dsp"),  # pyright: ignore[reportArgumentType]
    )
