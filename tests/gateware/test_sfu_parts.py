"""The parts of MISC, each by itself."""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import product
from random import Random
from typing import Any

from amaranth.hdl import Module
from amaranth.lib.wiring import Component
from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import (
    ALWAYS,
    BURSTS,
    PATTERNS,
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Scoreboard,
    Unit,
    crossed,
    each_case,
)
from alula.gateware.arithmetic.float_activation import EXP, NUMBERS, TABLES
from alula.gateware.arithmetic.float_table import TableRom
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.sfu.address_generator import LEVELS, AddressGenerator
from alula.gateware.sfu.check import SfuCheck
from alula.gateware.sfu.lane import Entry, SfuLane, route
from alula.gateware.sfu.max import SfuMax, latency
from alula.gateware.sfu.pack import SfuPack
from alula.gateware.sfu.plan import SfuPlan
from alula.gateware.sfu.reader import SfuReader
from alula.gateware.sfu.rotate import SfuRotate
from alula.gateware.sfu.scalar import Scalar, SfuScalar
from alula.gateware.sfu.steps import LATENCY, SfuSteps
from alula.gateware.sfu.sum import SfuSum
from alula.gateware.sfu.sum import latency as sum_latency
from alula.gateware.sfu.writer import DEPTH, SfuWriter
from alula.isa.formats import PARTIAL_SUMS, SCALE_MAX
from alula.isa.functions import LOOKED_UP, SIGMOID, Table
from alula.isa.instructions import BY_NAME, MISC_COUNTS

LANES = 4
WORDS = 512


def word(random: Random, low: int = 100, high: int = 150, lanes: int = LANES) -> list[int]:
    return [exact.number(random, low, high) for _ in range(lanes)]


# Walks.


def random_path(random: Random, end: int = WORDS) -> tuple[dict[str, Any], list[int]]:
    """A path within a buffer, and its addresses: level 0 turns fastest."""
    counts = [random.randint(1, 4) for _ in range(LEVELS)]
    strides = [random.randint(0, 20) for _ in range(LEVELS)]
    reach = sum((n - 1) * stride for n, stride in zip(counts, strides, strict=True))
    base = random.randrange(end - reach)
    addresses = [
        base + sum(i * stride for i, stride in zip(reversed(place), strides, strict=True))
        for place in product(*map(range, reversed(counts)))
    ]
    return {"base": base, "counts": counts, "strides": strides}, addresses


def walk_case(idle: Pattern) -> Case:
    async def run(unit: Unit) -> None:
        go = unit.goes(idle)
        for _ in range(25):
            path, addresses = random_path(unit.random, 1 << 17)
            row = path["counts"][0]
            unit.set(path=path, start=1, next=0)
            await unit.cycles()
            unit.must(active=0)
            unit.set(start=0)
            for number, address in enumerate(addresses):
                goes = False
                while not goes:
                    goes = next(go)
                    unit.set(next=int(goes))
                    await unit.cycles()
                    unit.must(active=1, address=address, turn=int(number % row == row - 1))
            unit.set(next=0)
            await unit.cycles()

    return Case("paths", run, idle=idle)


ADDRESSES = Bench("sfu_address_generator", AddressGenerator, [walk_case(idle) for idle in PATTERNS])


def reader_case(idle: Pattern, pressure: Pattern) -> Case:
    """Words are reserved and taken in order; `idle` is of the memory, `pressure` of who takes."""

    async def run(unit: Unit) -> None:
        random = unit.random
        memory = [word(random) for _ in range(WORDS)]
        unit.respond("port__request", "port__data", lambda at: [memory[at]], pressure, idle)
        reserves, takes = unit.goes(pressure), unit.goes(pressure)
        reply = unit.inputs["port__data"]
        for _ in range(4):
            path, addresses = random_path(random)
            unit.set(path=path, counted=path["counts"][0], start=1)
            await unit.cycles()
            unit.set(start=0)
            came = shown = reserved = taken = 0
            while taken < len(addresses):
                reserve = shown > reserved and next(reserves)
                take = reserved + reserve > taken and next(takes)
                unit.set(reserve=int(reserve), take=int(take))
                await unit.cycles()
                unit.must(valid=int(shown > reserved), idle=0, beyond=0)
                if take:
                    unit.must(word=memory[addresses[taken]])
                shown, came = came, came + (reply.valid_now() and reply.ready_now())
                reserved, taken = reserved + reserve, taken + take
            unit.set(reserve=0, take=0)
            await unit.cycles(2)
            unit.must(idle=1, valid=0)

    return Case("paths", run, idle=idle, pressure=pressure)


async def reader_beyond(unit: Unit) -> None:
    """A word that counts and does not exist is not asked for; one that does not count is."""
    asked: list[int] = []
    path = {"base": WORDS - 2, "counts": [4, 1, 1, 1], "strides": [1, 0, 0, 0]}
    rows = {"base": WORDS - 5, "counts": [4, 2, 1, 1], "strides": [1, 3, 0, 0]}
    for way, counted, words in (
        (path, 4, 2),
        (path, 3, 2),
        (path, 2, 4),
        (rows, 2, 8),
        (rows, 4, 6),
    ):
        asked.clear()
        unit.respond("port__request", "port__data", lambda at: [asked.append(at) or [at] * LANES])
        unit.set(path=way, counted=counted, start=1)
        await unit.cycles()
        unit.set(start=0)
        await unit.cycles(20)
        stays = words < way["counts"][0] * way["counts"][1]
        unit.must(beyond=int(stays), **({"address": WORDS} if stays else {}))
        if len(asked) != words:
            raise Mismatch(f"{words} words must be asked for, not {asked}")
        await unit.reset()


READER = Bench(
    "sfu_reader",
    lambda: SfuReader(lanes=LANES, words=WORDS),
    [*crossed(reader_case), Case("beyond", reader_beyond)],
)


def writer_case(idle: Pattern, pressure: Pattern) -> Case:
    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        board = Scoreboard("port")
        unit.watch("port", board.take, pressure)
        for _ in range(6):
            path, addresses = random_path(random)
            values = [word(random) for _ in addresses]
            board.expected += [
                {"address": address, "data": value, "mask": (1 << LANES) - 1}
                for address, value in zip(addresses, values, strict=True)
            ]
            unit.set(path=path, start=1)
            await unit.cycles()
            unit.set(start=0)
            given, before = 0, board.count
            while not board.complete:
                held = given - (board.count - before)
                goes = given < len(values) and held < DEPTH and next(go)
                unit.set(valid=int(goes), word=values[given] if goes else word(random))
                count = board.count
                await unit.cycles()
                unit.must(sent=board.count - count, beyond=0)
                given += goes
            unit.set(valid=0)
            await unit.cycles()

    return Case("paths", run, idle=idle, pressure=pressure)


async def writer_beyond(unit: Unit) -> None:
    seen: list[dict] = []
    unit.watch("port", seen.append)
    path = {"base": WORDS - 1, "counts": [3, 1, 1, 1], "strides": [1, 0, 0, 0]}
    unit.set(path=path, start=1)
    await unit.cycles()
    unit.set(start=0, valid=1)
    await unit.cycles(3)
    unit.set(valid=0)
    await unit.cycles(20)
    unit.must(beyond=1, address=WORDS)
    if [item["address"] for item in seen] != [WORDS - 1]:
        raise Mismatch(f"nothing must be written beyond the buffer, not {seen}")


WRITER = Bench(
    "sfu_writer",
    lambda: SfuWriter(lanes=LANES, words=WORDS),
    [*crossed(writer_case), Case("beyond", writer_beyond)],
)

# Maxima, sums and what becomes of them.


def order(bits: int) -> int:
    """A number of the same order as fp32 bits."""
    return -(bits & 0x7FFF_FFFF) if bits >> 31 else bits


def max_case(idle: Pattern) -> Case:
    """The first largest of the lanes that count, on time."""

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        due: deque[dict[str, int] | None] = deque([None] * latency(LANES))
        for _ in range(60):
            absolute, count = random.getrandbits(1), random.choice((1, 2, 7))
            words = [word(random, 1, 254) for _ in range(count)]
            if random.random() < 0.5:  # ties
                words = [[random.choice(words[0]) for _ in range(LANES)] for _ in words]
            masks = [random.randint(int(not i), (1 << LANES) - 1) for i in range(count)]
            best: tuple[int, int] | None = None
            unit.set(absolute=absolute)
            for number, (values, mask) in enumerate(zip(words, masks, strict=True)):
                for lane, value in enumerate(values):
                    bits = value & 0x7FFF_FFFF if absolute else value
                    if mask >> lane & 1 and (best is None or order(bits) > order(best[0])):
                        best = bits, number * LANES + lane
                goes = False
                while not goes:
                    goes = next(go)
                    unit.set(valid=int(goes), word=values if goes else word(random), mask=mask)
                    unit.set(first=int(number == 0), last=int(number == count - 1))
                    last = goes and number == count - 1 and best
                    due.append({"result": best[0], "index": best[1]} if last and best else None)
                    await check(unit, due)
        unit.set(valid=0)
        while any(due):
            due.append(None)
            await check(unit, due)

    async def check(unit: Unit, due: deque[dict[str, int] | None]) -> None:
        await unit.cycles()
        expected = due.popleft()
        unit.must(result_valid=int(bool(expected)), **(expected or {}))

    return Case("words", run, idle=idle)


MAX = Bench("sfu_max", lambda: SfuMax(lanes=LANES), [max_case(idle) for idle in PATTERNS])


def total(terms: list[int]) -> int:
    """SUM, as the contract has it."""
    partial = [0] * PARTIAL_SUMS
    for index, term in enumerate(terms):
        partial[index % PARTIAL_SUMS] = exact.add(partial[index % PARTIAL_SUMS], term)
    half = PARTIAL_SUMS // 2
    while half:
        partial = [exact.add(partial[j], partial[j + half]) for j in range(half)]
        half //= 2
    return partial[0]


def sum_case(lanes: int, idle: Pattern) -> Case:
    """The sum, when it is due; from words that come at any pace."""

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        for count in (1, 2, 3, 4, 5, 15, 16, 17, 32, 33, 100):
            words = [word(random, lanes=lanes) for _ in range(count)]
            noise = word(random, lanes=lanes)
            for values in words:
                goes = False
                while not goes:
                    goes = next(go)
                    unit.set(valid=int(goes), word=values if goes else noise)
                    await unit.cycles()
                    unit.must(result_valid=0)
            late = random.choice((1, 2, 5))
            unit.set(valid=0)
            await unit.cycles(late - 1)
            unit.set(finish=1)
            for _ in range(sum_latency(lanes) + 1 - min(late, 2)):
                await unit.cycles()
                unit.must(result_valid=0)
            await unit.cycles()
            unit.must(result_valid=1, result=total([term for values in words for term in values]))
            unit.set(finish=0)

    return Case("words", run, idle=idle)


SUMS = [
    Bench(
        f"sfu_sum_{lanes}",
        lambda lanes=lanes: SfuSum(lanes=lanes),
        [sum_case(lanes, idle) for idle in PATTERNS],
    )
    for lanes in (2, 4, 8, 16)
]


def scalar(operation: Scalar, x: int, inv: int, eps: int) -> dict[str, int]:
    match operation:
        case Scalar.MEAN:
            return {"result": exact.multiply(x, inv)}
        case Scalar.NORM:
            return {"result": exact.reciprocal_root(exact.add(exact.multiply(x, inv), eps))}
        case Scalar.RECIP:
            return {"result": exact.reciprocal(x)}
        case Scalar.STEP:
            return {"result": exact.multiply(x, exact.ONE_127TH)}
    scale = exact.bf16(exact.multiply(x, exact.ONE_127TH))
    return {"result": exact.reciprocal(scale << 16) if scale else 0, "scale": scale}


def scalar_case(operation: Scalar, idle: Pattern) -> Case:
    """MEAN and STEP an argument a cycle, the others one after the other."""
    streams = operation in (Scalar.MEAN, Scalar.STEP)

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        for _ in range(20 if streams else 150):
            inv, eps = exact.number(random, 110, 127), exact.number(random, 90, 115)
            inv, eps = inv & 0x7FFF_FFFF, eps & 0x7FFF_FFFF
            xs = [exact.number(random) & 0x7FFF_FFFF for _ in range(30 if streams else 1)]
            if operation is Scalar.KV and random.random() < 0.1:
                xs = [0]
            unit.set(operation=operation.value, inv=inv, eps=eps)
            waiting = deque(xs)
            due = deque(scalar(operation, x, inv, eps) for x in xs)
            quiet = 0
            while due:
                goes = bool(waiting) and next(go)
                unit.set(valid=int(goes), x=waiting[0] if goes else exact.number(random))
                await unit.cycles()
                if goes:
                    waiting.popleft()
                if unit.wires["result_valid"].get():
                    unit.must(**due.popleft())
                quiet += 1
                if quiet > 1000:
                    raise Mismatch("a result must come")
            unit.set(valid=0)
            await unit.cycles()
            unit.must(result_valid=0)

    return Case(f"{operation.name.lower()}", run, idle=idle)


SCALAR = Bench(
    "sfu_scalar",
    SfuScalar,
    [scalar_case(operation, idle) for operation in Scalar for idle in (ALWAYS, BURSTS)],
)


def steps_case(idle: Pattern) -> Case:
    """The exponent of a row, each group's scale and its inverse."""

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        for spread in (0, 3, 12, 40, 120):
            count = random.randint(1, 32)
            steps = [exact.number(random, 127 - spread, 127 + spread) for _ in range(count)]
            steps = [0 if random.random() < 0.1 else step & 0x7FFF_FFFF for step in steps]
            unit.set(clear=1)
            await unit.cycles()
            unit.set(clear=0)
            for step in steps:
                goes = False
                while not goes:
                    goes = next(go)
                    noise = exact.number(random) & 0x7FFF_FFFF
                    unit.set(valid=int(goes), step=step if goes else noise)
                    await unit.cycles()
            unit.set(valid=0)
            await unit.cycles(3)
            largest = exact.value(max(steps))
            exponent = exact.floor_log2(largest) - 7 if largest else 0
            looks: list[int | None] = []
            for number in range(80):
                looks.append(random.randrange(count) if number < 70 and next(go) else None)
                looked = looks[-1]
                group = random.randrange(32) if looked is None else looked
                unit.set(look=int(looked is not None), group=group)
                await unit.cycles()
                unit.must(exponent=exponent)
                place = looks[number - LATENCY] if number >= LATENCY else None
                if place is not None:
                    whole = exact.value(steps[place]) * exact.Fraction(2) ** -exponent
                    scale = min(max(whole.__ceil__(), 1), SCALE_MAX)
                    unit.must(scale=scale, inverse=exact.fl(exact.Fraction(1, scale)))

    return Case("rows", run, idle=idle)


STEPS = Bench("sfu_steps", lambda: SfuSteps(groups=32), [steps_case(idle) for idle in PATTERNS])

# What feeds the lanes, what they do, and what is made of it.


def rotate_case(idle: Pattern, pressure: Pattern) -> Case:
    """`idle` says when words are there, `pressure` when an operation may go."""

    async def run(unit: Unit) -> None:
        random = unit.random
        here, goes = unit.goes(idle), unit.goes(pressure)
        quads = [[word(random) for _ in range(4)] for _ in range(60)]
        pairs = deque(pair for x, c, y, s in quads for pair in ((x, c), (y, s)))
        names = ("p", "cosine", "q", "sine")
        due = deque(
            dict(zip(names, operands, strict=True))
            for x, c, y, s in quads
            for operands in ((x, c, y, s), (y, c, x, s))
        )
        while due:
            valid = bool(pairs) and next(here)
            a, b = pairs[0] if valid else (word(random), word(random))
            unit.set(words_valid=int(valid), a=a, b=b, go=1, room=int(next(goes)))
            await unit.cycles()
            if unit.wires["take"].get():
                if not valid:
                    raise Mismatch("words must be taken only where they are there")
                pairs.popleft()
            if unit.wires["issue"].get():
                unit.must(**due.popleft())
        unit.set(words_valid=0)
        await unit.cycles()
        unit.must(idle=1, issue=0)

    return Case("pairs", run, idle=idle, pressure=pressure)


ROTATE = Bench("sfu_rotate", lambda: SfuRotate(lanes=LANES), crossed(rotate_case))


def pack_case(lanes: int, idle: Pattern, pressure: Pattern) -> Case:
    """Blocks of 16 in order, each group's sum with its second half."""

    async def run(unit: Unit) -> None:
        random = unit.random
        here, takes = unit.goes(idle), unit.goes(pressure)
        for _ in range(8):
            exponent, offset = random.randint(-20, 20), random.choice((0, random.randrange(lanes)))
            words = [
                [exact.number(random, 120 + exponent, 135 + exponent) for _ in range(lanes)]
                for _ in range(16 // lanes * random.randint(1, 10))
            ]
            values = []
            for given in words:
                row = [exact.int8(x, exponent) for x in given]
                values += row[offset:] + [0] * offset
            due = deque(
                {"block": values[i : i + 16], "half": i // 16 % 2}
                | ({"sum": sum(values[i - 16 : i + 16])} if i // 16 % 2 else {})
                for i in range(0, len(values), 16)
            )
            unit.set(exponent=exponent, offset=offset, clear=1, valid=0)
            await unit.cycles()
            unit.set(clear=0)
            given = taken = 0
            while due:
                valid = given < len(words) and given - taken < DEPTH and next(here)
                ready = next(takes)
                unit.set(valid=int(valid), block_ready=int(ready))
                unit.set(word=words[given] if valid else [0x3F80_0000] * lanes)
                await unit.cycles()
                given, taken = given + valid, taken + unit.wires["taken"].get()
                if unit.wires["block_valid"].get():
                    unit.must(**due[0])
                    if ready:
                        due.popleft()
            unit.set(valid=0, block_ready=0)
            await unit.cycles(3)
            unit.must(block_valid=0)

    return Case("groups", run, idle=idle, pressure=pressure)


PACKS = [
    Bench(
        f"sfu_pack_{lanes}",
        lambda lanes=lanes: SfuPack(lanes=lanes),
        crossed(partial(pack_case, lanes)),
    )
    for lanes in (4, 16)
]


class Lane(Component):
    """A lane and its ROM."""

    def __init__(self) -> None:
        self._lane = SfuLane()
        outer = {
            name: member
            for name, member in self._lane.signature.members.items()
            if not name.startswith("rom_")
        }
        super().__init__(outer)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lane = lane = self._lane
        m.submodules.rom = rom = TableRom(tables=TABLES)
        m.d.comb += [
            rom.enable[0].eq(lane.rom_enable),
            rom.address[0].eq(lane.rom_address),
            lane.rom_row.eq(rom.row[0]),
        ]
        for name in self.signature.members:
            inner, outer = getattr(lane, name), getattr(self, name)
            inward = name not in ("late", "result_valid", "result")
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        return m


Operands = dict[str, int]


def difference(x: Operands) -> int:
    return exact.add(x["a"], x["s"] ^ 1 << 31)


def squared(x: int) -> int:
    return exact.multiply(x, x)


def activated(table: Table) -> Callable[[Operands], int]:
    return lambda x: exact.multiply(x["a"], exact.distribution(x["a"], table))


def gated(value: Callable[[Operands], int]) -> Callable[[Operands], int]:
    return lambda x: exact.multiply(value(x), x["c"])


def relu(x: Operands) -> int:
    return exact.multiply(0 if x["a"] >> 31 else x["a"], x["t"])


def exponential(x: Operands) -> int:
    return exact.exponential_of_product(exact.multiply(difference(x), x["t"]))


def soft_cap(x: Operands) -> int:
    value = exact.distribution(exact.multiply(x["a"], x["t"]), SIGMOID)
    return exact.multiply(exact.add(value, HALF | 1 << 31), x["s"])


HALF = 0x3F00_0000
ADD, MULTIPLY, FUNCTION = ({"entry": entry.value} for entry in Entry)
FROM_S = ADD | {"multiply": 1}
ROUTES: dict[str, tuple[dict[str, int], Callable[[Operands], int]]] = {
    "sum": (ADD | {"operand": 1}, lambda x: exact.add(x["a"], x["b"])),
    "difference": (ADD, difference),
    "scaled_difference": (FROM_S, lambda x: exact.multiply(difference(x), x["t"])),
    "squared_difference": (FROM_S | {"square": 1}, lambda x: squared(difference(x))),
    "gated_difference": (
        FROM_S | {"gate": 1},
        gated(lambda x: exact.multiply(difference(x), x["t"])),
    ),
    "product": (MULTIPLY, lambda x: exact.multiply(x["a"], x["t"])),
    "square": (MULTIPLY | {"square": 1}, lambda x: squared(x["a"])),
    "gated_product": (MULTIPLY | {"gate": 1}, gated(lambda x: exact.multiply(x["a"], x["t"]))),
    "relu": (MULTIPLY | {"relu": 1}, relu),
    "gated_relu": (MULTIPLY | {"relu": 1, "gate": 1}, gated(relu)),
    "exp": (FROM_S | {"exp": 1, "function": EXP}, exponential),
    "soft_cap": (
        MULTIPLY | {"exp": 1, "centre": 1, "function": NUMBERS[SIGMOID.name]},
        soft_cap,
    ),
    **{
        table.name.lower(): (FUNCTION | {"function": NUMBERS[table.name]}, activated(table))
        for table in LOOKED_UP
    },
    "gated_sigmoid": (
        FUNCTION | {"function": NUMBERS[SIGMOID.name], "gate": 1},
        gated(activated(SIGMOID)),
    ),
}


def rotated(index: int, x: Operands) -> int:
    """`a * b - d * c`, or `+`, by turns."""
    right = exact.multiply(x["d"], x["c"])
    return exact.add(exact.multiply(x["a"], x["b"]), right if index % 2 else right ^ 1 << 31)


def lane_case(name: str, idle: Pattern) -> Case:
    """An operation each cycle, results in order. `c` is asked for by `late`; `rotate` has it."""
    rotates = name == "rotate"
    way, value = ({"rotate": 1}, lambda _: 0) if rotates else ROUTES[name]

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        fields = dict.fromkeys(route.members, 0) | way

        def number() -> int:
            return exact.number(random, 115, 134)

        s = number()
        if name == "exp":
            s &= 0x7FFF_FFFF
        constants = {"s": s, "t": exact.LOG2E if name == "exp" else number()}
        operands = [
            {port: number() for port in ("a", "b", "c", "d")} | constants for _ in range(600)
        ]
        if name == "exp":  # not above `s`, the largest
            for x in operands:
                x["a"] |= 1 << 31
        due = deque(rotated(index, x) if rotates else value(x) for index, x in enumerate(operands))
        waiting, factors = deque(operands), deque(x["c"] for x in operands)
        unit.set(route=fields, **constants)
        await unit.cycles()
        quiet = 0
        while due:
            goes = bool(waiting) and next(go)
            given = waiting[0] if goes else {port: number() for port in ("a", "b", "c", "d")}
            unit.set(valid=int(goes), **{port: given[port] for port in ("a", "b", "d")})
            unit.set(c=given["c"] if rotates else factors[0] if factors else 0)
            await unit.cycles()
            if goes:
                waiting.popleft()
            if unit.wires["late"].get():
                factors.popleft()
            quiet = 0 if goes else quiet + 1
            if unit.wires["result_valid"].get():
                unit.must(result=due.popleft())
            if quiet > 200:
                raise Mismatch(f"{len(due)} results must come")
        unit.set(valid=0)
        await unit.cycles()
        unit.must(result_valid=0)

    return Case(f"{name}", run, idle=idle)


LANE = Bench(
    "sfu_lane",
    Lane,
    [lane_case(name, idle) for name in (*ROUTES, "rotate") for idle in (ALWAYS, BURSTS)],
)

# Passes. What they make of a row is for the bench of `Sfu` to see.

PASSES = {"RMSNORM": 2, "LAYERNORM": 4, "SOFTMAX": 3, "ROPE": 1, "ACT": 1, "ADD": 1, "QUANT": 2,
          "QUANTKV": 2, "SOFTCAP": 1, "ARGMAX": 1}  # fmt: skip


def edge(random: Random, field: str) -> int:
    """A power of two, one less, or the most there may be."""
    most = MISC_COUNTS.get(field, (1 << 16) - 1)
    power = 1 << random.randrange(most.bit_length())
    return random.choice((power, max(power - 1, 1), most))


def instructions(random: Random) -> list[dict[str, Any]]:
    found = []
    for name, passes in PASSES.items():
        for step in range(passes):
            for _ in range(8):
                names = [field.name for field in BY_NAME[name].fields]
                fields = {field: random.choice((random.randint(1, 200), edge(random, field)))
                          for field in names}  # fmt: skip
                choices = {"broadcast": 2, "gated": 2, "func": 4, "first": 2, "step": 2}
                fields |= {key: random.randrange(choices[key]) for key in choices if key in names}
                if "dim" in names:
                    fields["dim"] = 2 * LANES * random.randint(1, 16)
                fields["opcode"] = opcode(name)
                count = random.randint(1, fields.get("len", 200))
                places = (random.randrange(WORDS), random.randrange(WORDS))
                row = dict(zip(("src", "dst"), places, strict=True))
                found.append({"command": fields, "step": step, "count": count, "element": 0} | row)
    return found


NAMES = {BY_NAME[name].opcode: name for name in PASSES}


def settled_case(
    draw: Callable[[Random], list[dict[str, Any]]], model: Callable[..., dict[str, Any]]
) -> Case:
    """What follows from inputs that hold still."""

    async def run(unit: Unit) -> None:
        for inputs in draw(unit.random):
            unit.set(**inputs)
            await unit.cycles(4)
            unit.must(**model(**inputs))

    return Case(draw.__name__, run)


def planned(
    command: dict[str, int], step: int, src: int, dst: int, count: int, element: int
) -> dict[str, Any]:
    """How far a row goes, which pass is its last, and where words come from and go."""
    name = NAMES[command["opcode"]]
    row = -(-command["len"] // LANES) if "len" in command else 0

    def path(base: int, *loops: tuple[int, int]) -> dict[str, Any]:
        loops = (*loops, *[(1, 0)] * (LEVELS - len(loops)))
        counts, strides = map(list, zip(*loops, strict=True))
        return {"base": base, "counts": counts, "strides": strides}

    plan: dict[str, Any] = {"last": int(step == PASSES[name] - 1), "limit": count}
    match name:
        case "RMSNORM":
            plan["a"] = path(src, (row, 1))
            if step:
                plan |= {"b": path(command["gain"], (row, 1)), "write": path(dst, (row, 1))}
        case "ACT":
            plan |= {"a": path(command["a"], (command["count"], 1)), "uses_b": command["gated"]}
            plan["write"] = path(dst, (command["count"], 1))
        case "SOFTCAP":
            rows = path(src, (command["words"], 1), (command["rows"], command["stride"]))
            plan |= {"a": rows, "write": rows, "uses_b": 0}
        case "ADD":
            rows, words = command["rows"], command["words"]
            plan["a"] = path(command["a"], (words, 1), (rows, words))
            skip = 0 if command["broadcast"] else words
            plan["b"] = path(command["b"], (words, 1), (rows, skip))
            plan["write"] = path(dst, (words, 1), (rows, words))
        case "ROPE":
            half, whole = command["dim"] // (2 * LANES), command["dim"] // LANES
            both = ((2, half), (half, 1), (command["heads"], whole))
            plan["a"] = plan["write"] = path(src, *both, (command["rows"], command["stride"]))
            turns = ((2, half), (half, 1), (command["heads"], 0), (command["rows"], whole))
            plan["b"] = path(command["table"], *turns)
        case "QUANTKV":
            del plan["limit"]
    found: dict[str, Any] = {"plan": plan}
    if "len" in command:
        found["row_words"] = row
    if name in ("QUANT", "QUANTKV"):
        found["groups"] = -(-command["len" if name == "QUANT" else "dim"] // 32)
    return found


PLAN = Bench(
    "sfu_plan",
    lambda: SfuPlan(lanes=LANES),
    [settled_case(instructions, planned)],
)


def counted(random: Random) -> list[dict[str, Any]]:
    """Each count of each instruction at its edges and beyond, the others at some edge."""
    found = []
    for name in PASSES:
        drawn = {field.name: 0 for field in BY_NAME[name].fields} | {"opcode": opcode(name)}
        counts = [field for field in drawn if field in MISC_COUNTS]
        if "dim" in drawn:
            drawn["dim"] = 2 * LANES
        for field in counts:
            powers = [1 << power for power in range(MISC_COUNTS[field].bit_length())]
            most = MISC_COUNTS[field]
            for value in (0, *powers, most, most + 1, 1 << 20, 1 << 31):
                others = {other: edge(random, other) for other in counts}
                found.append({"command": drawn | others | {field: value}, "groups": 1})
    return found


def checked(command: dict[str, int], groups: int) -> dict[str, Any]:
    """As the contract counts: nothing to do where a count is zero; too much is out of range."""
    name = NAMES[command["opcode"]]
    beyond = [field for field, most in MISC_COUNTS.items() if command.get(field, 0) > most]
    if beyond:
        refusal = {"code": Code.OUT_OF_RANGE.value, "detail": command[beyond[0]]}
        return {"refused": 1, "refusal": refusal}
    empty = any(command[field] == 0 for field in BY_NAME[name].cycles.counts)
    return {"nothing": int(empty), "refused": 0}


CHECK = Bench(
    "sfu_check",
    lambda: SfuCheck(lanes=LANES),
    [settled_case(counted, checked)],
)


@each_case(CHECK, ADDRESSES, READER, WRITER, MAX, *SUMS, SCALAR, STEPS, ROTATE, *PACKS, LANE, PLAN)
def test_sfu_parts(case: BoundCase) -> None:
    case.check()


def test_parameters_are_checked() -> None:
    refuses("lanes must be a power of two, at least 2, not 3", lambda: SfuMax(lanes=3))
    refuses("lanes must be 2, 4, 8 or 16, not 1", lambda: SfuSum(lanes=1))
    refuses("lanes must be 2, 4, 8 or 16, not 3", lambda: SfuPack(lanes=3))
    refuses("lanes must be 2, 4, 8 or 16, not 3", lambda: SfuPlan(lanes=3))
    refuses("groups must be at least 2, not 1", lambda: SfuSteps(groups=1))
