"""Cycles: what the contract's formulas say, and what the counters of the gateware count.

Each instruction runs alone, drawn at random, with all that it needs at hand: weights in the stream,
a memory of fixed latency.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from tests.rtl.programs import NANO, SPARSE

from alula.design import GROUP, Design
from alula.design.engines import VECTOR_BANKS
from alula.gateware.control.activity import Activity
from alula.gateware.control.command import sources
from alula.gateware.top.latencies import latencies, sizes
from alula.isa import INSTRUCTIONS, Engine, Op, Program, encode_all
from alula.isa.cycles import DISPATCH, EXACT, LATENCIES, SIZES
from alula.isa.encoding import Value
from alula.isa.fields import Choice, Flag
from alula.isa.formats import WEIGHT_FORMATS
from alula.isa.formula import Formula, numbers
from alula.isa.instructions import BY_NAME, Instruction
from alula.rtl.device import RtlDevice, Timing

READ, ACK = 20, 10
SEED = 11
WAIT = 40
"""Divisions that the sequencer makes while weights come."""
WIDE = NANO.replace({"sfu.lanes": 16, "part.dsp": 1000, "mpe.tokens": 4})
Values = dict[str, Value]


class Wrong(Exception):
    """An instruction that does not take what the contract says."""


class Meter:
    """Runs an instruction and counts the cycles in which its engine holds it."""

    def __init__(self, design: Design) -> None:
        self.design = design
        timing = Timing(read_latency=READ, write_latency=ACK)
        self.device = RtlDevice(design, timing=timing, patience=5000)
        self.known = latencies(design) | sizes(design) | {"READ": READ, "ACK": ACK}
        self._empty = self._cycles([])

    def check(self, name: str, values: Values) -> None:
        instruction = BY_NAME[name]
        cycles = instruction.cycles
        known = self.known | numbers(dict(values))  # type: ignore[arg-type]
        least = cycles(known)
        taken = self._taken(instruction, values)
        most = None if cycles.slack is None else least + cycles.slack(known)
        if taken < least or (most is not None and taken > most):
            raise Wrong(f"{name} {values} must take {least} to {most} cycles, not {taken}")

    def dispatched(self, instruction: Instruction) -> int:
        """Busy cycles of the sequencer for an instruction that does nothing, beside END's."""
        counters = [
            self.device.run(self._program(ops), {}).counters["sys.busy"]
            for ops in ([], [Op(instruction.name)])
        ]
        return counters[1] - counters[0]

    def _taken(self, instruction: Instruction, values: Values) -> int:
        op = Op(instruction.name, values)
        if instruction.engine is Engine.SYS:
            body = [Op("NOP")] * int(values.get("body", 0))  # type: ignore[arg-type]
            rest = len(body) * int(values.get("count", 0)) * self.known["EXECUTE"]  # type: ignore[arg-type]
            return self._cycles([op, *body]) - self._empty - rest
        before, after = [], []
        if instruction.engine in (Engine.MM, Engine.MV) and values:
            before = [self._weights(instruction.engine, values), *[Op("SDIV", {"b": 1})] * WAIT]
        if instruction.name == "LD.W":
            after = [*[Op("SDIV", {"b": 1})] * WAIT, self._product(values)]
        return self._held([*before, op, *after], instruction.engine)

    def _weights(self, engine: Engine, values: Values) -> Op:
        shape = {field: values[field] for field in ("fmt", "nm", "groups")}
        rows = self.design.rows * WEIGHT_FORMATS[values["fmt"], values["nm"]].pattern.segments  # type: ignore[index]
        blocks = -(-int(values["outputs"]) // rows)  # type: ignore[arg-type]
        return Op("LD.W", shape | {"to": engine.name, "addr": 0, "blocks": blocks})

    def _product(self, values: Values) -> Op:
        shape = {field: values[field] for field in ("fmt", "nm", "groups")}
        rows = self.design.rows * WEIGHT_FORMATS[values["fmt"], values["nm"]].pattern.segments  # type: ignore[index]
        outputs = int(values["blocks"]) * rows  # type: ignore[arg-type]
        return Op(str(values["to"]), shape | {"outputs": outputs, "rows": 1})

    def _program(self, ops: list[Op]) -> Program:
        code = encode_all([*ops, Op("END")])
        return Program("cycles", self.design.hash, code, {1: 0x3F000000, 2: 0x37000000}, {})

    def _cycles(self, ops: list[Op]) -> int:
        return self.device.run(self._program(ops), {}).cycles

    def _held(self, ops: list[Op], engine: Engine) -> int:
        counters = self.device.run(self._program(ops), {}).counters
        uses = (Activity.BUSY, Activity.STARVED, Activity.BLOCKED)
        return sum(counters[f"{engine.name}.{use.name}".lower()] for use in uses)


def drawn(random: Random, design: Design, instruction: Instruction) -> Values:
    """Fields with which an instruction is legal; counts from nothing to some dozens."""
    lanes, tokens = design.sfu.lanes, design.mpe.tokens

    def few() -> int:
        return random.choice((0, 1, 1, 2, 3))

    def some() -> int:
        return random.randint(1, 9 * lanes)

    choices = {
        field.name: random.choice([one for one in field.choices if one])
        for field in instruction.fields
        if isinstance(field, Choice)
    }
    flags = {
        field.name: random.choice((False, True))
        for field in instruction.fields
        if isinstance(field, Flag)
    }
    if "nm" in choices:
        of_design = [key for key in WEIGHT_FORMATS if design.mpe.sparse or key[1] == "dense"]
        choices["fmt"], choices["nm"] = random.choice(of_design)
    groups, blocks = random.randint(1, 4), random.randint(1, 3)
    rows = (
        design.rows
        * WEIGHT_FORMATS[choices.get("fmt", "W8"), choices.get("nm", "dense")].pattern.segments
    )
    length = random.choice((0, some(), some()))
    bank = random.randrange(VECTOR_BANKS)
    product = {"groups": groups, "outputs": blocks * rows, "stride": 8}
    norm = {"gain": 64 + bank, "rows": few(), "len": length, "inv": 1, "eps": 2}
    cached = {"heads": few(), "rows": few(), "groups": 1, "stride": 0, "position": 0}
    strided = {"rows": few(), "stride": 48}
    made: dict[str, Values] = {
        "LD.W": {"blocks": blocks, "groups": groups},
        "LD.V": {"count": length},
        "LD.G": {"table": 64, "count": few(), "len": some()},
        "ST.V": {"count": length},
        "ST.W": {"value": 5},
        "ST.KEY": cached,
        "ST.VALUE": cached,
        "MM": product | {"rows": random.randint(1, 3 * tokens)},
        "MV": product | {"rows": random.randint(1, tokens)},
        "RMSNORM": norm,
        "LAYERNORM": norm,
        "SOFTMAX": strided | {"len": some(), "scale": 256 + bank},
        "ROPE": strided
        | {"table": 256 + bank, "heads": few(), "dim": 2 * lanes * random.randint(1, 5)},
        "SOFTCAP": strided | {"words": random.randint(0, 20), "inv": 1, "span": 2},
        "ACT": {"b": 64 + bank, "count": length},
        "ADD": {"b": 64 + bank, "rows": few(), "words": random.randint(0, 20)},
        "QUANT": strided | {"len": random.choice((length, 3 * GROUP))},
        "QUANTKV": strided | {"heads": few(), "dim": random.choice((lanes, 32, 64, 96))},
        "ARGMAX": {"count": length},
        "LOOP": {"count": random.randint(0, 5), "body": random.randint(1, 3)},
    }
    if instruction.name in made:
        return choices | flags | made[instruction.name]
    alu = {"rd": 5, "a": 1, "b": 3, "value": 9}
    return {field.name: alu[field.name] for field in instruction.fields}


def cases(design: Design, times: int) -> Iterator[tuple[str, Values]]:
    random = Random(SEED)
    for instruction in INSTRUCTIONS:
        if instruction.name != "END":
            for _ in range(times if instruction.fields else 1):
                yield instruction.name, drawn(random, design, instruction)


@pytest.mark.parametrize(
    "design",
    [
        pytest.param(NANO, id="nano"),
        pytest.param(SPARSE, id="nano-sparse"),
        pytest.param(WIDE, id="16 lanes", marks=pytest.mark.slow),
    ],
)
def test_cycles_are_those_of_the_contract(design: Design) -> None:
    meter = Meter(design)
    wrong = []
    for name, values in cases(design, 12):
        try:
            meter.check(name, values)
        except Wrong as error:
            wrong.append(str(error))
    assert wrong == []


def test_a_wrong_formula_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cycle more in a formula that is exact, of each instruction in turn."""
    meter, random = Meter(NANO), Random(SEED)
    exact = [one for one in INSTRUCTIONS if one.cycles.slack == EXACT and one.name != "END"]
    assert len(exact) > len(INSTRUCTIONS) // 2
    for instruction in exact:
        cycles = instruction.cycles
        wrong = replace(cycles, formula=Formula(f"{cycles.formula} + 1"))
        values = drawn(random, NANO, instruction)
        values.update(dict.fromkeys(cycles.counts, 1))
        meter.check(instruction.name, values)
        with monkeypatch.context() as patch:
            patch.setitem(BY_NAME, instruction.name, replace(instruction, cycles=wrong))
            with pytest.raises(Wrong):
                meter.check(instruction.name, values)


def test_dispatch_takes_what_the_contract_says() -> None:
    meter = Meter(NANO)
    for instruction in INSTRUCTIONS:
        if instruction.engine is Engine.MISC:
            operands = len(sources(instruction))
            known = meter.known | {"OPERANDS": operands}
            assert meter.dispatched(instruction) == DISPATCH(known), instruction.name


def test_formulas_know_what_the_gateware_declares() -> None:
    named = frozenset().union(*(one.cycles.names for one in INSTRUCTIONS))
    named |= DISPATCH.names
    assert set(latencies(NANO)) == set(LATENCIES) <= named
    assert set(sizes(NANO)) <= set(SIZES) <= named
    fields = {field.name for one in INSTRUCTIONS for field in one.fields}
    assert named <= LATENCIES.keys() | SIZES.keys() | fields
