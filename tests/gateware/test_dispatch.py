"""The sequencer with queues and tokens: what engines see of a program."""

from collections import deque
from functools import partial
from itertools import product
from typing import Any

from tests.gateware.dispatched import (
    PROGRAMS,
    WORDS,
    as_program,
    expected,
    load,
    random_program,
    random_registers,
    start,
)

from alula.bench import (
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
)
from alula.gateware.control.command import ENGINES
from alula.gateware.control.dispatch import Dispatch
from alula.gateware.control.queue import IN_FLIGHT, Queue
from alula.gateware.control.sequencer import Reason
from alula.gateware.control.tokens import COUNT, Tokens
from alula.isa import Engine, Op, Program, encode
from alula.isa.instructions import TOKEN_LIMIT


class Engines:
    """Take commands when `pressure` says so, and are done with the oldest when `idle` does."""

    moved = False

    def __init__(
        self, unit: Unit, program: Program, registers: list[int], idle: Pattern, pressure: Pattern
    ) -> None:
        self.unit, self.program = unit, program
        self.tokens = dict.fromkeys(product(Engine, Engine), 0)
        self.taken: dict[Engine, deque[int]] = {engine: deque() for engine in ENGINES}
        self.flying: dict[Engine, deque[int]] = {engine: deque() for engine in ENGINES}
        self._done = dict.fromkeys(ENGINES, False)
        self._given: dict[Engine, int | None] = dict.fromkeys(ENGINES)
        self._goes = {engine: unit.goes(idle) for engine in ENGINES}
        self.boards = {
            engine: Scoreboard(engine.name, entries)
            for engine, entries in expected(program, registers).items()
            if engine in ENGINES
        }
        for engine in ENGINES:
            name = f"command_{engine.name.lower()}"
            unit.watch(name, partial(self._take, engine), pressure)

    def _take(self, engine: Engine, command: dict[str, int]) -> None:
        board = self.boards[engine]
        entry = {} if board.complete else board.expected[board.count]
        board.take(entry | {"command": command})
        address = entry["address"]
        self.taken[engine].append(address)
        for giver in self.program.ops[address].wait - {Engine.SYS}:
            self.tokens[giver, engine] -= 1
            if self.tokens[giver, engine] < 0:
                raise Mismatch(f"{engine.name} must wait for a token of {giver.name}")

    def cycle(self) -> None:
        """Give the tokens of what is done; decide what is done next."""
        for engine in ENGINES:
            if (given := self._given[engine]) is not None:
                self.unit.must(**{f"oldest__{int(engine)}": given})
            self._given[engine] = None
            if self._done[engine]:
                address = self._given[engine] = self.flying[engine].popleft()
                for taker in self.program.ops[address].signal:
                    self.tokens[engine, taker] += 1
            done = next(self._goes[engine]) and bool(self.flying[engine])
            self._done[engine] = done
            self.flying[engine] += self.taken[engine]
            self.taken[engine].clear()
            self.unit.wires[f"done_{engine.name.lower()}"].set(int(done))


def program_case(idle: Pattern, pressure: Pattern) -> Case:
    """Random programs: every command once, in order, with its tokens; then nothing is left."""

    async def one(unit: Unit) -> None:
        program, registers = as_program(random_program(unit.random)), random_registers(unit.random)
        await load(unit, program.code, registers)
        engines = Engines(unit, program, registers, idle, pressure)
        unit.join(engines)
        await start(unit)
        await unit.until(lambda: unit.wires["ended"].get(), "END", 2000)
        if any(engines.flying.values()) or any(engines.taken.values()):
            raise Mismatch(f"END must wait for {engines.flying}")
        for board in engines.boards.values():
            if not board.complete:
                raise Mismatch(f"{board.name} must get {len(board.expected)}, not {board.count}")
        await unit.cycles()
        unit.must(running=0, overflow=0, reason=Reason.NONE.value, busy=0)

    async def run(unit: Unit) -> None:
        for _ in range(PROGRAMS):
            await one(unit)
            await unit.reset()

    return Case("random", run, idle=idle, pressure=pressure)


FAULTS: list[tuple[list[Op], tuple[int, int] | None, Reason, int]] = [
    ([Op("LI", {"rd": 1, "value": 5})], None, Reason.RUNAWAY, 1),
    ([Op("END")], (0, 0x3A), Reason.OPCODE, 0),
    ([Op("NOP"), Op("NOP"), Op("END")], (1, 0x01 | 9 << 19), Reason.RESERVED, 1),
    ([Op("NOP"), Op("END")], (1, 0x3F | 1 << 100), Reason.STRAY, 1),
    ([Op("SDIV", {"rd": 1, "a": 0, "b": 0}), Op("END")], None, Reason.DIVISION, 0),
    ([Op("LOOP", {"count": 2, "body": 5}), Op("NOP"), Op("END")], None, Reason.LOOP_BODY, 0),
    ([Op("LOOP", {"count": 0, "body": 5}), Op("NOP"), Op("END")], None, Reason.LOOP_BODY, 0),
    (
        [*(Op("LOOP", {"count": 1, "body": 5 - i}) for i in range(5)), Op("NOP"), Op("END")],
        None,
        Reason.LOOP_DEPTH,
        4,
    ),
]


@case
async def faults_name_reason_and_address(unit: Unit) -> None:
    for ops, patch, reason, address in FAULTS:
        code = bytearray(as_program(ops).code)
        if patch:
            code[16 * patch[0] : 16 * patch[0] + 16] = patch[1].to_bytes(16, "little")
        await load(unit, bytes(code), [0] * 32)
        await start(unit)
        await unit.cycles(80)
        unit.must(running=0, reason=reason.value, address=address)
    good = [Op("LI", {"rd": 1, "value": 5}), Op("END")]
    await load(unit, as_program(good).code, [0] * 32)
    await start(unit)
    await unit.cycles(30)
    unit.must(running=0, reason=Reason.NONE.value)


@case
async def weights_that_are_left_are_a_fault(unit: Unit) -> None:
    await load(unit, encode(Op("END")), [0] * 32)
    unit.wires["stream_empty"].set(0)
    await start(unit)
    await unit.cycles(20)
    unit.must(running=0, reason=Reason.STREAM_LEFT.value)


@case
async def a_counter_holds_255_tokens(unit: Unit) -> None:
    ops = [Op("LOOP", {"count": TOKEN_LIMIT + 1, "body": 1})]
    ops += [Op("NOP", {}, frozenset(), frozenset(Engine)), Op("END")]
    await load(unit, as_program(ops).code, [0] * 32)
    await start(unit)
    await unit.cycles()
    before = 0
    while unit.wires["running"].get():
        before += not unit.wires["overflow"].get()
        await unit.cycles()
    await unit.cycles()
    unit.must(overflow=1, giver=Engine.SYS, overfilled=1)
    if before < 2 * TOKEN_LIMIT:
        raise Mismatch(f"the last token must be too many, not one after {before} cycles")
    await start(unit)
    await unit.cycles()
    unit.must(overflow=0)


DISPATCH = Bench(
    "dispatch",
    lambda: Dispatch(program_words=WORDS),
    [
        *crossed(program_case),
        faults_name_reason_and_address,
        weights_that_are_left_are_a_fault,
        a_counter_holds_255_tokens,
    ],
)


def queue_case(idle: Pattern, pressure: Pattern) -> Case:
    """Instructions in order, each only while its tokens are there; `done` gives its signals."""

    async def run(unit: Unit) -> None:
        random, wires = unit.random, unit.wires
        items = [
            {
                "address": random.getrandbits(16),
                "wait": random.getrandbits(COUNT),
                "signal": random.getrandbits(COUNT),
                "command": random.getrandbits(20),
            }
            for _ in range(400)
        ]
        unit.drive("push", items, idle)
        board = Scoreboard("command", [item["command"] for item in items])
        unit.watch("command", board.take, pressure)
        tokens, ends = unit.goes(pressure), unit.goes(idle)
        oldest, takes, available = 0, 0, False
        taken, late = 0, (0, 0, 0)
        while oldest < len(items):
            # Tokens that are there stay until they are taken.
            there = available
            available |= next(tokens)
            done = next(ends) and oldest < taken
            wires["available"].set(int(available))
            wires["done"].set(int(done))
            before = board.count
            await unit.cycles()
            if wires["take"].get():
                takes += 1
                if not there or takes != before + 1:
                    raise Mismatch("tokens must be taken once, as a command is offered")
                available = False
            if board.count > takes:
                raise Mismatch("a command must go only where its tokens are taken")
            # What the queue says of instructions in flight is a cycle late, of new ones two.
            flown, flies, gives = late
            unit.must(give=gives, flying=int(flown < flies), took=int(flies < before))
            if flown < flies:
                unit.must(oldest=items[flown]["address"], signal=items[flown]["signal"], busy=1)
            elif before < len(items) and wires["waits"].get():
                unit.must(oldest=items[before]["address"])
            if before < len(items) and wires["waits"].get():
                unit.must(wait=items[before]["wait"], next=items[before]["address"])
            if taken:
                unit.must(newest=items[taken - 1]["address"])
            if board.count - oldest > IN_FLIGHT:
                raise Mismatch(f"{IN_FLIGHT} may be in flight, not {board.count - oldest}")
            late = oldest, taken, int(done)
            taken = before
            oldest += done
        wires["done"].set(0)
        await unit.cycles(5)
        unit.must(busy=0, flying=0)

    return Case("random", run, idle=idle, pressure=pressure)


QUEUE = Bench(
    "queue",
    lambda: Queue(shape=20),
    crossed(queue_case),
)


def tokens_case(name: str, give: float) -> Case:
    """Counters against integers; `give` decides whether they are more often full or empty."""

    async def run(unit: Unit) -> None:
        random = unit.random
        counts = [[0] * COUNT for _ in range(COUNT)]
        fault: tuple[int, int] | None = None
        shown = None
        for number in range(3000):
            clear = random.random() < 0.0005 or number == 2500
            waits, signals = (
                [random.getrandbits(COUNT) & random.getrandbits(COUNT) for _ in range(COUNT)]
                for _ in range(2)
            )
            missing = [
                sum(
                    1 << giver
                    for giver in range(COUNT)
                    if waits[taker] >> giver & 1 and not counts[giver][taker]
                )
                for taker in range(COUNT)
            ]
            takes = [not missing[taker] and random.random() < 1 - give for taker in range(COUNT)]
            gives = [random.random() < give for _ in range(COUNT)]
            values: dict[str, Any] = {"wait": waits, "signal": signals, "clear": clear}
            values |= {"take": bits(takes), "give": bits(gives)}
            for port, value in values.items():
                unit.wires[port].set(value)
            await unit.cycles()
            found = unit.wires["missing"].get()
            if found != missing:
                raise Mismatch(f"missing must be {missing}, not {found}")
            unit.must(available=bits(not some for some in missing))
            unit.must(fault=int(bool(shown)))
            if shown:
                unit.must(giver=shown[0], taker=shown[1])
            shown = fault
            for giver, taker in product(range(COUNT), range(COUNT)):
                up = gives[giver] and signals[giver] >> taker & 1
                down = takes[taker] and waits[taker] >> giver & 1
                if up and not down and counts[giver][taker] == TOKEN_LIMIT:
                    fault = fault or (giver, taker)
                    continue
                counts[giver][taker] += bool(up) - bool(down)
            if clear:
                counts, fault, shown = [[0] * COUNT for _ in range(COUNT)], None, None

    return Case(name, run)


def bits(flags: Any) -> int:
    return sum(bool(flag) << index for index, flag in enumerate(flags))


TOKENS = Bench("tokens", Tokens, [tokens_case("empty", 0.3), tokens_case("full", 0.9)])


@each_case(DISPATCH, QUEUE, TOKENS)
def test_dispatch(case: BoundCase) -> None:
    case.check()
