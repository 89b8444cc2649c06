"""A channel's reads through several AXI ports, its writes through one; cocotbext-axi around."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

from cocotbext.axi import AxiMasterRead, AxiMasterWrite, AxiReadBus, AxiResp, AxiWriteBus
from cocotbext.axi.address_space import Region
from tests.gateware.memories import attach
from tests.gateware.refusals import refuses

from alula.bench import ALWAYS, Bench, BoundCase, Case, Mismatch, Pattern, Unit, crossed, each_case
from alula.bench.roles import Role
from alula.design.memory import MIB
from alula.design.memory_ports import KEPT, stripe_bytes
from alula.gateware.memory.read_ports import OWED, ReadPorts
from alula.gateware.memory.write_port import WritePort

PORTS, BEAT = 4, 64
PART = BEAT // PORTS
BITS, CHIP_BITS = 21, 24
WINDOWS = ((2 * MIB, MIB), (9 * MIB, MIB))
"""Two halves of a memory of 2 MiB."""
PAGE = 4096
STRIPE = stripe_bytes(BEAT)
SHAPE = {"beat_bytes": BEAT, "address_bits": BITS, "chip_bits": CHIP_BITS, "windows": WINDOWS}


class Memory(Region):
    """2 MiB, at the chip's addresses. Accesses of `broken` bytes of it are refused."""

    def __init__(self, random: Random) -> None:
        super().__init__(1 << CHIP_BITS)
        self.data = bytearray(random.randbytes(2 * MIB))
        self.broken = range(0)

    def _place(self, address: int) -> int:
        for begins, (first, size) in zip((0, MIB), WINDOWS, strict=True):
            if address in range(first, first + size):
                place = begins + address - first
                if place in self.broken:
                    raise OSError("broken")
                return place
        raise OSError(f"no memory is at {address:#x}")

    async def _read(self, address: int, length: int, **_: object) -> bytes:
        place = self._place(address)
        return bytes(self.data[place : place + length])

    async def _write(self, address: int, data: bytes, **_: object) -> None:
        place = self._place(address)
        self.data[place : place + len(data)] = data


class Asked(Role):
    """What each port is asked for: address and bytes; and what it owes, in stripes."""

    moved = False

    def __init__(self, unit: Unit, prefixes: Sequence[str], side: str) -> None:
        names = ("valid", "ready", "addr", "len", "size", "burst")
        self._wires = [
            {name: unit.wires[f"{prefix}{side}{name}"] for name in names} for prefix in prefixes
        ]
        self._answers = [
            [unit.wires[f"{prefix}r{name}"] for name in ("valid", "ready", "last")]
            for prefix in prefixes
            if side == "ar"
        ]
        self.bursts: list[list[tuple[int, int]]] = [[] for _ in prefixes]
        self.owed = [0] * len(prefixes)
        self.most = 0

    def cycle(self) -> None:
        for number, wires in enumerate(self._wires):
            now = {name: wire.get() for name, wire in wires.items()}
            if now["valid"] and now["ready"]:
                if now["burst"] != 1 or 1 << now["size"] != PART:
                    raise Mismatch(f"a burst must be of whole parts (INCR), not {now}")
                self.bursts[number].append((now["addr"], (now["len"] + 1) * PART))
                self.owed[number] += 1
        for number, wires in enumerate(self._answers):
            if wires[0].get() and not wires[1].get():
                raise Mismatch(f"port {number} must never be made to wait")
            self.owed[number] -= all(wire.get() for wire in wires)
        self.most = max(self.most, *self.owed)


def pauses(unit: Unit, pattern: Pattern) -> Iterator[bool]:
    return (not goes for goes in unit.goes(pattern))


def slowed(random: Random, probability: float) -> Iterator[bool]:
    while True:
        yield random.random() < probability


def reading(
    unit: Unit, idle: Pattern = ALWAYS, pressure: Pattern = ALWAYS, slow: Sequence[float] = ()
) -> tuple[Memory, Asked, Any]:
    """A memory behind all ports, each with its own pauses; a reader in front."""
    memory, random = Memory(unit.random), Random(unit.random.random())
    for number in range(PORTS):
        pause = {name: slowed(random, slow[number]) for name in ("ar", "r")} if slow else {}
        attach(unit, "read", f"axi__{number}_", memory, pause)
    master = AxiMasterRead(
        AxiReadBus.from_prefix(unit.dut, "whole_"), unit.dut.clk, unit.dut.rst, max_burst_len=64
    )
    master.log.setLevel(logging.CRITICAL)
    master.ar_channel.set_pause_generator(pauses(unit, idle))
    master.r_channel.set_pause_generator(pauses(unit, pressure))
    asked = Asked(unit, [f"axi__{number}__" for number in range(PORTS)], "ar")
    unit.join(asked)
    return memory, asked, master


def ranges(random: Random, count: int, most: int) -> list[range]:
    """Runs of whole beats: at the ends of memory, across its windows, or anywhere."""
    beats, found = 2 * MIB // BEAT, []
    for _ in range(count):
        size = random.choice((1, 2, random.randint(1, 9), random.randint(1, most)))
        middle = MIB // BEAT - random.randint(0, size)
        first = random.choice((0, beats - size, middle, random.randrange(beats - size + 1)))
        found.append(range(first * BEAT, (first + size) * BEAT))
    return found


async def ended(unit: Unit, events: list[Any], what: str) -> None:
    """Let cycles pass until all operations of a cocotbext master are over."""
    while not all(event.is_set() for event in events):
        await unit.cycles()
        if unit.count > 60_000:
            raise Mismatch(f"{what} must end")


def read_case(name: str, slow: Sequence[float], idle: Pattern, pressure: Pattern) -> Case:
    """What comes is what memory holds, in the order of asking, whichever port is slower."""

    async def run(unit: Unit) -> None:
        memory, asked, master = reading(unit, idle, pressure, slow)
        items = ranges(unit.random, 10, 150)
        events = [master.init_read(item.start, len(item), arid=0) for item in items]
        await ended(unit, events, "reads")
        for item, event in zip(items, events, strict=True):
            if event.data.data != memory.data[item.start : item.stop]:
                raise Mismatch(f"{item} must be what memory holds")
        if any(asked.owed) or asked.most > OWED:
            raise Mismatch(f"a port must owe at most {OWED} stripes, not {asked.most}")
        for bursts in asked.bursts:
            for address, size in bursts:
                if address // STRIPE != (address + size - 1) // STRIPE:
                    raise Mismatch(f"{size} bytes at {address} must lie in one stripe")

    return Case(f"random_{name}", run, idle=idle, pressure=pressure)


SLOW = {"equal": (), "first": (0.8, 0, 0, 0), "pair": (0, 0.5, 0.5, 0), "all": (0.2, 0.4, 0.6, 0.3)}


async def slow_pair(unit: Unit) -> None:
    """Ports that are slower get fewer stripes, and the others do not wait for them."""
    _, asked, master = reading(unit, slow=(0, 0.7, 0.7, 0))
    event = master.init_read(0, 64 * PAGE, arid=0)
    await ended(unit, [event], "the read")
    counts = [len(bursts) for bursts in asked.bursts]
    if max(counts[1:3]) > 0.6 * min(counts[0], counts[3]):
        raise Mismatch(f"slower ports must get fewer stripes, not {counts}")


async def turns(unit: Unit) -> None:
    """Ports of the same speed take turns, a whole stripe each."""
    _, asked, master = reading(unit)
    event = master.init_read(0, 4 * PAGE, arid=0)
    await ended(unit, [event], "the read")
    first = WINDOWS[0][0]
    for number, bursts in enumerate(asked.bursts):
        places = [first + (PORTS * turn + number) * STRIPE for turn in range(len(bursts))]
        if (
            bursts != [(place, STRIPE) for place in places]
            or len(bursts) != 4 * PAGE // STRIPE // 4
        ):
            raise Mismatch(f"port {number} must have each fourth stripe, not {bursts}")


async def held_back(unit: Unit) -> None:
    """While nobody takes what comes, ports are asked for what their buffers hold, and no more."""
    _, asked, master = reading(unit, pressure=ALWAYS)
    master.r_channel.set_pause_generator(None)
    master.r_channel.pause = True
    event = master.init_read(0, 64 * PAGE, arid=0)
    await unit.cycles(6000)
    counts = [len(bursts) for bursts in asked.bursts]
    # The stripe that would come next has left its port's buffer in part, but keeps its place.
    if counts != [KEPT] * PORTS or any(asked.owed):
        raise Mismatch(f"ports must be asked for {KEPT} stripes each, not {counts}")
    master.r_channel.pause = False
    await ended(unit, [event], "the read")


def refused_case(place: int) -> Case:
    """A part that is refused makes its beat an error, and no other."""

    async def run(unit: Unit) -> None:
        memory, _, master = reading(unit, slow=SLOW["all"])
        memory.broken = range(place, place + PART)
        items = [range(beat * BEAT, (beat + 1) * BEAT) for beat in range(40)]
        events = [master.init_read(item.start, BEAT, arid=0) for item in items]
        await ended(unit, events, "reads")
        for item, event in zip(items, events, strict=True):
            wanted = AxiResp.SLVERR if place in item else AxiResp.OKAY
            if event.data.resp != wanted:
                raise Mismatch(
                    f"the beat at {item.start} must be {wanted!r}, not {event.data.resp!r}"
                )

    return Case(f"refused{place}", run)


READ = Bench(
    "read_ports",
    lambda: ReadPorts(ports=PORTS, **SHAPE),
    [
        *(case for name, slow in SLOW.items() for case in crossed(partial(read_case, name, slow))),
        *(refused_case(place) for place in (20 * BEAT, 21 * BEAT + 3 * PART)),
        Case("slow_pair", slow_pair),
        Case("turns", turns),
        Case("held_back", held_back),
    ],
)


def write_case(pause: float, idle: Pattern, pressure: Pattern) -> Case:
    """Bytes that are written are in memory, and no others; each burst is answered once.

    `idle` is of addresses and data, `pressure` of answers.
    """

    async def run(unit: Unit) -> None:
        memory, random = Memory(unit.random), Random(unit.random.random())
        attach(
            unit, "write", "axi_", memory,
            {name: slowed(random, pause) for name in ("aw", "w", "b")} if pause else {},
        )  # fmt: skip
        expected = bytearray(memory.data)
        master = AxiMasterWrite(
            AxiWriteBus.from_prefix(unit.dut, "whole_"),
            unit.dut.clk,
            unit.dut.rst,
            max_burst_len=64,
        )
        master.log.setLevel(logging.CRITICAL)
        for channel, pattern in (("aw", idle), ("w", idle), ("b", pressure)):
            getattr(master, f"{channel}_channel").set_pause_generator(pauses(unit, pattern))
        asked = Asked(unit, ["axi__"], "aw")
        unit.join(asked)
        events = []
        for item in ranges(random, 12, 90):
            # First and last bytes are anywhere within their beats: strobes of a part, or of none.
            start = item.start + random.randrange(BEAT // 2)
            data = random.randbytes(item.stop - random.randrange(BEAT // 2) - start)
            expected[start : start + len(data)] = data
            events.append(master.init_write(start, data, awid=0))
        await ended(unit, events, "writes")
        if memory.data != expected:
            raise Mismatch("memory must hold what was written")
        for address, size in asked.bursts[0]:
            if address % BEAT or address // PAGE != (address + size - 1) // PAGE:
                raise Mismatch(f"a burst must not cross 4 KiB: {address}, {size}")

    return Case(f"random-pause{pause}", run, idle=idle, pressure=pressure)


async def refused_write(unit: Unit) -> None:
    memory = Memory(unit.random)
    memory.broken = range(5 * BEAT, 6 * BEAT)
    attach(unit, "write", "axi_", memory, {})
    master = AxiMasterWrite(AxiWriteBus.from_prefix(unit.dut, "whole_"), unit.dut.clk, unit.dut.rst)
    master.log.setLevel(logging.CRITICAL)
    events: list[Any] = [master.init_write(beat * BEAT, bytes(BEAT), awid=0) for beat in range(9)]
    await ended(unit, events, "writes")
    found = [event.data.resp for event in events]
    wanted = [AxiResp.SLVERR if beat == 5 else AxiResp.OKAY for beat in range(9)]
    if found != wanted:
        raise Mismatch(f"answers must be {wanted}, not {found}")


WRITE = Bench(
    "write_port",
    lambda: WritePort(parts=PORTS, **SHAPE),
    [
        *(case for pause in (0, 0.4) for case in crossed(partial(write_case, pause))),
        Case("refused", refused_write),
    ],
)


@each_case(READ, WRITE)
def test_ports(case: BoundCase) -> None:
    case.check()


def test_parameters_are_checked() -> None:
    def given(kind: Any, **values: Any) -> Any:
        return lambda: kind(**{"address_bits": 21, "chip_bits": 24, "beat_bytes": 64} | values)

    refuses("ports must be a power of two, at least 2, not 3", given(ReadPorts, ports=3))
    refuses("parts must be a power of two, at least 2, not 1", given(WritePort, parts=1))
    refuses(
        "beat_bytes must be a power of two, 4 to 1024, not 2048",
        given(ReadPorts, ports=4, beat_bytes=2048),
    )
    refuses(
        "beat_bytes must be a power of two, 64 to 4096, not 32",
        given(WritePort, parts=4, beat_bytes=32),
    )
