"""Accumulators of both kinds beside their control, and what they add up, group by group."""

from collections import deque
from random import Random
from typing import Any

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In
from tests.gateware.refusals import refuses

from alula.bench import PATTERNS, Bench, BoundCase, Case, Mismatch, Pattern, Unit, each_case
from alula.gateware.matrix import accumulator
from alula.gateware.matrix.accumulator import Accumulator, AccumulatorControl
from alula.gateware.matrix.chain import GROUPS
from alula.gateware.matrix.sparse import accumulator as sparse_accumulator
from alula.gateware.matrix.sparse.accumulator import (
    SparseAccumulator,
    SparseAccumulatorControl,
    slots,
)
from alula.isa.formats import MIN_UNIT

Group = dict[str, Any]


class Rig(Component):
    """An accumulator and its control, whose ports begin with `control_`."""

    def __init__(self, *, sparse: bool, bits: int) -> None:
        self.sparse, self.bits = sparse, bits
        self._control = SparseAccumulatorControl() if sparse else AccumulatorControl()
        self._accumulator = (SparseAccumulator if sparse else Accumulator)(bits=bits)
        self._ports = {
            f"{prefix}{name}": (segment, name)
            for prefix, segment in (("control_", self._control), ("", self._accumulator))
            for name in segment.signature.members
            if name != "control"
        }
        super().__init__(
            {port: segment.signature.members[name] for port, (segment, name) in self._ports.items()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.control, m.submodules.accumulator = self._control, self._accumulator
        m.d.comb += self._accumulator.control.eq(self._control.control)
        for port, (segment, name) in self._ports.items():
            outer, inner = getattr(self, port), getattr(segment, name)
            inward = segment.signature.members[name].flow is In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        return m


def group(random: Random, segments: int, first: bool, last: bool) -> Group:
    """Sums of blocks; a scale for each segment, without a pattern scale and min.

    Of 4-bit values, or of 8-bit ones, which are four times as wide and have neither scale nor min.
    """
    low, high = (-128, 127) if segments > 1 else (0, 255)
    scales = [random.choice((low, high, random.randint(low, high))) for _ in range(segments)]
    minimum = random.choice((-128, 127, random.randint(-128, 127)))
    largest = 16 * 127 * 8 // segments
    if random.random() < 0.3:
        scales, minimum, largest = [1] * segments, 0, 16 * 127 * 127 // segments
    return {
        "segments": segments,
        "first": first,
        "last": last,
        "sums": [
            [
                random.choice((-1, 1)) * random.choice((largest, random.randint(0, largest)))
                for _ in range(segments)
            ]
            for _ in range(2)
        ],
        "scales": scales,
        "minimum": minimum,
        "sum": random.randint(-4064, 4064),
        "factor": random.randint(1, 255),
    }


def row_blocks(random: Random, sparse: bool, bits: int) -> tuple[list[Group], list[tuple]]:
    """Groups, and each row's accumulator and whether that overflows; some do if any can."""
    groups, expected = [], []
    while len(expected) < 60 or (bits == 32 and not any(over for _, over in expected)):
        segments = random.choice((1, 2, 4, 8)) if sparse else 1
        count = random.choice((1, 2, 3, 80))
        items = [group(random, segments, i == 0, i == count - 1) for i in range(count)]
        groups += items
        for segment in range(segments):
            total = 0
            for item in items:
                weighed = item["scales"][segment] * sum(half[segment] for half in item["sums"])
                if segments == 1:
                    weighed += MIN_UNIT * item["minimum"] * item["sum"]
                total += weighed * item["factor"]
            expected.append((total, int(not -(1 << bits - 1) <= total < 1 << bits - 1)))
    return groups, expected


class Feeder:
    """Gives halves of groups to a rig, and what goes with them in the cycles in which it is due."""

    def __init__(self, unit: Unit, sparse: bool, groups: list[Group], idle: Pattern) -> None:
        self.unit, self.sparse = unit, sparse
        self.halves = deque((item, half) for item in groups for half in (0, 1))
        self._go = unit.goes(idle)
        self._due: dict[int, dict[str, Any]] = {}
        self.ends: deque[int] = deque()
        """Cycles in which row blocks ended."""
        # The first cycles in which the multipliers are free, and the last row block has been read.
        self._free = self._read = 0

    def cycle(self, now: int) -> None:
        """Set what stands at the rig's inputs in this cycle."""
        wires, random = self.unit.wires, self.unit.random
        going = next(self._go) and bool(self.halves) and self._may(now)
        wires["control_valid"].set(int(going))
        for name in ("total", "sums"):
            if name in wires:
                wires[name].set_bits(random.getrandbits(wires[name].width))
        if going:
            self._give(now, *self.halves.popleft())
        for name, value in self._due.pop(now, {}).items():
            wires[name].set(value)

    def _may(self, now: int) -> bool:
        item, half = self.halves[0]
        return not half or now >= max(self._free, self._read if item["last"] else 0)

    def _give(self, now: int, item: Group, half: int) -> None:
        wires, random, segments = self.unit.wires, self.unit.random, item["segments"]
        for name, value in (("half", half), ("first", item["first"]), ("last", item["last"])):
            wires[f"control_{name}"].set(int(value))
        sums = item["sums"][half]
        if segments == 1:
            wires["total"].set(sums[0])
        else:
            # Ends of segments carry the sums, the others anything.
            lanes = [random.randint(-77, 77) for _ in range(GROUPS)]
            lanes[GROUPS // segments - 1 :: GROUPS // segments] = sums
            wires["sums"].set(lanes)
        if self.sparse:
            wires["control_segments"].set(segments.bit_length() - 1)
        if not half:
            return
        scales = item["scales"]
        if not self.sparse:
            weighs = [{"scale": scales[0], "minimum": item["minimum"]}]
        elif segments == 1:
            weighs = [{"scale": [value, 55]} for value in (scales[0], item["minimum"])]
        else:
            weighs = [{"scale": list(pair)} for pair in zip(*halves(scales), strict=True)]
        for slot, weigh in enumerate(weighs):
            self._due.setdefault(now + 1 + slot, {}).update(weigh, sum=item["sum"])
            factor = (sparse_accumulator if self.sparse else accumulator).FACTOR
            self._due.setdefault(now + factor + slot, {}).update(factor=item["factor"])
        self._free = now + (slots(segments) if self.sparse else 0)
        if item["last"]:
            self._read = now + segments
            self.ends.append(now)


def halves(items: list) -> tuple[list, list]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def row_block_case(sparse: bool, bits: int, idle: Pattern) -> Case:
    async def run(unit: Unit) -> None:
        groups, expected = row_blocks(unit.random, sparse, bits)
        blocks = deque(item["segments"] for item in groups if item["last"])
        feeder = Feeder(unit, sparse, groups, idle)
        latency = sparse_accumulator.LATENCY if sparse else accumulator.LATENCY
        found: list[tuple] = []
        segment, now = 0, 0
        while feeder.halves or blocks:
            feeder.cycle(now)
            if sparse:
                unit.wires["control_segment"].set(segment)
                unit.wires["control_read_segments"].set(blocks[0].bit_length() - 1)
            await unit.cycles()
            captured = unit.wires["control_captured"].get()
            due = bool(feeder.ends) and now == feeder.ends[0] + latency
            if captured != due:
                raise Mismatch(f"captured must be {due:d} {latency} cycles after the last half")
            if captured:
                feeder.ends.popleft()
            if captured or segment:
                found.append((unit.wires["captured"].get(), unit.wires["overflow"].get()))
                segment = (segment + 1) % blocks[0]
                if segment == 0:
                    blocks.popleft()
            now += 1
        for index, (want, have) in enumerate(zip(expected, found, strict=True)):
            if want != have:
                raise Mismatch(f"row {index} of {len(expected)} must be {want}, not {have}")

    return Case("row_blocks", run, idle=idle)


def bench(sparse: bool, bits: int) -> Bench:
    return Bench(
        f"{'sparse_' if sparse else ''}accumulator_{bits}",
        lambda: Rig(sparse=sparse, bits=bits),
        [row_block_case(sparse, bits, idle) for idle in PATTERNS],
    )


BENCHES = [bench(sparse, bits) for sparse in (False, True) for bits in (32, 48)]


@each_case(*BENCHES)
def test_row_blocks_of_every_pattern(case: BoundCase) -> None:
    case.check()


def test_bits_out_of_range() -> None:
    for kind in (Accumulator, SparseAccumulator):
        refuses("bits must be 32 to 48, not 31", lambda kind=kind: kind(bits=31))
