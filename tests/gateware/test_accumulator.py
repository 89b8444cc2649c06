from random import Random

import pytest
from amaranth import Module
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.accumulator import LATENCY, Accumulator, AccumulatorControl


def run(bits: int, groups: list[dict], gap: int) -> list[tuple[int, int]]:
    """`captured` and `overflow` of each row block; `gap` cycles between the halves."""
    m = Module()
    m.submodules.control = control = AccumulatorControl()
    m.submodules.accumulator = accumulator = Accumulator(bits=bits)
    m.d.comb += accumulator.control.eq(control.control)
    found = []
    events: list[dict] = []
    for group in groups:
        for half in (0, 1):
            events += [{}] * (gap if half else 0)
            events.append(group | {"half": half, "total": group["totals"][half]})

    async def bench(ctx):
        weigh: dict[int, dict] = {}
        factors: dict[int, int] = {}
        for cycle in range(len(events) + LATENCY + 2):
            event = events[cycle] if cycle < len(events) else {}
            ctx.set(control.valid, bool(event))
            if event:
                for name in ("half", "first", "last"):
                    ctx.set(getattr(control, name), event[name])
                ctx.set(accumulator.total, event["total"])
                if event["half"]:
                    weigh[cycle + 1] = event
                    factors[cycle + 3] = event["factor"]
            if cycle in weigh:
                for name in ("scale", "minimum", "sum"):
                    ctx.set(getattr(accumulator, name), weigh[cycle][name])
            if cycle in factors:
                ctx.set(accumulator.factor, factors[cycle])
            if ctx.get(control.captured):
                found.append((ctx.get(accumulator.captured), ctx.get(accumulator.overflow)))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def group(random: Random, first: bool, last: bool) -> dict:
    """Totals of values of 4 bits, so that the weighed sum is one that can be."""
    return {
        "first": first,
        "last": last,
        "totals": [random.choice((-1, 1)) * random.randint(0, 16 * 127 * 8) for _ in range(2)],
        "scale": random.choice((0, 255, random.randint(0, 255))),
        "minimum": random.choice((-128, 127, random.randint(-128, 127))),
        "sum": random.randint(-4064, 4064),
        "factor": random.randint(1, 255),
    }


@pytest.mark.parametrize("gap", [0, 1, 5])
@pytest.mark.parametrize("bits", [32, 48])
def test_row_blocks(bits: int, gap: int) -> None:
    random = Random(gap)
    groups, expected = [], []
    for _ in range(40):
        count = random.choice((1, 2, 3, 40))
        items = [group(random, i == 0, i == count - 1) for i in range(count)]
        acc = sum(
            (g["scale"] * sum(g["totals"]) + 4 * g["minimum"] * g["sum"]) * g["factor"]
            for g in items
        )
        groups += items
        expected.append((acc, int(not -(1 << bits - 1) <= acc < 1 << bits - 1)))
    if bits == 32:
        assert any(overflow for _, overflow in expected)
    assert run(bits, groups, gap) == expected


def test_bits_out_of_range() -> None:
    refuses("bits must be 32 to 64, not 31", lambda: Accumulator(bits=31))
