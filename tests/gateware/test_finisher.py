from dataclasses import dataclass
from random import Random

from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import ALWAYS, PATTERNS, Bench, BoundCase, Case, Pattern, Unit, each_case
from alula.bench import random_pattern as chance
from alula.bench.scoreboard import Mismatch
from alula.design.engines import finish_width
from alula.gateware.matrix.finisher import Finisher

WORDS = 4096


@dataclass
class Set:
    """The accumulators of a row block and pass, and what goes with them."""

    accumulators: list
    info: dict


def sets(random: Random, unit: Finisher, first: int) -> tuple[list[Set], dict]:
    """Row blocks of a few products in order, and the results in memory."""
    found, memory = [], {}
    dst = 0
    for _ in range(6):
        blocks, passes = random.randint(1, 4), random.randint(1, 3)
        outputs = random.randint((blocks - 1) * unit.block_rows + 1, blocks * unit.block_rows)
        stride = -(-outputs // unit.lanes) + random.randrange(2)
        last_token, mm = random.randrange(unit.tokens), random.randrange(2)
        for block in range(blocks):
            for number in range(passes):
                last_pass = number == passes - 1
                item = Set(
                    [
                        [
                            random.randint(-(1 << bits), (1 << bits) - 1)
                            for bits in (random.randint(0, 47) for _ in range(unit.tokens))
                        ]
                        for _ in range(unit.rows)
                    ],
                    {
                        "factor": [
                            random.choice((0, 0x8000, 0x7F80, 0xFFFF))
                            if random.random() < 0.05
                            else exact.bf16(exact.number(random, 60, 190))
                            for _ in range(unit.rows)
                        ],
                        "power": [
                            random.choice((-512, 511, random.randint(-60, 60)))
                            for _ in range(unit.tokens)
                        ],
                        "last_token": last_token if last_pass else unit.tokens - 1,
                        "first_pass": int(number == 0),
                        "first_block": int(block == 0),
                        "ends": int(last_pass and block == blocks - 1),
                        "mm": mm,
                        "dst": dst,
                        "stride": stride,
                        "outputs": outputs,
                    },
                )
                found.append(item)
                for token in range(item.info["last_token"] + 1):
                    row = dst + (number * unit.tokens + token) * stride
                    for i in range(unit.rows):
                        n = block * unit.block_rows + first + i
                        if n < outputs:
                            y = exact.multiply(
                                exact.fl(item.accumulators[i][token]),
                                exact.clean(item.info["factor"][i] << 16),
                            )
                            power = exact.Fraction(2) ** item.info["power"][token]
                            place = row + n // unit.lanes, n % unit.lanes
                            memory[place] = exact.fl(exact.value(y) * power)
                        if n == outputs - 1:
                            for lane in range(outputs % unit.lanes or unit.lanes, unit.lanes):
                                memory[row + n // unit.lanes, lane] = 0
        dst += passes * unit.tokens * stride
    return found, memory


def drained(idle: Pattern, pressure: Pattern, core: int = 0) -> Case:
    """`idle` says when a row block's accumulators come, where there is room for them."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Finisher)
        first = core * top.rows
        waiting, expected = sets(unit.random, top, first)
        memory: dict = {}

        def write(item: dict) -> None:
            for lane in range(top.lanes):
                if item["mask"] >> lane & 1:
                    place = item["address"], lane
                    if place in memory:
                        raise Mismatch(f"a result must be written once, not again at {place}")
                    memory[place] = item["data"][lane]

        unit.wires["first"].set(first)
        unit.watch("write", write, pressure)
        instructions = [
            sum(s.info["ends"] and s.info["mm"] == mm for s in waiting) for mm in (0, 1)
        ]
        done = [0, 0]
        room, since, finished, count = top.sets, top.cycles, 0, len(waiting)
        go = idle.start(unit.random)
        for _ in range(20000):
            if waiting and room and since >= top.cycles and next(go):
                item = waiting.pop(0)
                unit.wires["accumulators"].set(item.accumulators)
                unit.wires["info"].set(item.info)
                unit.wires["start"].set(1)
                room, since = room - 1, 0
            await unit.cycles()
            unit.wires["start"].set(0)
            since += 1
            room += unit.wires["finished"].get()
            finished += unit.wires["finished"].get()
            done[1] += unit.wires["mm_done"].get()
            done[0] += unit.wires["mv_done"].get()
            if finished == count and done == instructions:
                break
        await unit.cycles(5)
        if memory != expected:
            wrong = [k for k in expected if memory.get(k) != expected[k]]
            extra = memory.keys() - expected.keys()
            raise Mismatch(f"{len(wrong)} of {len(expected)} differ: {wrong[:4]}, extra {extra}")
        if (finished, done) != (count, instructions):
            raise Mismatch(f"{count} sets and {instructions} must end, not {finished}, {done}")

    return Case(f"core_{core}-idle_{idle}-pressure_{pressure}", body)


def make(rows: int, lanes: int, tokens: int, cores: int = 1) -> Bench:
    cases = [drained(idle, pressure) for idle in PATTERNS for pressure in (*PATTERNS, chance(0.2))]
    cases += [drained(ALWAYS, ALWAYS, core) for core in range(1, cores)]
    return Bench(
        f"finisher_{rows}_{lanes}_{tokens}_{cores}",
        lambda: Finisher(
            rows=rows, block_rows=cores * rows, tokens=tokens, lanes=lanes, words=WORDS, sets=6
        ),
        cases,
    )


BENCHES = [
    make(2, 4, 2),
    make(8, 16, 4, cores=2),
    make(80, 16, 2, cores=3),
    make(12, 16, 2),
]


@each_case(*BENCHES)
def test_results_stand_where_they_belong(case: BoundCase) -> None:
    case.check()


def test_width() -> None:
    def width(rows: int, tokens: int, lanes: int, cores: int = 1) -> int:
        return finish_width(rows=rows, block_rows=cores * rows, tokens=tokens, lanes=lanes)

    assert width(8, 4, 16) == 4
    assert width(2, 2, 4) == 1
    assert width(80, 2, 16, 3) == 16
    assert width(12, 4, 16) == 4
    assert width(80, 2, 4) == 4


def test_parameters_out_of_range() -> None:
    def given(**changes: int) -> Finisher:
        values = {"rows": 8, "block_rows": 8, "tokens": 4, "lanes": 16, "words": 64, "sets": 4}
        return Finisher(**values | changes)

    refuses("rows must be at least 1, not 0", lambda: given(rows=0))
    refuses(r"block_rows must be a multiple of rows \(8\), not 12", lambda: given(block_rows=12))
    refuses("tokens must be a power of two, not 3", lambda: given(tokens=3))
    refuses("lanes must be a power of two, not 12", lambda: given(lanes=12))
    refuses("sets must be at least 2, not 1", lambda: given(sets=1))
