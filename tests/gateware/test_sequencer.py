"""The sequencer and its parts, each by itself."""

from collections import deque
from random import Random
from typing import Any

from tests.gateware.dispatched import (
    PROGRAMS,
    WORDS,
    as_program,
    expected,
    load,
    mask,
    random_op,
    random_program,
    random_registers,
    start,
)
from tests.gateware.refusals import refuses

from alula.bench import (
    PATTERNS,
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Scoreboard,
    Unit,
    case,
    crossed,
    each_case,
    pipeline_cases,
)
from alula.gateware.control.command import (
    ENGINES,
    MAX_SOURCES,
    PORTS,
    WORD_BITS,
    Assembler,
    Decoder,
    Legality,
    codes,
    layout,
    sources,
)
from alula.gateware.control.divider import LATENCY, Divider
from alula.gateware.control.loops import COUNT_BITS, LoopStack
from alula.gateware.control.sequencer import CYCLES, Reason, Sequencer
from alula.isa import Engine, IsaError, Op, Ref, decode, encode
from alula.isa.fields import Choice, Field, Operand, RegisterField
from alula.isa.instructions import INSTRUCTIONS, LOOP_DEPTH, Instruction


class System:
    """Tokens come when `idle` says so; what the sequencer executes itself is compared."""

    moved = False

    def __init__(self, unit: Unit, entries: list[dict], idle: Pattern) -> None:
        self.unit, self.left = unit, deque(entries)
        self._go, self._available = unit.goes(idle), False
        self._over: dict | None = None
        self._busy = 0

    def cycle(self) -> None:
        """Look at what is taken and given; decide on the next cycle."""
        wires = self.unit.wires
        if wires["take"].get():
            self.unit.must(wait=self.left[0]["wait"])
            self._available = False
        self.unit.must(give=int(self._over is not None))
        if self._over is not None:
            self.unit.must(given=self._over["address"], signal=self._over["signal"])
        self._over = self.left.popleft() if wires["retired"].get() else None
        if self._over is not None:
            self.unit.must(address=self._over["address"])
        if wires["ended"].get() and self._busy:
            raise Mismatch("END must wait for the engines")
        self._busy = wires["engines_busy"].get()
        # Tokens that are there stay until they are taken.
        self._available |= next(self._go)
        self.unit.set(available=int(self._available), engines_busy=self.unit.random.getrandbits(1))


def program_case(idle: Pattern, pressure: Pattern) -> Case:
    async def one(unit: Unit) -> None:
        program, registers = as_program(random_program(unit.random)), random_registers(unit.random)
        await load(unit, program.code, registers)
        entries = expected(program, registers)
        boards = [Scoreboard(engine.name, entries[engine]) for engine in ENGINES]
        for board in boards:
            # A command's other fields are anything. Nobody else fills a queue.
            unit.watch(f"push_{board.name.lower()}", board.take, pressure, steady=True)
        system = System(unit, entries[Engine.SYS], idle)
        unit.join(system)
        await start(unit)
        await unit.until(lambda: unit.wires["ended"].get(), "END", 2000)
        await unit.finish(*boards, quiet=10)
        unit.must(running=0, reason=Reason.NONE.value)
        if system.left:
            raise Mismatch(f"{len(system.left)} SYS instructions must retire")

    async def run(unit: Unit) -> None:
        for _ in range(PROGRAMS):
            await one(unit)
            await unit.reset()

    return Case("random", run, idle=idle, pressure=pressure)


@case
async def cycles_as_declared(unit: Unit) -> None:
    """What an instruction adds to a program of nothing but END."""
    operands = {"rd": 1, "a": 2, "b": Ref(3, 1)}

    async def took(ops: list[Op]) -> int:
        await load(unit, as_program([*ops, Op("END")]).code, [3] * 32)
        unit.set(available=1, engines_busy=0)
        await start(unit)
        began = unit.count
        await unit.until(lambda: unit.wires["ended"].get(), "END")
        return unit.count - began

    empty = await took([])
    for op, more in (
        (Op("NOP"), 0),
        (Op("LI", {"rd": 1, "value": 5}), CYCLES["write"]),
        (Op("SADD", operands), CYCLES["write"]),
        (Op("SMUL", operands), CYCLES["multiply"]),
        (Op("SDIV", operands), CYCLES["divide"]),
        (Op("LOOP", {"count": 0, "body": 0}), CYCLES["redirect"]),
    ):
        cycles, declared = await took([op] * 10) - empty, 10 * (1 + CYCLES["execute"] + more)
        if cycles != declared:
            raise Mismatch(f"10 times {op.name} must take {declared} cycles, not {cycles}")


@case
async def halt_stops_before_the_next_instruction(unit: Unit) -> None:
    await load(unit, as_program([*[Op("NOP")] * 50, Op("END")]).code, [0] * 32)
    unit.set(available=1)
    await start(unit)
    await unit.cycles(20)
    unit.set(halt=1)
    await unit.cycles(10)
    place = unit.wires["address"].get()
    for _ in range(20):
        await unit.cycles()
        unit.must(address=place, retired=0, running=1)
    unit.set(halt=0)
    await unit.until(lambda: unit.wires["ended"].get(), "END")


SEQUENCER = Bench(
    "sequencer",
    lambda: Sequencer(program_words=WORDS),
    [
        *crossed(program_case),
        cycles_as_declared,
        halt_stops_before_the_next_instruction,
    ],
)


def instruction_words(random: Random) -> list[int]:
    """Every instruction, some with a few bits turned."""
    found = []
    for item in INSTRUCTIONS * 12:
        engines = [frozenset(random.sample(list(Engine), random.randrange(4))) for _ in range(2)]
        op = random_op(random, *engines, item.engine)
        word = int.from_bytes(encode(op), "little")
        for _ in range(random.choice((0, 0, 1, 2))):
            word ^= 1 << random.randrange(random.choice((8, WORD_BITS)))
        found.append(word)
    return found


def read_fields(instruction: Instruction) -> list[Field]:
    """What the sequencer resolves, in order."""
    return [
        field
        for field in instruction.fields
        if isinstance(field, Operand) or (isinstance(field, RegisterField) and field.name != "rd")
    ]


def decoded(word: int) -> dict[str, Any]:
    """What `decode` of the ISA says; of a word that it refuses, why."""
    try:
        op = decode(word.to_bytes(WORD_BITS // 8, "little"))
    except IsaError as error:
        for legality, words in ((Legality.OPCODE, "opcode must"), (Legality.STRAY, "leave bits")):
            if words in str(error):
                return {"legality": legality.value}
        return {"legality": Legality.RESERVED.value}
    instruction = op.instruction
    refs = [op.values[field.name] for field in read_fields(instruction)]
    last = max(len(refs) - 1, 0) // PORTS
    refs += [0] * (MAX_SOURCES - len(refs))
    found: dict[str, Any] = {
        "legality": Legality.LEGAL.value,
        "held": int.from_bytes(encode(op), "little"),
        "engine": 1 << instruction.engine,
        "system": {item.name: int(item == instruction) for item in codes(Engine.SYS)},
        "wait": mask(op.wait),
        "signal": mask(op.signal),
        "refs": [
            {"register": ref.register, "offset": ref.offset}
            if isinstance(ref, Ref)
            else {"register": ref, "offset": 0}
            for ref in refs
        ],
        "last_step": last,
    }
    if instruction.engine is Engine.SYS:
        for name in ("rd", "body", "value"):
            if name == "rd" or name in op.values:
                found[name] = op.values.get(name, 0)
    return found


PARTS = ("legality", "held", "engine", "system", "wait", "signal", "refs", "last_step")
PARTS += ("rd", "body", "value")
DECODER = Bench(
    "decoder",
    Decoder,
    pipeline_cases(
        {"instructions": instruction_words},
        decoded,
        latency=1,
        inputs=("word",),
        output=PARTS,
        settings={"enable": 1},
    ),
)


def resolved_words(random: Random) -> list[tuple[int, list[int]]]:
    """Every instruction of an engine, with resolved values of any kind."""
    return [
        (
            int.from_bytes(encode(random_op(random, engine=item.engine)), "little"),
            [random.getrandbits(32) for _ in range(MAX_SOURCES)],
        )
        for item in INSTRUCTIONS * 12
        if item.engine is not Engine.SYS
    ]


def assembled(word: int, values: list[int]) -> dict[str, Any]:
    """The command of the instruction's engine."""
    op = decode(word.to_bytes(WORD_BITS // 8, "little"))
    read = read_fields(op.instruction)
    command: dict[str, Any] = {"opcode": op.instruction.opcode}
    for field in op.instruction.fields:
        value = op.values[field.name]
        if field in read:
            value = values[read.index(field)]
        elif isinstance(field, Choice):
            value = field.choices.index(value)
        command[field.name] = value
    return {f"command_{op.instruction.engine.name.lower()}": command}


@case
async def commands(unit: Unit) -> None:
    """Values may come in the cycle in which the command is read, the word a cycle earlier."""
    for word, values in resolved_words(unit.random):
        unit.set(word=word, values=[unit.random.getrandbits(32) for _ in values])
        await unit.cycles()
        unit.set(values=values)
        await unit.cycles()
        unit.must(**assembled(word, values))


ASSEMBLER = Bench("assembler", Assembler, [commands])


def divide_case(idle: Pattern) -> Case:
    """Divisions one after the other, some of them given up for the next."""

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        edges = (0, 1, 2, 3, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
        pairs = [(a, b) for a in edges for b in edges if b]
        for _ in range(100):
            pairs.append((random.getrandbits(32), random.getrandbits(random.randint(1, 32)) or 1))
        for dividend, divisor in pairs:
            while not next(go):
                await unit.cycles()
            unit.set(dividend=dividend, divisor=divisor, start=1)
            await unit.cycles()
            unit.set(start=0, dividend=random.getrandbits(32), divisor=random.getrandbits(32))
            dropped = random.random() < 0.1
            for cycle in range(1, random.randrange(LATENCY) if dropped else LATENCY + 1):
                await unit.cycles()
                unit.must(done=int(cycle == LATENCY))
            if not dropped:
                unit.must(quotient=dividend // divisor)
                await unit.cycles()
                unit.must(done=0, quotient=dividend // divisor)

    return Case("divisions", run, idle=idle)


DIVIDER = Bench("divider", Divider, [divide_case(idle) for idle in PATTERNS])


def loop_case(idle: Pattern) -> Case:
    """Loops against a list."""

    async def run(unit: Unit) -> None:
        random, go = unit.random, unit.goes(idle)
        loops: list[list[int]] = []
        deepest = 0
        for _ in range(2000):
            full, empty = len(loops) == LOOP_DEPTH, not loops
            kind = random.choice(("push", "turn", "turn", "clear")) if next(go) else ""
            kind = "" if (kind == "push" and full) or (kind == "turn" and empty) else kind
            kind = "" if kind == "clear" and random.random() < 0.8 else kind
            begin, end = random.getrandbits(9), random.getrandbits(9)
            count = random.choice((1, 1, 2, 3, (1 << COUNT_BITS) - 1))
            unit.set(**{name: int(kind == name) for name in ("push", "turn", "clear")})
            unit.set(start=begin, end=end, count=count)
            await unit.cycles()
            unit.must(empty=int(empty), full=int(full))
            if loops:
                top = loops[-1]
                unit.must(top_start=top[0], top_end=top[1], again=int(top[2] > 1))
            if kind == "clear":
                loops.clear()
            elif kind == "push":
                loops.append([begin, end, count])
            elif kind == "turn":
                loops[-1][2] -= 1
                if not loops[-1][2]:
                    loops.pop()
            deepest = max(deepest, len(loops))
        if deepest < LOOP_DEPTH:
            raise Mismatch("loops must have been nested as deep as they may")

    return Case("nested", run, idle=idle)


LOOPS = Bench("loops", lambda: LoopStack(place_bits=9), [loop_case(idle) for idle in PATTERNS])


@each_case(SEQUENCER, DECODER, ASSEMBLER, DIVIDER, LOOPS)
def test_sequencer(case: BoundCase) -> None:
    case.check()


def test_layouts_have_each_field_once() -> None:
    for engine in ENGINES:
        names = {field.name for item in codes(engine) for field in item.fields}
        assert {name for name, _ in layout(engine)} == {"opcode", *names}
    assert layout(Engine.MISC)["inv"].width == 32
    assert layout(Engine.MISC)["dim"].width == 10


def test_fields_of_an_instruction_do_not_share_bits() -> None:
    for engine in ENGINES:
        fields, most = layout(engine), max(len(sources(item)) for item in codes(engine))
        for item in codes(engine):
            taken = 0
            for name in ("opcode", *(field.name for field in item.fields)):
                bits = ((1 << fields[name].width) - 1) << fields[name].offset
                assert not taken & bits, (item.name, name)
                taken |= bits
        plain = sum(field.width for name, field in fields if field.width < 32 or name == "opcode")
        assert fields.size == plain + 32 * most


def test_parameters_are_checked() -> None:
    text = r"program_words must be 1\.\.65536, not 0"
    refuses(text, lambda: Sequencer(program_words=0))
    refuses("place_bits must be at least 1, not 0", lambda: LoopStack(place_bits=0))
