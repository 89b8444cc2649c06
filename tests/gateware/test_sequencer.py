from collections import deque
from random import Random
from types import SimpleNamespace

import pytest
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.command import ENGINES, codes, layout
from alula.gateware.dispatch import Dispatch
from alula.gateware.sequencer import Reason, Sequencer
from alula.isa import Engine, Op, Program, Ref, encode
from alula.isa.fields import Choice, Immediate, Operand
from alula.isa.instructions import INSTRUCTIONS
from alula.model.errors import MachineError
from alula.model.handlers import HANDLERS
from alula.model.sequencer import Sequencer as ModelSequencer
from alula.model.steps import prepare

WORDS = 256
ARGMAX = 49_151
ALU = ("ADDR", "SUBR", "MULR", "MINR", "DIVR")
DISPATCHED = [item for item in INSTRUCTIONS if item.engine is not Engine.SYS]


def random_value(rng: Random, field):
    match field:
        case Operand():
            return Ref(rng.randrange(32), rng.getrandbits(field.bits) if field.bits else 0)
        case Immediate():
            return rng.getrandbits(field.bits)
        case Choice():
            return rng.choice([choice for choice in field.choices if choice])
        case _:
            return rng.randrange(32)


def random_op(rng: Random, wait=frozenset(), signal=frozenset(), engine=None) -> Op:
    if engine is Engine.SYS or (engine is None and rng.random() < 0.4):
        name = rng.choice(["LI", "ARG", "NOP", *ALU])
        values = {
            field.name: random_value(rng, field)
            for field in next(i for i in INSTRUCTIONS if i.name == name).fields
        }
        if name == "DIVR":
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


def random_program(seed: int) -> list[Op]:
    rng = Random(seed)
    while True:
        ops = [*random_body(rng, 4), Op("END")]
        if len(ops) <= WORDS:
            return ops


def as_program(ops: list[Op]) -> Program:
    return Program("test", "", b"".join(map(encode, ops)), {}, {})


def expected(program: Program, registers: list[int]) -> tuple[list[tuple], list[int]]:
    """What reaches the engines, in the order of dispatch, and the registers at the end."""
    steps = prepare(program)
    model = ModelSequencer(SimpleNamespace(best_index=ARGMAX), len(steps))
    model.registers[:] = registers
    dispatched = []
    while not model.ended:
        if model.pc >= len(steps):
            raise MachineError("runs off the end")
        step = steps[model.pc]
        values = list(step.values)
        for index, register, offset in step.refs:
            values[index] = (model.registers[register] + offset) & 0xFFFF_FFFF
        model.pc += 1
        if step.engine == Engine.SYS:
            HANDLERS[step.op.name](model, *values)
        else:
            record = {"opcode": step.op.instruction.opcode}
            for field, value in zip(step.op.instruction.fields, values, strict=True):
                coded = field.choices.index(value) if isinstance(field, Choice) else value
                record[field.name] = coded
            dispatched.append((Engine(step.engine), step.address, record))
        model.turn()
    return dispatched, model.registers


async def load(ctx, dut: Dispatch, code: bytes, registers: list[int]) -> None:
    for address in range(len(code) // 16):
        ctx.set(dut.program.enable, 1)
        ctx.set(dut.program.address, address)
        ctx.set(dut.program.mask, 0b1111)
        word = code[16 * address : 16 * address + 16]
        ctx.set(dut.program.data, int.from_bytes(word, "little"))
        await ctx.tick()
    ctx.set(dut.program.enable, 0)
    for index, value in enumerate(registers):
        ctx.set(dut.setting.enable, 1)
        ctx.set(dut.setting.index, index)
        ctx.set(dut.setting.value, value)
        await ctx.tick()
    ctx.set(dut.setting.enable, 0)
    ctx.set(dut.length, len(code) // 16)
    ctx.set(dut.argmax, ARGMAX)
    ctx.set(dut.stream_empty, 1)


async def start(ctx, dut: Dispatch) -> None:
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed):
    program = as_program(random_program(seed))
    rng = Random(seed)
    registers = [0, *(rng.getrandbits(32) for _ in range(31))]
    wanted, _ = expected(program, registers)
    dut = Dispatch(program_words=WORDS)
    pace = rng.choice([0.1, 0.5, 1.0])
    taken = {engine: [] for engine in ENGINES}
    order = {engine: [w for w in wanted if w[0] is engine] for engine in ENGINES}

    async def bench(ctx):
        await load(ctx, dut, program.code, registers)
        await start(ctx, dut)
        flying = {engine: deque() for engine in ENGINES}
        tokens = dict.fromkeys(((a, b) for a in Engine for b in Engine), 0)
        for _ in range(60_000):
            for engine in ENGINES:
                name = engine.name.lower()
                ctx.set(getattr(dut, f"command_{name}").ready, rng.random() < pace)
                done = bool(flying[engine]) and rng.random() < pace
                ctx.set(getattr(dut, f"done_{name}"), done)
            for engine in ENGINES:
                name = engine.name.lower()
                command = getattr(dut, f"command_{name}")
                given = None
                if ctx.get(getattr(dut, f"done_{name}")):
                    address = flying[engine].popleft()
                    assert ctx.get(dut.oldest[engine]) == address
                    given = program.ops[address].signal
                if ctx.get(command.valid) and ctx.get(command.ready):
                    place, record = len(taken[engine]), command.payload
                    _, address, values = order[engine][place]
                    got = {key: ctx.get(record[key]) for key in values}
                    assert got == values, (engine, address)
                    taken[engine].append(address)
                    flying[engine].append(address)
                    for giver in program.ops[address].wait:
                        if giver is not Engine.SYS:
                            tokens[giver, engine] -= 1
                            assert tokens[giver, engine] >= 0
                for taker in given or ():
                    tokens[engine, taker] += 1
            if ctx.get(dut.ended):
                assert all(not queue for queue in flying.values())
                break
            await ctx.tick()
        else:
            raise AssertionError("did not end")
        await ctx.tick()
        assert not ctx.get(dut.running)
        assert not ctx.get(dut.overflow)
        assert ctx.get(dut.reason) == Reason.NONE

    run(dut, bench)
    assert {e: len(v) for e, v in taken.items()} == {e: len(v) for e, v in order.items()}


def run(dut, bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


FAULTS = [
    ("LI rd=1 value=5", None, Reason.RUNAWAY, 1),
    ("END", (0, 0x3A), Reason.OPCODE, 0),
    ("NOP\nLD.W\nEND", (1, 0x01 | 9 << 19), Reason.RESERVED, 1),
    ("NOP\nEND", (1, 0x3F | 1 << 100), Reason.STRAY, 1),
    ("DIVR rd=1 a=0 b=0\nEND", None, Reason.DIVISION, 0),
    ("LOOP count=2 body=5\nNOP\nEND", None, Reason.LOOP_BODY, 0),
    ("LOOP count=0 body=5\nNOP\nEND", None, Reason.LOOP_BODY, 0),
]


def test_faults_name_reason_and_address():
    dut = Dispatch(program_words=WORDS)

    async def bench(ctx):
        for text, patch, reason, address in FAULTS:
            names = [line.split()[0] for line in text.splitlines()]
            ops = []
            for line in text.splitlines():
                name, *fields = line.split()
                pairs = (field.split("=") for field in fields)
                ops.append(Op(name, {key: int(value) for key, value in pairs}))
            code = bytearray(b"".join(map(encode, ops)))
            if patch:
                code[16 * patch[0] : 16 * patch[0] + 16] = patch[1].to_bytes(16, "little")
            await load(ctx, dut, bytes(code), [0] * 32)
            await start(ctx, dut)
            for _ in range(60):
                await ctx.tick()
            assert not ctx.get(dut.running), names
            assert ctx.get(dut.reason) == reason, names
            assert ctx.get(dut.address) == address, names
        good = as_program([Op("LI", {"rd": 1, "value": 5}), Op("END")])
        await load(ctx, dut, good.code, [0] * 32)
        await start(ctx, dut)
        for _ in range(30):
            await ctx.tick()
        assert not ctx.get(dut.running)
        assert ctx.get(dut.reason) == Reason.NONE

    run(dut, bench)


def test_five_nested_loops_are_one_too_many():
    ops = [Op("LOOP", {"count": 1, "body": 5 - i}) for i in range(5)] + [Op("NOP"), Op("END")]
    dut = Dispatch(program_words=WORDS)

    async def bench(ctx):
        await load(ctx, dut, as_program(ops).code, [0] * 32)
        await start(ctx, dut)
        for _ in range(80):
            await ctx.tick()
        assert ctx.get(dut.reason) == Reason.LOOP_DEPTH
        assert ctx.get(dut.address) == 4

    run(dut, bench)


def test_a_counter_holds_255_tokens():
    ops = [Op("LOOP", {"count": 256, "body": 1}), Op("NOP", {}, frozenset(), frozenset(Engine))]
    dut = Dispatch(program_words=WORDS)

    async def bench(ctx):
        await load(ctx, dut, as_program([*ops, Op("END")]).code, [0] * 32)
        await start(ctx, dut)
        seen = []
        while ctx.get(dut.running):
            seen.append(ctx.get(dut.overflow))
            await ctx.tick()
        await ctx.tick()
        assert ctx.get(dut.overflow)
        assert seen.count(1) < 10
        assert ctx.get(dut.giver) == Engine.SYS
        await start(ctx, dut)
        assert not ctx.get(dut.overflow)

    run(dut, bench)


def test_clear_stops_a_program_that_waits():
    ops = [Op("NOP", {}, frozenset([Engine.MISC])), Op("END")]
    dut = Dispatch(program_words=WORDS)

    async def bench(ctx):
        await load(ctx, dut, as_program(ops).code, [0] * 32)
        await start(ctx, dut)
        for _ in range(40):
            await ctx.tick()
        assert ctx.get(dut.running)
        assert ctx.get(dut.waiting)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert not ctx.get(dut.running)

    run(dut, bench)


def test_layouts_have_each_field_once():
    for engine in ENGINES:
        names = {field.name for item in codes(engine) for field in item.fields}
        assert set(layout(engine).members) == {"opcode", *names}
    assert layout(Engine.MISC)["inv"].width == 32
    assert layout(Engine.MISC)["dim"].width == 10


def test_program_words_are_checked():
    text = r"program_words must be 1\.\.65536, not 0"
    refuses(text, lambda: Sequencer(program_words=0))
