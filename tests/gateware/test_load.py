from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
from tests.gateware.matrix import stream_order
from tests.gateware.memories import channels
from tests.model.bench import KV260, NARROW, ODD
from tests.model.bench import Bench as Model

from alula.bench import ALWAYS, PATTERNS, Bench, Case, Mismatch, Pattern, Unit, each_case
from alula.design import Design
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.memory.load import Load
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.stream.weight_format import code
from alula.isa import FORMATS, WEIGHT_FORMATS
from alula.isa.formats import DENSE, BeatKind
from alula.isa.formats import PATTERNS as NM

BEATS = 2048
STREAM = 512


def width(design: Design) -> int:
    return design.channels * design.memory.beat_bytes


def command(name: str, **values: int) -> dict[str, int]:
    return {"opcode": opcode(name), **values}


def make(design: Design) -> Load:
    sizes = replace(MemorySizes.of(design), memory_beats=BEATS)
    return Load(sizes, sparse=design.mpe.sparse, stream_beats=STREAM)


def give_free(unit: Unit, value: int, meta: int, scale: int, index: int = 1) -> None:
    """Say how much each ring of the stream can take."""
    for kind, beats in zip(BeatKind, (value, meta, scale, index), strict=True):
        unit.wires[f"free__{kind.value}"].set(beats)


def shape_of(fmt: str, nm: str, **values: int) -> dict[str, int]:
    """The fields of LD.W."""
    return {"fmt": code(fmt), "nm": list(NM).index(nm), **values}


class Plan:
    """Random commands and what they must do."""

    def __init__(self, design: Design, random: Random) -> None:
        self.design, self.random = design, random
        self.width = width(design)
        self.memory = bytearray(random.randbytes(BEATS * self.width))
        self.commands: list[dict[str, int]] = []
        self.beats: list[dict] = []
        self.tags: list[dict] = []
        self.listing: list[str] = []
        self.written: list[int] = []

    def beat(self, index: int) -> int:
        return int.from_bytes(self.memory[index * self.width : (index + 1) * self.width], "little")

    def sync(self) -> None:
        self.commands.append(command(self.random.choice(["LD.SYNC", "LD.V"])))

    def push(
        self, fmt: str, addr: int, blocks: int, groups: int, stride: int, nm: str = "dense"
    ) -> None:
        kinds = stream_order(fmt, blocks, groups, nm)
        places = range(addr, addr + len(kinds))
        if stride:
            each = 4 * groups
            places = [addr + b * stride + i for b in range(blocks) for i in range(each)]
        self.beats += [
            {"data": self.beat(place), "kind": kind.value}
            for place, kind in zip(places, kinds, strict=True)
        ]
        to = self.random.randrange(2)
        self.tags.append({"mm": to, "format": code(fmt, nm), "blocks": blocks, "groups": groups})
        shape = shape_of(fmt, nm, blocks=blocks, groups=groups, stride=stride)
        self.commands.append(command("LD.W", to=to, addr=addr, **shape))

    def matrix(self) -> None:
        known = [key for key in WEIGHT_FORMATS if self.design.mpe.sparse or key[1] == DENSE.name]
        fmt, nm = self.random.choice(known)
        blocks, groups = self.random.randint(1, 9), self.random.randint(1, 7)
        beats = WEIGHT_FORMATS[fmt, nm].beats(blocks, groups)
        self.push(
            fmt,
            self.random.choice([0, self.random.randrange(BEATS - beats), BEATS - beats]),
            blocks,
            groups,
            0,
            nm,
        )

    def strided(self) -> None:
        blocks, groups = self.random.randint(1, 5), self.random.randint(1, 5)
        stride = self.random.randint(4 * groups, 60)
        last = (blocks - 1) * stride + 4 * groups
        self.push("V8", self.random.randrange(BEATS - last + 1), blocks, groups, stride)

    def row(self, count: int, size: int) -> int:
        return -(-count * size // self.width)

    def vector(self) -> None:
        kind = self.random.randrange(2)
        count = self.random.choice([1, self.random.randint(1, 300), self.width // 4])
        beats = self.row(count, 4 - 2 * kind)
        addr = self.random.randrange(BEATS - beats + 1)
        dst = self.random.randrange(64)
        self.commands.append(command("LD.V", type=kind, addr=addr, dst=dst, count=count))
        self.listing.append(
            f"LD.V type={('fp32', 'bf16')[kind]} addr={addr} dst={dst} count={count}"
        )
        self.note(dst, count)

    def note(self, dst: int, count: int) -> None:
        self.written += range(dst, dst + -(-count // self.design.sfu.lanes))

    def gather(self) -> None:
        """Comes first, as it puts its ids into memory."""
        kind, length = self.random.randrange(2), self.random.randint(1, 40)
        count = self.random.randint(1, 11)
        beats = self.row(length, 4 - 2 * kind)
        table = self.random.randrange(BEATS // 2)
        ids = self.random.randrange(BEATS - 16)
        numbers = [self.random.randrange((BEATS - table) // beats) for _ in range(count)]
        start = ids * self.width
        self.memory[start : start + 4 * count] = np.array(numbers, "<u4").tobytes()
        dst = self.random.randrange(64)
        fields = {"table": table, "ids": ids, "count": count, "len": length, "dst": dst}
        self.commands.append(command("LD.G", type=kind, **fields))
        text = " ".join(f"{key}={value}" for key, value in fields.items())
        self.listing.append(f"LD.G type={('fp32', 'bf16')[kind]} {text}")
        words = -(-length // self.design.sfu.lanes)
        for place in range(count):
            self.note(dst + place * words, length)

    def vector_words(self) -> dict[int, list[int]]:
        model = Model(self.design)
        model.machine.state.memory.fill(0, np.frombuffer(bytes(self.memory), np.uint8))
        model.run("\n".join(self.listing))
        lanes = self.design.sfu.lanes
        bits = model.machine.state.vector_bits
        return {w: [int(v) for v in bits[w * lanes : w * lanes + lanes]] for w in set(self.written)}


def spread(design: Design, memory: bytes) -> list[bytes]:
    """Each channel's bytes."""
    flat = np.frombuffer(memory, np.uint8).reshape(-1, design.channels, design.memory.beat_bytes)
    return [flat[:, channel].tobytes() for channel in range(design.channels)]


def load_case(design: Design, idle: Pattern, pressure: Pattern, pause: float, gather: bool) -> Case:
    async def run(unit: Unit) -> None:
        random = unit.random
        size = BEATS * design.memory.beat_bytes
        ports = channels(unit, "read", design.channels, size, pause)
        plan = Plan(design, random)
        if gather:
            plan.gather()
        for _ in range(12):
            random.choice([plan.matrix, plan.matrix, plan.strided, plan.vector, plan.sync])()
        for port, data in zip(ports, spread(design, plan.memory), strict=True):
            port.data[:] = data
        give_free(unit, *random.choice([(STREAM, 66, 16), (40, 3, 1), (1, 1, 1)]))
        written: dict[int, list[int]] = {}
        order: list[int] = []

        def write(item: dict) -> None:
            assert item["mask"] == (1 << design.sfu.lanes) - 1
            written[item["address"]] = item["data"]
            order.append(item["address"])

        done = [0]
        unit.drive("command", plan.commands, idle)
        boards = [
            unit.expect("beat", plan.beats, pressure),
            unit.expect("tag", plan.tags, pressure),
        ]
        unit.watch("write", write, pressure)
        await unit.until(lambda: tally(unit, done) == len(plan.commands), "the last done", 3000)
        await unit.finish(*boards, quiet=20)
        if unit.wires["error"].get()["code"] != Code.NONE.value:
            raise Mismatch(f"there must be no fault, not {unit.wires['error'].get()}")
        if order != plan.written:
            raise Mismatch(f"words must be written in order {plan.written}, not {order}")
        if written != plan.vector_words():
            raise Mismatch("words must be those of the model")
        check_bursts(design, ports)

    return Case(f"gather{gather:d}-pause{pause}", run, idle=idle, pressure=pressure)


def tally(unit: Unit, done: list[int]) -> int:
    done[0] += unit.wires["done"].get()
    return done[0]


def check_bursts(design: Design, ports) -> None:
    for port in ports:
        for address, length in port.reads:
            if address // 4096 != (address + length - 1) // 4096:
                raise Mismatch(f"a burst must not cross 4 KiB: {address}, {length}")


class Uses:
    """Compares `starved` and `blocked` with what passes, in each cycle of matrices.

    Between an instruction's first beat and its last it is starved in every cycle in which there is
    no beat; wherever a beat waits it is blocked. It tells of each cycle in the next one. Join it
    before the roles of the streams.
    """

    moved = False

    def __init__(self, unit: Unit, lengths: list[int]) -> None:
        self.unit, self.left, self.inside = unit, lengths, 0
        self.seen = {"starved": 0, "blocked": 0, "passed": 0}
        self.told: tuple[int, int] | None = None
        self.tag_waits = [False, False]

    def cycle(self) -> None:
        starved, blocked = (self.unit.wires[name].get() for name in ("starved", "blocked"))
        told, self.told = self.told, self.look()
        if told is not None:
            if (starved, blocked) != told:
                raise Mismatch(f"starved and blocked must be {told}, not {(starved, blocked)}")
        elif blocked and (starved or not self.tag_waits[1]):
            raise Mismatch("what is blocked must have something that waits")
        for name, value in (("starved", starved), ("blocked", blocked)):
            self.seen[name] += value

    def look(self) -> tuple[int, int] | None:
        """Return what must be told of this cycle in the next one; None: it may be either."""
        beat, tag = self.unit.outputs["beat"], self.unit.outputs["tag"]
        offered, taken = beat.valid_now(), beat.ready_now()
        self.tag_waits = [tag.valid_now() and not tag.ready_now(), self.tag_waits[0]]
        if not offered and not self.inside:
            return None
        if offered and taken:
            self.seen["passed"] += 1
            self.inside += 1
            if self.inside == self.left[0]:
                self.left.pop(0)
                self.inside = 0
        return int(not offered), int(offered and not taken)


def use_case(idle: Pattern, pressure: Pattern, pause: float) -> Case:
    """`pause`: how often memory does not answer, so that LD is starved."""

    async def run(unit: Unit) -> None:
        channels(unit, "read", 1, BEATS * 64, pause)
        give_free(unit, STREAM, 66, 16)
        plan = Plan(KV260, unit.random)
        lengths = []
        for _ in range(8):
            before = len(plan.beats)
            plan.matrix()
            lengths.append(len(plan.beats) - before)
        uses = Uses(unit, lengths)
        unit.join(uses)
        unit.drive("command", plan.commands, idle)
        unit.watch("beat", lambda _: None, pressure)
        unit.watch("tag", lambda _: None, pressure)
        await unit.until(lambda: not uses.left, "the last beat")
        starves, blocks = pause > 0, pressure is not ALWAYS and not pause
        if uses.seen["starved"] < 50 * starves or uses.seen["blocked"] < 50 * blocks:
            raise Mismatch(f"all that there is must be seen, not {uses.seen}")

    return Case(f"uses-pause{pause}", run, idle=idle, pressure=pressure)


async def speed(unit: Unit) -> None:
    """Matrices follow each other without a gap."""
    design = KV260
    ports = channels(unit, "read", 1, BEATS * 64, 0)
    del ports
    give_free(unit, STREAM, 66, 16)
    items = [command("LD.W", addr=17 * i, blocks=16, groups=2, fmt=code("W8")) for i in range(6)]
    unit.drive("command", items)
    seen = [0, 0]

    def take(_: object) -> None:
        seen[0] = seen[0] or unit.count
        seen[1] += 1

    unit.watch("beat", take)
    unit.watch("tag", lambda _: None)
    total = 6 * FORMATS["W8"].beats(16, 2)
    await unit.until(lambda: seen[1] == total, "the last beat")
    assert design.channels == 1
    if unit.count - seen[0] > total + 60:
        raise Mismatch(f"{total} beats must take {total + 60} cycles, not {unit.count - seen[0]}")


class Rings:
    """The stream's rings, from which nothing is taken: what is free, by the kind of beat."""

    moved = False

    def __init__(self, unit: Unit, *free: int) -> None:
        self.unit, self.free, self.took = unit, list(free), 0
        unit.watch("beat", self.take)
        give_free(unit, *free)

    def take(self, beat: dict) -> None:
        self.free[beat["kind"]] -= 1
        self.took += 1
        if min(self.free) < 0:
            raise Mismatch(f"beats must fit their rings, not leave {self.free}")
        give_free(self.unit, *self.free)


def free_case(fmt: str, groups: int, *free: int) -> Case:
    """LD asks for what fits, to the last beat of the first ring that is full, and for no more."""

    async def run(unit: Unit) -> None:
        ports = channels(unit, "read", 1, BEATS * 64, 0.2)
        shape = {"fmt": code(fmt), "blocks": 60, "groups": groups}
        kinds = [kind.value for kind in stream_order(fmt, 60, groups)]
        fits = next(
            count
            for count in range(len(kinds))
            if any(kinds[: count + 1].count(kind) > free[kind] for kind in range(3))
        )
        unit.watch("tag", lambda _: None)
        unit.watch("write", lambda _: None)
        rings = Rings(unit, *free)
        unit.drive("command", [command("LD.W", **shape), command("LD.V", count=5, addr=9)])
        await unit.cycles(800)
        asked = sum(length for _, length in ports[0].reads) // 64
        if not rings.took == asked == fits:
            raise Mismatch(f"{fits} beats must be asked for and come, not {asked} and {rings.took}")
        rings.free = [STREAM, 66, 16]
        give_free(unit, *rings.free)
        await unit.until(lambda: rings.took == len(kinds), "the last beat")

    return Case(f"free-{fmt}-{groups}-{'-'.join(map(str, free))}", run)


ROOM = [
    free_case("W4", 1, 100, 66, 3),
    free_case("W4", 4, 300, 5, 16),
    free_case("W4", 3, 77, 60, 16),
    free_case("W8", 2, 130, 0, 16),
    free_case("V8", 2, 9, 0, 0),
]


def fault_case(name: str, expected: Code, *, broken: range = range(0), **values: int) -> Case:
    async def run(unit: Unit) -> None:
        ports = channels(unit, "read", 1, BEATS * 64, 0.2)
        ports[0].broken = broken
        give_free(unit, STREAM, 66, 16)
        unit.drive("command", [command(name, **values), command("LD.SYNC")])
        unit.watch("beat", lambda _: None)
        unit.watch("tag", lambda _: None)
        unit.watch("write", lambda _: None)
        done = [0]
        for _ in range(400):
            await unit.cycles(1)
            tally(unit, done)
        got = unit.wires["error"].get()
        if got["code"] != expected.value or done[0]:
            raise Mismatch(f"must stop with {expected}, not {got}, {done[0]} done")
        if not unit.wires["quiet"].get():
            raise Mismatch("nothing may be outstanding")
        await unit.reset()
        ports[0].broken = range(0)
        unit.drive("command", [command("LD.V", count=5, addr=3)])
        words = []
        unit.watch("write", words.append)
        await unit.until(lambda: len(words) == 1, "a word after reset")

    return Case(f"fault-{expected.name}-{name}-{'-'.join(map(str, values.values()))}", run)


CASES = [
    (idle, pressure, pause, gather)
    for idle in PATTERNS
    for pressure in PATTERNS
    for pause in (0, 0.4)
    for gather in (False, True)
]


@cache
def cases(design: Design, every: int) -> list[Case]:
    return [load_case(design, *case) for case in CASES[::every]]


W8 = {"fmt": 1, "blocks": 3, "groups": 2}
FAULTS = [
    fault_case("LD.W", Code.UNSUPPORTED, blocks=1, groups=1, fmt=9),
    fault_case("LD.W", Code.UNSUPPORTED, blocks=1, groups=1, nm=1),
    fault_case("LD.W", Code.UNDEFINED, blocks=0, groups=1),
    fault_case("LD.W", Code.UNDEFINED, blocks=1, groups=0),
    fault_case("LD.W", Code.UNDEFINED, stride=5, **W8),
    fault_case("LD.W", Code.OUT_OF_RANGE, addr=BEATS - 24, **W8),
    fault_case("LD.W", Code.OUT_OF_RANGE, addr=0xFFFF_FFFF, **W8),
    fault_case("LD.W", Code.OUT_OF_RANGE, addr=BEATS - 30, fmt=2, blocks=2, groups=2, stride=23),
    fault_case("LD.V", Code.OUT_OF_RANGE, addr=BEATS - 1, count=17),
    fault_case("LD.V", Code.OUT_OF_RANGE, dst=KV260.vector_words, count=1),
    fault_case("LD.V", Code.OUT_OF_RANGE, count=0x8000_0000),
    fault_case("LD.G", Code.OUT_OF_RANGE, table=BEATS, count=1, len=4),
    fault_case("LD.G", Code.OUT_OF_RANGE, dst=KV260.vector_words - 2, count=3, len=4),
    fault_case("LD.V", Code.READ_SLVERR, addr=9, count=40, broken=range(640, 704)),
    fault_case("LD.W", Code.READ_SLVERR, addr=60, broken=range(4096, 4160), **W8),
]
USES = [use_case(ALWAYS, pressure, pause) for pressure in PATTERNS for pause in (0, 0.5)]
OTHERS = [Case("speed", speed), *ROOM, *FAULTS, *USES]
KV = Bench("load_kv260", lambda: make(KV260), [*cases(KV260, 1), *OTHERS])
SPARSE = ODD.replace({"mpe.sparse": True})
THREE = Bench("load_odd", lambda: make(SPARSE), cases(SPARSE, 3))
SLIM = Bench("load_narrow", lambda: make(NARROW), cases(NARROW, 3))


@each_case(KV, THREE, SLIM)
def test_load(case):
    case.check()
