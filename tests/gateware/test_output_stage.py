from collections import deque
from dataclasses import dataclass, field
from itertools import product
from random import Random

from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import ALWAYS, PATTERNS, Bench, BoundCase, Case, Pattern, Unit, each_case
from alula.bench import random_pattern as chance
from alula.bench.scoreboard import Mismatch
from alula.gateware.matrix.output_stage import OutputStage
from alula.gateware.matrix.sizes import MatrixSizes

WORDS = 4096


@dataclass
class Set:
    """The accumulators of a row block (or a segment of one) and pass, and what goes with them."""

    accumulators: list
    info: dict
    results: dict[tuple[int, int], int] = field(default_factory=dict)
    """By word and lane."""


def sets(random: Random, sizes: MatrixSizes, first: int) -> list[Set]:
    """Row blocks of a few products in order."""
    found: list[Set] = []
    dst = 0
    for _ in range(6):
        blocks, passes = random.randint(1, 4), random.randint(1, 3)
        segments = 1 << random.randrange(sizes.segments.bit_length())
        rows = segments * sizes.block_rows
        outputs = random.randint((blocks - 1) * rows + 1, blocks * rows)
        stride = -(-outputs // sizes.lanes) + random.randrange(2)
        last_token, mm = random.randrange(sizes.tokens), random.randrange(2)
        for block, number, segment in product(range(blocks), range(passes), range(segments)):
            last_pass = number == passes - 1
            info = {
                "factor": [factor(random) for _ in range(sizes.rows)],
                "power": [
                    random.choice((-512, 511, random.randint(-60, 60))) for _ in range(sizes.tokens)
                ],
                "last_token": last_token if last_pass else sizes.tokens - 1,
                "first_pass": int(number == 0),
                "first_block": int(block == 0),
                "ends": int(last_pass and block == blocks - 1),
                "mm": mm,
                "dst": dst,
                "stride": stride,
                "outputs": outputs,
            }
            if sizes.segments > 1:
                info |= {
                    "first_segment": int(segment == 0),
                    "last_segment": int(segment == segments - 1),
                }
                info["segments"] = segments.bit_length() - 1
            item = Set([accumulators(random, sizes.tokens) for _ in range(sizes.rows)], info)
            found.append(item)
            start = (block * segments + segment) * sizes.block_rows + first
            for token in range(info["last_token"] + 1):
                row = dst + (number * sizes.tokens + token) * stride
                for i in range(sizes.rows):
                    if (n := start + i) < outputs:
                        place = row + n // sizes.lanes, n % sizes.lanes
                        item.results[place] = result(item, i, token)
                    if n == outputs - 1:
                        for lane in range(outputs % sizes.lanes or sizes.lanes, sizes.lanes):
                            item.results[row + n // sizes.lanes, lane] = 0
        dst += passes * sizes.tokens * stride
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
        first = core * top.sizes.rows
        items = sets(unit.random, top.sizes, first)
        bad = items[unit.random.randrange(len(items) // 2)] if overflows else None
        waiting, under_way = deque(items), deque(items)
        memory: dict[tuple[int, int], int] = {}

        def write(item: dict) -> None:
            for lane in range(top.sizes.lanes):
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
        room, since, done, lost = top.sets, top.sizes.cycles, "", False
        go = unit.goes(idle)
        while under_way or done:
            starts = bool(waiting) and room > 0 and since >= top.sizes.cycles and next(go)
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


def shaped(rows: int, tokens: int, lanes: int, cores: int = 1, sparse: bool = False) -> MatrixSizes:
    return MatrixSizes(
        rows=rows,
        block_rows=cores * rows,
        tokens=tokens,
        lanes=lanes,
        groups=2,
        words=WORDS,
        stream_beats=1,
        sparse=sparse,
    )


def make(rows: int, lanes: int, tokens: int, cores: int = 1, sparse: bool = False) -> Bench:
    cases = [drained(idle, pressure) for idle in PATTERNS for pressure in (*PATTERNS, chance(0.2))]
    cases += [drained(ALWAYS, ALWAYS, core) for core in range(1, cores)]
    cases += [drained(ALWAYS, pressure, 0, True) for pressure in (ALWAYS, chance(0.2))]
    shape = shaped(rows, tokens, lanes, cores, sparse)
    name = f"output_stage_{rows}_{lanes}_{tokens}_{cores}_{shape.segments}"
    return Bench(name, lambda: OutputStage(shape, sets=6), cases)


BENCHES = [
    make(2, 4, 2),
    make(8, 16, 4, cores=2),
    make(80, 16, 2, cores=3),
    make(12, 16, 2),
    make(2, 4, 2, sparse=True),
]


@each_case(*BENCHES)
def test_results_stand_where_they_belong(case: BoundCase) -> None:
    case.check()


def test_width() -> None:
    def width(rows: int, tokens: int, lanes: int, cores: int = 1) -> int:
        return shaped(rows, tokens, lanes, cores).width

    assert width(8, 4, 16) == 4
    assert width(2, 2, 4) == 1
    assert width(80, 2, 16, 3) == 16
    assert width(12, 4, 16) == 4
    assert width(80, 2, 4) == 4


def test_parameters_out_of_range() -> None:
    refuses("sets must be at least 2, not 1", lambda: OutputStage(shaped(8, 4, 16), sets=1))
