"""Random programs that cannot lock, and what a sequencer makes of them."""

from collections.abc import Iterable
from random import Random
from types import SimpleNamespace
from typing import Any

from alula.bench import Unit
from alula.design import load_design
from alula.isa import Engine, Op, Program, Ref, encode
from alula.isa.effects import sizes
from alula.isa.fields import Choice, Field, Immediate, Operand
from alula.isa.instructions import INSTRUCTIONS
from alula.model.checks import Checks
from alula.model.errors import MachineError
from alula.model.prepared import prepare
from alula.model.sequencer import Sequencer as ModelSequencer

PROGRAMS = 5
"""Of a case."""
WORDS = 256
CHECKS = Checks(sizes(load_design("nano")))
ARGMAX = 49_151
ALU = ("SADD", "SSUB", "SMUL", "SMIN", "SDIV")
DISPATCHED = [item for item in INSTRUCTIONS if item.engine is not Engine.SYS]


def random_value(rng: Random, field: Field) -> Any:
    match field:
        case Operand():
            return Ref(rng.randrange(32), rng.getrandbits(field.bits) if field.bits else 0)
        case Immediate():
            return rng.getrandbits(field.bits)
        case Choice():
            return rng.choice([choice for choice in field.choices if choice])
        case _:
            return rng.randrange(32)


def random_op(
    rng: Random,
    wait: frozenset[Engine] = frozenset(),
    signal: frozenset[Engine] = frozenset(),
    engine: Engine | None = None,
) -> Op:
    if engine is Engine.SYS or (engine is None and rng.random() < 0.4):
        name = rng.choice(["LI", "ARG", "NOP", *ALU])
        values = {
            field.name: random_value(rng, field)
            for field in next(i for i in INSTRUCTIONS if i.name == name).fields
        }
        if name == "SDIV":
            values["b"] = Ref(0, rng.choice([1, 3, 7, 1 << 31, 0xFFFF_FFFF, rng.randrange(1, 99)]))
        return Op(name, values, wait, signal)
    chosen = [i for i in DISPATCHED if engine is None or i.engine is engine]
    item = rng.choice(chosen)
    values = {field.name: random_value(rng, field) for field in item.fields}
    return Op(item.name, values, wait, signal)


def random_body(rng: Random, depth: int) -> list[Op]:
    """Every signal is followed by its wait within the same body, so that nothing can lock."""
    body: list[Op] = []
    for _ in range(rng.randint(1, 5)):
        kind = rng.random()
        if kind < 0.3 and depth:
            inner = random_body(rng, depth - 1)
            if rng.random() < 0.3:
                inner += [Op("LOOP", {"count": Ref(0, 0), "body": 0})]
            count = rng.choice([0, 1, 1, 2, 3])
            body += [Op("LOOP", {"count": Ref(0, count), "body": len(inner)}), *inner]
        elif kind < 0.6:
            giver, taker = rng.choice(list(Engine)), rng.choice(list(Engine))
            body += [
                random_op(rng, signal=frozenset([taker]), engine=giver),
                *(random_op(rng) for _ in range(rng.randint(0, 2))),
                random_op(rng, wait=frozenset([giver]), engine=taker),
            ]
        else:
            body.append(random_op(rng))
    return body


def random_program(rng: Random) -> list[Op]:
    while True:
        ops = [*random_body(rng, 4), Op("END")]
        if len(ops) <= WORDS:
            return ops


def as_program(ops: list[Op]) -> Program:
    return Program("test", "", b"".join(map(encode, ops)), {}, {})


def mask(engines: Iterable[Engine]) -> int:
    """Engines as bits."""
    return sum(1 << engine for engine in engines)


def expected(program: Program, registers: list[int]) -> dict[Engine, list[dict]]:
    """What reaches each engine's queue, in order, and what the sequencer executes itself."""
    steps = prepare(program, CHECKS)
    model: Any = ModelSequencer(SimpleNamespace(best_index=ARGMAX))
    model.registers[:] = registers
    dispatched: dict[Engine, list[dict]] = {engine: [] for engine in Engine}
    while not model.ended:
        if model.pc >= len(steps):
            raise MachineError("runs off the end")
        step = steps[model.pc]
        values = list(step.values)
        for index, register, offset in step.refs:
            values[index] = (model.registers[register] + offset) & 0xFFFF_FFFF
        model.pc += 1
        entry: dict[str, Any] = {"address": step.address}
        entry |= {"wait": mask(step.op.wait), "signal": mask(step.op.signal)}
        if step.engine == Engine.SYS:
            step.handler(model, *values)
        else:
            command = {"opcode": step.op.instruction.opcode}
            for field, value in zip(step.op.instruction.fields, values, strict=True):
                coded = field.choices.index(value) if isinstance(field, Choice) else value
                command[field.name] = coded
            entry["command"] = command
        dispatched[Engine(step.engine)].append(entry)
        model.turn()
    return dispatched


async def load(unit: Unit, code: bytes, registers: list[int]) -> None:
    """Write a program and the registers, a word a cycle, and what else stays during a run."""
    wires = unit.wires
    for address in range(len(code) // 16):
        word = int.from_bytes(code[16 * address :][:16], "little")
        wires["program"].set({"enable": 1, "address": address, "data": word, "mask": 0b1111})
        await unit.cycles()
    wires["program"].set_bits(0)
    for index, value in enumerate(registers):
        wires["setting"].set({"enable": 1, "index": index, "value": value})
        await unit.cycles()
    wires["setting"].set_bits(0)
    for name, value in (("length", len(code) // 16), ("argmax", ARGMAX), ("stream_empty", 1)):
        wires[name].set(value)


async def start(unit: Unit) -> None:
    unit.wires["start"].set(1)
    await unit.cycles()
    unit.wires["start"].set(0)


def random_registers(rng: Random) -> list[int]:
    return [0, *(rng.getrandbits(32) for _ in range(31))]
