from dataclasses import replace
from random import Random

import numpy as np
from tests.gateware.memories import channels
from tests.gateware.uses import waits
from tests.model.bench import KV260, NARROW, ODD
from tests.model.bench import Bench as Model

from alula.bench import ALWAYS, PATTERNS, Bench, Case, Mismatch, Pattern, Unit, each_case
from alula.design import Design
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store import Store
from alula.isa import FORMATS

BEATS = 2048
STAGING = 2048
WORDS = 256


def command(name: str, **values: int) -> dict[str, int]:
    return {"opcode": opcode(name), **values}


def make(design: Design) -> Store:
    sizes = replace(MemorySizes.of(design), memory_beats=BEATS, words=WORDS)
    return Store(sizes, staging_bytes=STAGING)


class Plan:
    """Random commands, as the engine and as the model take them."""

    def __init__(self, design: Design, random: Random) -> None:
        self.design, self.random = design, random
        self.commands: list[dict[str, int]] = []
        self.listing: list[str] = []
        self.width = design.channels * design.memory.beat_bytes

    def add(self, name: str, **values: int) -> None:
        self.commands.append(command(name, **values))
        # Fields without an immediate are given to the model in registers of the instruction's own.
        fields, constants = [], []
        for key, value in values.items():
            if key in ("stride", "position", "pitch", "scales"):
                register = len(constants) + 1
                constants.append(f"LI rd=r{register} value={value}")
                fields.append(f"{key}=r{register}")
            else:
                fields.append(f"{key}={value}")
        self.listing += [*constants, f"{name} {' '.join(fields)}"]

    def vector(self) -> None:
        count = self.random.choice([1, self.width // 4, self.random.randint(1, 400)])
        words = -(-count // self.design.sfu.lanes)
        beats = -(-4 * count // self.width)
        addr = self.random.randrange(BEATS - beats + 1)
        self.add("ST.V", src=self.random.randrange(WORDS - words + 1), addr=addr, count=count)

    def word(self) -> None:
        skip = self.random.randrange(self.width // 4)
        addr = self.random.randrange(BEATS)
        self.add("ST.W", value=self.random.getrandbits(32), addr=addr, skip=skip)

    def rows(self) -> dict[str, int]:
        random = self.random
        groups = random.randint(1, 3)
        held = STAGING // (32 * groups + 2)
        heads = random.randint(1, 3)
        count = random.randint(1, 3)
        src = random.randrange(held - heads * count + 1)
        position = random.randint(0, 70)
        return {
            "src": src, "heads": heads, "rows": count, "groups": groups, "position": position,
        }  # fmt: skip

    def keys(self) -> None:
        values = self.rows()
        last = values["position"] + values["rows"] - 1
        blocks = last // self.design.rows + 1
        stride = FORMATS["W8"].beats(blocks, values["groups"]) + self.random.randrange(3)
        if stride * values["heads"] > BEATS:
            return
        addr = self.random.randrange(BEATS - stride * values["heads"] + 1)
        self.add("ST.KEY", addr=addr, stride=stride, **values)

    def columns(self) -> None:
        values = self.rows()
        last = values["position"] + values["rows"] - 1
        pitch = (last // 16 + 1) * 2 + self.random.randrange(3)
        blocks = -(-32 * values["groups"] // self.design.rows)
        scales = blocks * pitch
        stride = scales + -(-2 * (last + 1) // self.width)
        if stride * values["heads"] > BEATS:
            return
        addr = self.random.randrange(BEATS - stride * values["heads"] + 1)
        self.add("ST.VALUE", addr=addr, stride=stride, pitch=pitch, scales=scales, **values)

    def nothing(self) -> None:
        name = self.random.choice(["ST.SYNC", "ST.V", "ST.KEY", "ST.VALUE"])
        self.commands.append(command(name))


SETTLED = 40
"""Cycles after which what passed a port is through ST."""


class Waits:
    """Holds what ST says that it waits for against its ports. Join it before the other roles.

    It is starved only while something that it asked for has not come, blocked only while it has
    something of which memory has not acknowledged all, and one of the two where nothing has moved
    for long.
    """

    moved = False

    def __init__(self, unit: Unit, channels: int) -> None:
        self.unit = unit
        self.reads = [("request", "word"), ("staging_request", "staged")]
        self.asked, self.owed = 0, 0
        self.ports = [
            {name: unit.wires[f"axi__{c}__{name}"] for name in AXI} for c in range(channels)
        ]
        self.since = dict.fromkeys(("read", "write", "moved"), 0)
        self.seen = {"starved": 0, "blocked": 0}

    def cycle(self) -> None:
        starved, blocked, busy = (
            bool(self.unit.wires[name].get()) for name in ("starved", "blocked", "busy")
        )
        moved, reads, writes = self._ports()
        for name, now in (("read", reads), ("write", writes), ("moved", moved or not busy)):
            self.since[name] = 0 if now else self.since[name] + 1
        self.seen["starved"] += starved
        self.seen["blocked"] += blocked
        if starved and (blocked or not busy or self.since["read"] > SETTLED):
            raise Mismatch(f"what is starved must have asked for something, not {self.since}")
        if blocked and (not busy or min(self.since["read"], self.since["write"]) > SETTLED):
            raise Mismatch(f"what is blocked must have something to hand on, not {self.since}")
        if self.since["moved"] > SETTLED and not starved and not blocked:
            raise Mismatch("what holds an instruction and does not move must wait for something")

    def _ports(self) -> tuple[bool, bool, bool]:
        """Whether something moves, something asked for is to come, something written is left."""
        moved = False
        for request, reply in self.reads:
            asks, comes = self.unit.outputs[request], self.unit.inputs[reply]
            asked, came = (one.valid_now() and one.ready_now() for one in (asks, comes))
            self.asked += asked - came
            moved |= asked or came
        reads = self.asked > 0 or any(waits(self.unit.outputs[name]) for name, _ in self.reads)
        writes = False
        for port in self.ports:
            on = {name: bool(wire.get()) for name, wire in port.items()}
            passes = {kind: on[f"{kind}valid"] and on[f"{kind}ready"] for kind in ("aw", "w", "b")}
            self.owed += passes["aw"] - passes["b"]
            moved |= any(passes.values())
            writes |= on["awvalid"] or on["wvalid"]
        return moved, reads, writes or self.owed > 0


AXI = tuple(f"{kind}{part}" for kind in ("aw", "w", "b") for part in ("valid", "ready"))


def store_case(design: Design, idle: Pattern, pressure: Pattern, pause: float) -> Case:
    async def run(unit: Unit) -> None:
        random = unit.random
        plan = Plan(design, random)
        for _ in range(10):
            random.choice([plan.vector, plan.word, plan.keys, plan.columns, plan.nothing])()
        size = BEATS * design.memory.beat_bytes
        ports = channels(unit, "write", design.channels, size, pause)
        before = np.frombuffer(random.randbytes(size * design.channels), np.uint8)
        for port, data in zip(ports, spread(design, before), strict=True):
            port.data[:] = data

        model = Model(design)
        state = model.machine.state
        state.memory.fill(0, before)
        lanes = design.sfu.lanes
        state.vector_bits[: WORDS * lanes] = [random.getrandbits(32) for _ in range(WORDS * lanes)]
        staging = np.array([random.randrange(-128, 128) for _ in range(64 * 480)], np.int8)
        state.staging[:64] = staging.reshape(64, 480)
        state.staging_scale[:64] = [random.getrandbits(16) for _ in range(64)]
        words = [[int(v) for v in state.vector_bits[w * lanes :][:lanes]] for w in range(WORDS)]
        parts = state.staging.copy(), state.staging_scale.copy()

        def part(place: dict[str, int]) -> list:
            row, first = place["row"], 16 * place["half"]
            values = [int(v) for v in parts[0][row, first : first + 16]]
            return [{"data": values, "scale": int(parts[1][row])}]

        uses = Waits(unit, design.channels)
        unit.join(uses)
        unit.respond("request", "word", lambda address: [words[address]], pressure, idle)
        unit.respond("staging_request", "staged", part, pressure, idle)
        unit.drive("command", plan.commands, idle)
        done = 0
        for _ in range(200_000):
            await unit.cycles()
            done += unit.wires["done"].get()
            if done == len(plan.commands):
                break
        # Nothing may come after the last `done`: what is in memory now is all there is.
        after = [bytes(port.data) for port in ports]
        await unit.cycles(50)
        if unit.wires["error"].get()["code"] != Code.NONE.value:
            raise Mismatch(f"there must be no fault, not {unit.wires['error'].get()}")
        if done != len(plan.commands):
            raise Mismatch(f"{len(plan.commands)} must be done, not {done}")
        if not uses.seen["blocked"] or (idle is not ALWAYS and not uses.seen["starved"]):
            raise Mismatch(f"it must have waited for memory and for words, not {uses.seen}")
        model.run("\n".join(plan.listing))
        expected = state.memory.bytes[: size * design.channels]
        for number, data in enumerate(spread(design, expected)):
            wrong = [i for i, (a, b) in enumerate(zip(after[number], data, strict=True)) if a != b]
            if wrong:
                beat = wrong[0] // design.memory.beat_bytes
                text = f"{len(wrong)} bytes, the first in beat {beat}, {wrong[:8]}"
                raise Mismatch(f"channel {number} must be the model's: {text}; {plan.listing}")

    return Case(f"random-pause{pause}", run, idle=idle, pressure=pressure)


def spread(design: Design, memory: np.ndarray) -> list[bytes]:
    """Each channel's bytes."""
    parts = memory.reshape(-1, design.channels, design.memory.beat_bytes)
    return [parts[:, channel].tobytes() for channel in range(design.channels)]


async def speed(unit: Unit) -> None:
    channels(unit, "write", 1, BEATS * 64, 0)
    unit.respond("request", "word", lambda address: [[address] * 16])
    unit.drive("command", [command("ST.V", addr=1, count=16 * 200)])
    started = unit.count
    await unit.until(lambda: unit.wires["done"].get(), "done")
    if unit.count - started > 250:
        raise Mismatch(f"200 beats must take at most 250 cycles, not {unit.count - started}")


def fault_case(name: str, expected: Code, *, broken: range = range(0), **values: int) -> Case:
    async def run(unit: Unit) -> None:
        ports = channels(unit, "write", 1, BEATS * 64, 0.2)
        ports[0].broken = broken
        unit.respond("request", "word", lambda address: [[address] * 16])
        part = {"data": [1] * 16, "scale": 2}
        unit.respond("staging_request", "staged", lambda _: [part])
        unit.drive("command", [command(name, **values), command("ST.SYNC")])
        done = 0
        for _ in range(400):
            await unit.cycles()
            done += unit.wires["done"].get()
        got = unit.wires["error"].get()
        if got["code"] != expected.value or done:
            raise Mismatch(f"must stop with {expected}, not {got}, {done} done")
        if not unit.wires["quiet"].get():
            raise Mismatch("nothing may be outstanding")
        await unit.reset()
        unit.drive("command", [command("ST.W", value=7, addr=1000)])
        await unit.until(lambda: unit.wires["done"].get(), "done after reset")
        if ports[0].data[64_000] != 7:
            raise Mismatch("the word must be written after reset")

    return Case(f"fault-{expected.name}-{name}-{'-'.join(map(str, values.values()))}", run)


CASES = [
    (idle, pressure, pause) for idle in PATTERNS for pressure in PATTERNS for pause in (0, 0.4)
]
ROW = {"heads": 1, "rows": 1, "groups": 1}
FAULTS = [
    fault_case("ST.V", Code.OUT_OF_RANGE, addr=BEATS - 1, count=17),
    fault_case("ST.V", Code.OUT_OF_RANGE, src=WORDS, count=1),
    fault_case("ST.W", Code.OUT_OF_RANGE, addr=BEATS),
    fault_case("ST.W", Code.OUT_OF_RANGE, skip=16),
    fault_case("ST.KEY", Code.OUT_OF_RANGE, src=60, **ROW),
    fault_case("ST.KEY", Code.OUT_OF_RANGE, heads=1, rows=1, groups=16),
    fault_case("ST.VALUE", Code.OUT_OF_RANGE, addr=BEATS - 1, pitch=2, **ROW),
    fault_case("ST.V", Code.WRITE_SLVERR, addr=9, count=80, broken=range(640, 704)),
    fault_case("ST.W", Code.WRITE_SLVERR, addr=9, broken=range(576, 640)),
]


def cases(design: Design, every: int) -> list[Case]:
    return [store_case(design, *case) for case in CASES[::every]]


KV = Bench("store_kv260", lambda: make(KV260), [*cases(KV260, 1), Case("speed", speed), *FAULTS])
THREE = Bench("store_odd", lambda: make(ODD), cases(ODD, 3))
SLIM = Bench("store_narrow", lambda: make(NARROW), cases(NARROW, 3))


@each_case(KV, THREE, SLIM)
def test_store(case):
    case.check()
