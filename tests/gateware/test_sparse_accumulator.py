from random import Random

import pytest
from amaranth import Module
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.sparse_accumulator import (
    LATENCY,
    SparseAccumulator,
    SparseAccumulatorControl,
    slots,
)


def run(bits: int, groups: list[dict], gap: int) -> list[list[tuple[int, int]]]:
    """`captured` and `overflow` of each part of each row block; `gap` cycles after each half."""
    m = Module()
    m.submodules.control = control = SparseAccumulatorControl()
    m.submodules.accumulator = accumulator = SparseAccumulator(bits=bits)
    m.d.comb += accumulator.control.eq(control.control)
    found = []
    events: list[dict] = []
    parts_in_order = []
    for group in groups:
        for half in (0, 1):
            events.append(group | {"half": half, "sums": group["sums"][half]})
            events += [{}] * gap
        # The multipliers need as long, of which the next group's first half is a cycle.
        events += [{}] * max(0, slots(group["parts"]) - 2 - gap)
        if group["last"]:
            parts_in_order.append(group["parts"])

    async def bench(ctx):
        weigh: dict[int, tuple[dict, list[int]]] = {}
        factors: dict[int, int] = {}
        for cycle in range(len(events) + LATENCY + 2):
            event = events[cycle] if cycle < len(events) else {}
            ctx.set(control.valid, bool(event))
            if event:
                parts = event["parts"]
                for name in ("half", "first", "last"):
                    ctx.set(getattr(control, name), event[name])
                ctx.set(control.parts, parts.bit_length() - 1)
                # Ends of segments carry the sums, the others anything.
                lanes = [77] * 8
                for part, value in enumerate(event["sums"]):
                    lanes[8 // parts * (part + 1) - 1] = value
                ctx.set(accumulator.total, event["sums"][0] if parts == 1 else 99)
                ctx.set(accumulator.sums, lanes if parts > 1 else [77] * 8)
                if event["half"]:
                    for slot in range(slots(parts)):
                        scales = event["scales"]
                        own = [scales[slot], 55]
                        if parts > 1:
                            own = [scales[slot], scales[parts // 2 + slot]]
                        weigh[cycle + 1 + slot] = event, own
                        factors[cycle + 3 + slot] = event["factor"]
            if cycle in weigh:
                ctx.set(accumulator.sum, weigh[cycle][0]["sum"])
                ctx.set(accumulator.scale, weigh[cycle][1])
            if cycle in factors:
                ctx.set(accumulator.factor, factors[cycle])
            if ctx.get(control.captured):
                parts = parts_in_order[len(found)]
                ctx.set(control.read_parts, parts.bit_length() - 1)
                results = []
                for part in range(parts):
                    ctx.set(control.part, part)
                    results.append((ctx.get(accumulator.captured), ctx.get(accumulator.overflow)))
                found.append(results)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def group(random: Random, parts: int, first: bool, last: bool) -> dict:
    """Sums of blocks of 4-bit values; a scale for each part, without a pattern scale and min."""
    low, high = (-128, 127) if parts > 1 else (0, 255)
    scales = [random.choice((low, high, random.randint(low, high))) for _ in range(parts)]
    return {
        "parts": parts,
        "first": first,
        "last": last,
        "sums": [
            [
                random.choice((-1, 1)) * random.randint(0, 16 * 127 * 8 // parts)
                for _ in range(parts)
            ]
            for _ in range(2)
        ],
        "scales": scales if parts > 1 else [*scales, random.randint(-128, 127)],
        "sum": random.randint(-4064, 4064),
        "factor": random.randint(1, 255),
    }


@pytest.mark.parametrize("gap", [0, 1, 5])
@pytest.mark.parametrize("bits", [32, 48])
def test_row_blocks_of_every_pattern(bits: int, gap: int) -> None:
    random = Random(gap)
    groups, expected = [], []
    overflows = False
    while len(expected) < 20 or (bits == 32 and not overflows):
        parts, count = random.choice((1, 2, 4, 8)), random.choice((1, 2, 3, 80))
        items = [group(random, parts, i == 0, i == count - 1) for i in range(count)]
        groups += items
        expected.append([])
        for part in range(parts):
            acc = 0
            for g in items:
                dot = sum(half[part] for half in g["sums"])
                weighed = g["scales"][part] * dot
                if parts == 1:
                    weighed += 4 * g["scales"][1] * g["sum"]
                acc += weighed * g["factor"]
            expected[-1].append((acc, int(not -(1 << bits - 1) <= acc < 1 << bits - 1)))
        overflows = overflows or any(overflow for _, overflow in expected[-1])
    assert run(bits, groups, gap) == expected


def test_bits_out_of_range() -> None:
    refuses("bits must be 32 to 64, not 31", lambda: SparseAccumulator(bits=31))
