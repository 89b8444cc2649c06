from collections import deque
from dataclasses import dataclass, field
from itertools import product
from random import Random

from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import ALWAYS, PATTERNS, Bench, BoundCase, Case, Pattern, Unit, each_case
from alula.bench import random_pattern as chance
from alula.bench.scoreboard import Mismatch
from alula.design.engines import output_width
from alula.gateware.matrix.output_stage import OutputStage

WORDS = 4096


@dataclass
class Set:
    """The accumulators of a row block (or a segment of one) and pass, and what goes with them."""

    accumulators: list
    info: dict
    results: dict[tuple[int, int], int] = field(default_factory=dict)
    """By word and lane."""


def sets(random: Random, unit: OutputStage, first: int) -> list[Set]:
    """Row blocks of a few products in order."""
    found: list[Set] = []
    dst = 0
    for _ in range(6):
        blocks, passes = random.randint(1, 4), random.randint(1, 3)
        segments = 1 << random.randrange(unit.segments.bit_length())
        rows = segments * unit.block_rows
        outputs = random.randint((blocks - 1) * rows + 1, blocks * rows)
        stride = -(-outputs // unit.lanes) + random.randrange(2)
        last_token, mm = random.randrange(unit.tokens), random.randrange(2)
        for block, number, segment in product(range(blocks), range(passes), range(segments)):
            last_pass = number == passes - 1
            info = {
                "factor": [factor(random) for _ in range(unit.rows)],
                "power": [
                    random.choice((-512, 511, random.randint(-60, 60))) for _ in range(unit.tokens)
                ],
                "last_token": last_token if last_pass else unit.tokens - 1,
                "first_pass": int(number == 0),
                "first_block": int(block == 0),
                "ends": int(last_pass and block == blocks - 1),
                "mm": mm,
                "dst": dst,
                "stride": stride,
                "outputs": outputs,
            }
            if unit.segments > 1:
                info |= {
                    "first_segment": int(segment == 0),
                    "last_segment": int(segment == segments - 1),
                }
                info["segments"] = segments.bit_length() - 1
            item = Set([accumulators(random, unit.tokens) for _ in range(unit.rows)], info)
            found.append(item)
            start = (block * segments + segment) * unit.block_rows + first
            for token in range(info["last_token"] + 1):
                row = dst + (number * unit.tokens + token) * stride
                for i in range(unit.rows):
                    if (n := start + i) < outputs:
                        place = row + n // unit.lanes, n % unit.lanes
                        item.results[place] = result(item, i, token)
                    if n == outputs - 1:
                        for lane in range(outputs % unit.lanes or unit.lanes, unit.lanes):
                            item.results[row + n // unit.lanes, lane] = 0
        dst += passes * unit.tokens * stride
    return found


def accumulators(random: Random, tokens: int) -> list[int]:
    """A row's, of any size."""
    largest = [(1 << random.randint(0, 47)) - 1 for _ in range(tokens)]
    return [random.randint(-most - 1, most) for most in largest]


def factor(random: Random) -> int:
    if random.random() < 0.05:
        return random.choice((0, 0x8000, 0x7F80, 0xFFFF))
    return exact.bf16(exact.number(random, 60, 190))


def result(item: Set, row: int, token: int) -> int:
    y = exact.multiply(
        exact.fl(item.accumulators[row][token]), exact.clean(item.info["factor"][row] << 16)
    )
    return exact.fl(exact.value(y) * exact.Fraction(2) ** item.info["power"][token])


def drained(idle: Pattern, pressure: Pattern, core: int = 0, overflows: bool = False) -> Case:
    """`idle` says when a row block's accumulators come, where there is room for them.

    A set is finished, and its instruction done, in the cycle in which its last word is taken and in
    the one after. Where one overflows nothing is done any more.
    """

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, OutputStage)
        first = core * top.rows
        items = sets(unit.random, top, first)
        bad = items[unit.random.randrange(len(items) // 2)] if overflows else None
        waiting, under_way = deque(items), deque(items)
        memory: dict[tuple[int, int], int] = {}

        def write(item: dict) -> None:
            for lane in range(top.lanes):
                if item["mask"] >> lane & 1:
                    place = item["address"], lane
                    if place in memory:
                        raise Mismatch(f"a result must be written once, not again at {place}")
                    memory[place] = item["data"][lane]

        def finish(item: Set) -> bool:
            """Compare what stands in memory; return whether its instruction is over."""
            found = {place: memory.get(place) for place in item.results}
            if found != item.results:
                wrong = [place for place in found if found[place] != item.results[place]]
                raise Mismatch(f"{len(wrong)} of {len(found)} differ when finished: {wrong[:4]}")
            return bool(item.info["ends"] and item.info.get("last_segment", 1))

        unit.wires["first"].set(first)
        unit.watch("write", write, pressure)
        room, since, done, lost = top.sets, top.cycles, "", False
        go = unit.goes(idle)
        while under_way or done:
            starts = bool(waiting) and room > 0 and since >= top.cycles and next(go)
            if starts:
                item = waiting.popleft()
                unit.set(accumulators=item.accumulators, info=item.info)
                unit.set(overflow=int(item is bad))
            unit.set(start=int(starts))
            await unit.cycles()
            room, since = room - starts, 1 if starts else since + 1
            finished = unit.wires["finished"].get()
            over = under_way.popleft() if finished else None
            loses = over is not None and over is bad
            engine = ("mv", "mm")[over.info["mm"]] if over else ""
            unit.must(mm_done=int(done == "mm"), mv_done=int(done == "mv"))
            unit.must(mm_lost=int(loses and engine == "mm"), mv_lost=int(loses and engine == "mv"))
            lost |= loses
            done = engine if over and finish(over) and not lost else ""
            room += finished
        await unit.cycles(5)
        extra = memory.keys() - {place for item in items for place in item.results}
        if extra:
            raise Mismatch(f"nothing else must be written, not {sorted(extra)}")

    what = "overflow-" if overflows else ""
    return Case(f"{what}core_{core}", body, idle=idle, pressure=pressure)


def make(rows: int, lanes: int, tokens: int, cores: int = 1, segments: int = 1) -> Bench:
    cases = [drained(idle, pressure) for idle in PATTERNS for pressure in (*PATTERNS, chance(0.2))]
    cases += [drained(ALWAYS, ALWAYS, core) for core in range(1, cores)]
    cases += [drained(ALWAYS, pressure, 0, True) for pressure in (ALWAYS, chance(0.2))]
    shape = {"rows": rows, "block_rows": cores * rows, "tokens": tokens, "lanes": lanes}
    return Bench(
        f"output_stage_{rows}_{lanes}_{tokens}_{cores}_{segments}",
        lambda: OutputStage(**shape, words=WORDS, sets=6, segments=segments),
        cases,
    )


BENCHES = [
    make(2, 4, 2),
    make(8, 16, 4, cores=2),
    make(80, 16, 2, cores=3),
    make(12, 16, 2),
    make(2, 4, 2, segments=8),
]


@each_case(*BENCHES)
def test_results_stand_where_they_belong(case: BoundCase) -> None:
    case.check()


def test_width() -> None:
    def width(rows: int, tokens: int, lanes: int, cores: int = 1) -> int:
        return output_width(rows=rows, block_rows=cores * rows, tokens=tokens, lanes=lanes)

    assert width(8, 4, 16) == 4
    assert width(2, 2, 4) == 1
    assert width(80, 2, 16, 3) == 16
    assert width(12, 4, 16) == 4
    assert width(80, 2, 4) == 4


def test_parameters_out_of_range() -> None:
    def given(**changes: int) -> OutputStage:
        values = {"rows": 8, "block_rows": 8, "tokens": 4, "lanes": 16, "words": 64, "sets": 4}
        return OutputStage(**values | changes)

    refuses("rows must be at least 1, not 0", lambda: given(rows=0))
    refuses(r"block_rows must be a multiple of rows \(8\), not 12", lambda: given(block_rows=12))
    refuses("tokens must be a power of two, not 3", lambda: given(tokens=3))
    refuses("lanes must be a power of two, not 12", lambda: given(lanes=12))
    refuses("sets must be at least 2, not 1", lambda: given(sets=1))
