# amaranth: UnusedElaboratable=no
"""fp32 units, bit for bit against exact fractions."""

from random import Random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from tests.gateware import exact
from tests.gateware.pipelines import through

from alula.bench import ALWAYS, BURSTS, Bench, BoundCase, each_case, pipeline_cases
from alula.gateware import float_activation, float_add, float_multiply, float_root
from alula.gateware.float_activation import FloatActivation, Function
from alula.gateware.float_convert import (
    FIXED_LATENCY,
    INT8_LATENCY,
    INTEGER_LATENCY,
    FloatToFixed,
    FloatToInt8,
    IntegerToFloat,
)
from alula.gateware.float_format import clean, to_bf16
from alula.gateware.float_table import Interpolate, TableRom, coefficients
from alula.isa.functions import PHI, PHI_TANH, SIGMOID, TABLES


def _operations(random: Random) -> list[tuple[int, int, int]]:
    return [(a, b, random.getrandbits(1)) for a, b in exact.pairs(random, 30_000)]


def _add(a: int, b: int, subtract: int) -> int:
    return exact.fl(exact.value(a) + (-exact.value(b) if subtract else exact.value(b)))


def _bench(name: str, make, model, table, latency: int, inputs: tuple[str, ...]) -> Bench:
    cases = pipeline_cases(
        {"pairs": table},
        model,
        latency=latency,
        inputs=inputs,
        output="result",
        settings={"valid": 1},
        patterns=(ALWAYS, BURSTS),
    )
    return Bench(name, make, cases)


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


@each_case(ADD, MULTIPLY)
def test_arithmetic(case: BoundCase) -> None:
    case.check()


@pytest.mark.parametrize(
    ("unit", "latency", "inputs"),
    [
        (float_add.FloatAdd, float_add.LATENCY, ("a", "b", "subtract")),
        (float_multiply.FloatMultiply, float_multiply.LATENCY, ("a", "b")),
    ],
)
def test_valid_passes_through(unit, latency: int, inputs: tuple[str, ...]) -> None:
    vectors = [dict.fromkeys(inputs, 0) | {"a": a, "b": a} for a in exact.EDGES]
    through(unit(), latency, vectors, idle=0.5)


@pytest.mark.parametrize("width", [26, 48])
def test_integer_to_float(width: int) -> None:
    random = Random(3)
    values = [0, 1, -1, (1 << width - 1) - 1, -(1 << width - 1)]
    for bits in range(25, width - 1):  # ties and their neighbours
        values += [
            (1 << bits) + (odd << bits - 24) + near
            for odd in (1, 3, (1 << 24) - 1)
            for near in (-1, 0, 1)
        ]
    values += [
        random.getrandbits(random.randrange(1, width)) * random.choice((1, -1))
        for _ in range(5_000)
    ]
    results = through(
        IntegerToFloat(width=width), INTEGER_LATENCY, [{"value": value} for value in values]
    )
    assert results == [exact.fl(value) for value in values]


@pytest.mark.parametrize("width", [8, 20, 25])
def test_to_fixed(width: int) -> None:
    random = Random(4)
    vectors = [
        {"x": x, "fraction": random.choice((0, 15, 16, 17, 31))}
        for x in (
            *exact.numbers(random, 1_000),
            *(exact.number(random, 90, 140) for _ in range(5_000)),
        )
    ]
    results = through(FloatToFixed(width=width), FIXED_LATENCY, vectors)
    for vector, result in zip(vectors, results, strict=True):
        assert result == exact.fixed(vector["x"], vector["fraction"], width), vector


def test_to_int8() -> None:
    random = Random(5)
    vectors = []
    for x in exact.numbers(random, 8_000):
        near = (x >> 23 & 0xFF) - 127 - random.randint(-4, 8)
        vectors.append({"x": x, "exponent": random.choice((near, near, random.randint(-140, 130)))})
    for whole in range(-256, 256):  # every tie
        vectors.append({"x": exact.fl(exact.Fraction(whole, 2)), "exponent": 0})
    results = through(FloatToInt8(), INT8_LATENCY, vectors)
    for vector, result in zip(vectors, results, strict=True):
        assert result == exact.int8(vector["x"], vector["exponent"]), vector


def test_clean_and_bf16() -> None:
    random = Random(6)
    bits = Signal(32)
    cleaned, half = Signal(32), Signal(16)
    m = Module()
    m.d.comb += [cleaned.eq(clean(bits)), half.eq(to_bf16(bits))]

    async def bench(ctx) -> None:
        for x in exact.numbers(random, 4_000):
            ctx.set(bits, x)
            assert ctx.get(half) == exact.bf16(x)
        for exponent in range(256):
            for mantissa in (0, 1, 0x7FFFFF, random.getrandbits(23)):
                x = random.getrandbits(1) << 31 | exponent << 23 | mantissa
                ctx.set(bits, x)
                assert ctx.get(cleaned) == exact.clean(x)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


class _Activation(wiring.Component):
    """An activation and its ROM."""

    valid: In(1)
    function: In(Function)
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


@pytest.mark.parametrize(
    ("function", "table", "fraction", "bound"),
    [
        (Function.SIGMOID, SIGMOID, 15, 16),
        (Function.PHI, PHI, 16, 8),
        (Function.PHI_TANH, PHI_TANH, 16, 8),
    ],
)
def test_activation(function: Function, table, fraction: int, bound: int) -> None:
    random = Random(7)
    xs = [
        *exact.numbers(random, 500),
        *(exact.number(random, 108, 131) for _ in range(5_000)),
        *(
            exact.fl(bound * sign + exact.Fraction(step, 2**20))
            for step in range(-40, 40)
            for sign in (1, -1)
        ),
    ]
    results = through(
        _Activation(),
        float_activation.LATENCY,
        [{"function": function.value, "x": x} for x in xs],
    )
    for x, result in zip(xs, results, strict=True):
        assert result == exact.distribution(x, table, fraction, bound), hex(x)


def test_exp() -> None:
    random = Random(8)
    xs = [
        *(x | 1 << 31 if x else 0 for x in exact.numbers(random, 500)),
        *(exact.number(random, 108, 134) | 1 << 31 for _ in range(5_000)),
        *(exact.fl(exact.Fraction(-8733654 - step, 10**5)) for step in range(-300, 300)),
    ]
    products = [exact.multiply(x, exact.LOG2E) for x in xs]
    results = through(
        _Activation(),
        float_activation.LATENCY,
        [{"function": Function.EXP.value, "x": x} for x in products],
    )
    for x, result in zip(xs, results, strict=True):
        assert result == exact.exponential(x), hex(x)


@pytest.mark.parametrize("root", [0, 1])
def test_root(root: int) -> None:
    random = Random(9)
    xs = [x & ~(1 << 31) for x in exact.numbers(random, 8_000)]
    xs = [x for x in xs if x or root]
    results = through(
        float_root.FloatRoot(), float_root.LATENCY, [{"x": x, "root": root} for x in xs]
    )
    expected = exact.reciprocal_root if root else exact.reciprocal
    for x, result in zip(xs, results, strict=True):
        assert result == expected(x), hex(x)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_segment(table) -> None:
    c0, c1 = table.coefficients
    step = table.step_bits
    unit = Interpolate(row=coefficients((table.name,)), width=25, step=step)
    vectors = [
        {"row": {"c0": c0[index], "c1": c1[index]}, "rest": rest}
        for index in range(table.segments)
        for rest in (0, (1 << step) - 1)
    ]
    results = through(unit, 2, vectors)
    assert results == [
        table(index << step | rest)
        for index in range(table.segments)
        for rest in (0, (1 << step) - 1)
    ]


def test_refused() -> None:
    with pytest.raises(ValueError, match="width must be 26 to 64, not 25"):
        IntegerToFloat(width=25)
    with pytest.raises(ValueError, match="width must be 8 to 25, not 26"):
        FloatToFixed(width=26)
    with pytest.raises(ValueError, match=r"tables must be among EXP2, .*, not 'SINE'"):
        TableRom(tables=("SINE",))
    with pytest.raises(ValueError, match="ports must be 1 or 2, not 3"):
        TableRom(tables=("RECIP",), ports=3)
