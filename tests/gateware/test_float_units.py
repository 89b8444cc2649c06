"""fp32 units, bit for bit against exact fractions."""

from collections.abc import Callable
from random import Random
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Component, In, Out
from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import (
    ALWAYS,
    BURSTS,
    Bench,
    BoundCase,
    Mismatch,
    Unit,
    case,
    each_case,
    pipeline_cases,
)
from alula.gateware.arithmetic import float_activation, float_add, float_multiply, float_root
from alula.gateware.arithmetic.float_activation import NUMBERS, FloatActivation, shape
from alula.gateware.arithmetic.float_convert import (
    FIXED_LATENCY,
    INT8_LATENCY,
    INTEGER_LATENCY,
    UNMOVED,
    FloatToFixed,
    FloatToInt8,
    IntegerToFloat,
)
from alula.gateware.arithmetic.float_format import clean, rounds_up, to_bf16
from alula.gateware.arithmetic.float_table import (
    ROM_LATENCY,
    Interpolate,
    TableRom,
    coefficients,
    offsets,
)
from alula.gateware.matrix.output_stage import LANE_LATENCY, OutputLane
from alula.isa.functions import EXP2, LOOKED_UP, TABLES

FUNCTIONS = tuple(table.name for table in TABLES)


def _bench(
    name: str,
    make: Callable[[], Component],
    model: Callable[..., Any],
    table: Callable[[Random], list],
    latency: int,
    inputs: tuple[str, ...],
) -> Bench:
    cases = pipeline_cases(
        {"numbers": table},
        model,
        latency=latency,
        inputs=inputs,
        output="result",
        valid=("valid", "result_valid"),
        patterns=(ALWAYS, BURSTS),
    )
    return Bench(name, make, cases)


def _operations(random: Random) -> list[tuple[int, int, int]]:
    return [(a, b, random.getrandbits(1)) for a, b in exact.pairs(random, 30_000)]


def _add(a: int, b: int, subtract: int) -> int:
    return exact.fl(exact.value(a) + (-exact.value(b) if subtract else exact.value(b)))


ADD = _bench(
    "float-add",
    float_add.FloatAdd,
    _add,
    _operations,
    float_add.LATENCY,
    ("a", "b", "subtract"),
)
MULTIPLY = _bench(
    "float-multiply",
    float_multiply.FloatMultiply,
    exact.multiply,
    lambda random: list(exact.pairs(random, 30_000)),
    float_multiply.LATENCY,
    ("a", "b"),
)


def _integers(width: int):
    def table(random: Random) -> list[int]:
        values = [0, 1, -1, (1 << width - 1) - 1, -(1 << width - 1)]
        for bits in range(25, width - 1):  # ties and their neighbours
            values += [
                (1 << bits) + (odd << bits - 24) + near
                for odd in (1, 3, (1 << 24) - 1)
                for near in (-1, 0, 1)
            ]
        return values + [
            random.getrandbits(random.randrange(1, width)) * random.choice((1, -1))
            for _ in range(5_000)
        ]

    return table


FROM_INTEGER = [
    _bench(
        f"integer-to-float-{width}",
        lambda width=width: IntegerToFloat(width=width),
        exact.fl,
        _integers(width),
        INTEGER_LATENCY,
        ("value",),
    )
    for width in (26, 48)
]


def _fractions(random: Random) -> list[tuple[int, int]]:
    numbers = [
        *exact.numbers(random, 1_000),
        *(exact.number(random, 90, 140) for _ in range(5_000)),
    ]
    return [(x, UNMOVED - random.choice((0, 15, 16, 17, 31))) for x in numbers]


TO_FIXED = _bench(
    "float-to-fixed",
    FloatToFixed,
    lambda x, unmoved: exact.fixed(x, UNMOVED - unmoved, 25),
    _fractions,
    FIXED_LATENCY,
    ("x", "unmoved"),
)


LEAST = -126 - 7
"""Exponent of a row of QUANT whose largest step is the smallest number."""


def _to_int8(random: Random) -> list[tuple[int, int]]:
    found = []
    for x in exact.numbers(random, 8_000):
        near = (x >> 23 & 0xFF) - 127 - random.randint(-4, 8)
        exponent = random.choice((near, near, random.randint(LEAST, 130)))
        found.append((x, max(exponent, LEAST)))
    # Every tie.
    return found + [(exact.fl(exact.Fraction(whole, 2)), 0) for whole in range(-256, 256)]


TO_INT8 = _bench(
    "float-to-int8", FloatToInt8, exact.int8, _to_int8, INT8_LATENCY, ("x", "exponent")
)


class _Format(wiring.Component):
    """What enters from memory, and what KV scales become."""

    bits: In(32)
    cleaned: Out(32)
    half: Out(16)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = to_bf16(self.bits, rounds_up(self.bits))
        m.d.comb += [self.cleaned.eq(clean(self.bits)), self.half.eq(half)]
        return m


def _formatted(output: str, model: Callable[[int], int], table: Callable[[Random], list]):
    return pipeline_cases(
        {output: table}, model, latency=0, inputs=("bits",), output=output, patterns=(ALWAYS,)
    )


def _every_exponent(random: Random) -> list[int]:
    return [
        random.getrandbits(1) << 31 | exponent << 23 | mantissa
        for exponent in range(256)
        for mantissa in (0, 1, 0x7FFFFF, random.getrandbits(23))
    ]


FORMAT = Bench(
    "float-format",
    _Format,
    [
        *_formatted("cleaned", exact.clean, _every_exponent),
        *_formatted("half", exact.bf16, lambda random: list(exact.numbers(random, 4_000))),
    ],
)


class Activation(wiring.Component):
    """An activation and its ROM."""

    valid: In(1)
    function: In(shape)
    x: In(32)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = FloatActivation()
        m.submodules.rom = rom = TableRom(tables=float_activation.TABLES, ports=2)
        m.d.comb += [
            unit.valid.eq(self.valid),
            unit.function.eq(self.function),
            unit.x.eq(self.x),
            rom.enable[1].eq(unit.rom_enable),
            rom.address[1].eq(unit.rom_address),
            unit.rom_row.eq(rom.row[1]),
            self.result_valid.eq(unit.result_valid),
            self.result.eq(unit.result),
        ]
        return m


def _arguments(bound: int):
    def table(random: Random) -> list[int]:
        return [
            *exact.numbers(random, 500),
            *(exact.number(random, 108, 131) for _ in range(5_000)),
            *(
                exact.fl(bound * sign + exact.Fraction(step, 2**20))
                for step in range(-40, 40)
                for sign in (1, -1)
            ),
        ]

    return table


def exponents(random: Random) -> list[int]:
    """Arguments of exp times log2(e), none of them positive."""
    xs = [
        *(x | 1 << 31 if x else 0 for x in exact.numbers(random, 500)),
        *(exact.number(random, 108, 134) | 1 << 31 for _ in range(5_000)),
        *(exact.fl(exact.Fraction(-8733654 - step, 10**5)) for step in range(-300, 300)),
    ]
    return [exact.multiply(x, exact.LOG2E) for x in xs]


def _activation_cases(function: str, model: Callable[[int], int], table: Callable):
    return pipeline_cases(
        {function.lower(): table},
        model,
        latency=float_activation.LATENCY,
        inputs=("x",),
        output="result",
        valid=("valid", "result_valid"),
        settings={"function": NUMBERS[function]},
        patterns=(ALWAYS, BURSTS),
    )


ACTIVATION = Bench(
    "float-activation",
    Activation,
    [
        *(
            found
            for table in LOOKED_UP
            for found in _activation_cases(
                table.name,
                lambda x, table=table: exact.distribution(x, table),
                _arguments(int(table.high)),
            )
        ),
        *_activation_cases(EXP2.name, exact.exponential_of_product, exponents),
    ],
)


def roots(random: Random) -> list[tuple[int, int]]:
    xs = [x & ~(1 << 31) for x in exact.numbers(random, 8_000)]
    return [(x, root) for x in xs for root in (0, 1) if x or root]


ROOT = _bench(
    "float-root",
    float_root.FloatRoot,
    lambda x, root: exact.reciprocal_root(x) if root else exact.reciprocal(x),
    roots,
    float_root.LATENCY,
    ("x", "root"),
)


def _accumulators(random: Random) -> list[tuple[int, int, int]]:
    """Accumulators of every length, factors as memory may hold them, powers to both ends."""
    return [
        (
            random.getrandbits(random.randint(1, 47)) * random.choice((1, -1)),
            random.choice((random.getrandbits(16), exact.bf16(exact.number(random, 60, 190)))),
            random.choice((-512, 511, random.randint(-60, 60), random.randint(-200, 200))),
        )
        for _ in range(8_000)
    ]


def _finished(value: int, factor: int, power: int) -> int:
    product = exact.multiply(exact.fl(value), exact.clean(factor << 16))
    return exact.fl(exact.value(product) * exact.Fraction(2) ** power)


FINISH = Bench(
    "finish-lane",
    OutputLane,
    pipeline_cases(
        {"accumulators": _accumulators},
        _finished,
        latency=LANE_LATENCY,
        inputs=("value", "factor", "power"),
        output="result",
        settings={"valid": 1},
        patterns=(ALWAYS, BURSTS),
    ),
)

STEP = max(table.step_bits for table in TABLES)


def _segments(random: Random) -> list[tuple[dict[str, int], int]]:
    """Both ends of every segment."""
    return [
        ({"c0": c0, "c1": c1}, rest)
        for table in TABLES
        for c0, c1 in zip(*table.coefficients, strict=True)
        for rest in (0, ((1 << table.step_bits) - 1) << STEP - table.step_bits)
    ]


INTERPOLATE = _bench(
    "interpolate",
    lambda: Interpolate(row=coefficients(FUNCTIONS), width=25, step=STEP),
    lambda row, rest: row["c0"] + (row["c1"] * rest >> STEP),
    _segments,
    2,
    ("row", "rest"),
)


@case
async def rows_of_both_ports(unit: Unit) -> None:
    """Every row comes through each port, and stays until another one is asked for."""
    starts = offsets(FUNCTIONS)
    rows = {
        starts[table.name] + index: {"c0": c0, "c1": c1}
        for table in TABLES
        for index, (c0, c1) in enumerate(zip(*table.coefficients, strict=True))
    }
    asked: list[list[int]] = [[], []]
    places = [list(rows), list(rows)]
    for found in places:
        unit.random.shuffle(found)
    shown: list = [None, None]
    for cycle in range(2 * len(rows)):
        for port in range(2):
            go = bool(places[port]) and unit.random.random() < 0.7
            unit.wires[f"enable__{port}"].set(int(go))
            width = unit.wires[f"address__{port}"].width
            place = places[port].pop() if go else unit.random.getrandbits(width)
            unit.wires[f"address__{port}"].set(place)
            asked[port].append(place if go else -1)
        await unit.cycles()
        for port in range(2):
            if cycle >= ROM_LATENCY and asked[port][cycle - ROM_LATENCY] >= 0:
                shown[port] = rows[asked[port][cycle - ROM_LATENCY]]
            found = unit.wires[f"row__{port}"].get()
            if shown[port] is not None and found != shown[port]:
                raise Mismatch(f"port {port} must show {shown[port]}, not {found}")
    if any(places):
        raise Mismatch("every row must have been asked for")


ROM = Bench("table-rom", lambda: TableRom(tables=FUNCTIONS, ports=2), [rows_of_both_ports])


@each_case(
    ADD,
    MULTIPLY,
    *FROM_INTEGER,
    TO_FIXED,
    TO_INT8,
    FORMAT,
    ACTIVATION,
    ROOT,
    FINISH,
    INTERPOLATE,
    ROM,
)
def test_float_units(case: BoundCase) -> None:
    case.check()


def test_interpolation_is_the_contracts_table() -> None:
    """What the bench of `Interpolate` expects, from the tables themselves."""
    for table in TABLES:
        for index, (c0, c1) in enumerate(zip(*table.coefficients, strict=True)):
            for rest in (0, (1 << table.step_bits) - 1):
                value = table(index << table.step_bits | rest)
                assert value == c0 + (c1 * rest >> table.step_bits)


def test_refused() -> None:
    refuses("width must be 26 to 64, not 25", lambda: IntegerToFloat(width=25))
    refuses(r"tables must be among EXP2, .*, not 'SINE'", lambda: TableRom(tables=("SINE",)))
    refuses("ports must be 1 or 2, not 3", lambda: TableRom(tables=("RECIP",), ports=3))
