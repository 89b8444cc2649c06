"""Transfers to AXI bursts, and the masters that read and write with them."""

from collections import deque
from functools import partial
from random import Random

from cocotbext.axi import AxiResp
from tests.gateware.memories import channels
from tests.gateware.refusals import refuses

from alula.bench import (
    ALWAYS,
    PATTERNS,
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Unit,
    crossed,
    each_case,
)
from alula.gateware.hdl.axi import MAX_BURST
from alula.gateware.memory.bursts import Bursts
from alula.gateware.memory.read_master import ReadMaster
from alula.gateware.memory.write_master import WriteMaster

ADDRESS_BITS = 12
BEATS = 1 << ADDRESS_BITS
PAGE = 4096
WORTH = 16
Transfer = dict[str, int]


def transfers(random: Random, count: int, most: int = 600, metered: bool = True) -> list[Transfer]:
    found = []
    for _ in range(count):
        beats = random.choice((1, 2, random.randint(1, 40), random.randint(1, most)))
        address = random.choice((0, BEATS - beats, random.randrange(BEATS - beats + 1)))
        kind = random.getrandbits(1) if metered else 0
        found.append({"address": address, "beats": beats, "metered": kind})
    return found


def burst_case(beat_bytes: int, patient: int, idle: Pattern, pressure: Pattern) -> Case:
    """Bursts follow each other through a transfer, as long as they may be where nothing meters."""

    async def run(unit: Unit) -> None:
        random = unit.random
        items = transfers(random, 40)
        unit.drive("transfer", items, idle)
        waiting = deque(items)
        now, left, credit = 0, 0, 0
        granted = took = 0
        longest = min(MAX_BURST, PAGE // beat_bytes)

        def take(burst: dict[str, int]) -> None:
            nonlocal now, left, took
            if not left:
                now, left = waiting[0]["address"], waiting[0]["beats"]
            metered = waiting[0]["metered"]
            count = burst["last"] + 1
            most = min(left, longest - now % longest)
            wanted = {"address": now, "ends": int(count == left)}
            if burst | wanted != burst or count > most:
                raise Mismatch(f"a burst must be {wanted} of at most {most}, not {burst}")
            took += count * metered
            if took > granted:
                raise Mismatch(f"{granted} metered beats may be asked for, not {took}")
            if count < (min(WORTH, most) if metered and patient else 1 if metered else most):
                raise Mismatch(f"a burst must be worth it: of {most}, not {count} beats")
            now, left = now + count, left - count
            if not left:
                waiting.popleft()

        unit.watch("burst", take, pressure)
        unit.set(patient=patient)
        quiet = asked = 0
        while waiting:
            before = len(waiting), left
            credit -= asked  # of the cycle before the last
            unit.set(credit=min(credit, MAX_BURST))
            more = min(random.choice((0, 0, 1, 5, 40)), 2 * MAX_BURST - credit)
            credit, granted = credit + more, granted + more
            asked = unit.wires["asked"].get()
            await unit.cycles()
            quiet = quiet + 1 if before == (len(waiting), left) else 0
            if quiet > 300:
                raise Mismatch(f"{len(waiting)} transfers must be cut: none moves any more")

    return Case(f"patient{patient}", run, idle=idle, pressure=pressure)


BURSTS = [
    Bench(
        f"bursts_{beat_bytes}",
        lambda beat_bytes=beat_bytes: Bursts(beat_bits=ADDRESS_BITS, beat_bytes=beat_bytes),
        [case for patient in (0, 1) for case in crossed(partial(burst_case, beat_bytes, patient))],
    )
    for beat_bytes in (8, 64)
]


def within_pages(accesses: list[tuple[int, int]]) -> None:
    for address, length in accesses:
        if address // PAGE != (address + length - 1) // PAGE:
            raise Mismatch(f"a burst must not cross 4 KiB: {address}, {length}")


class Owed:
    """Bursts that each channel owes an answer for: a master is not quiet while there are any."""

    moved = False

    def __init__(self, unit: Unit, channels: int, address: str, answer: str, ends: str) -> None:
        self.unit, self.owed = unit, [0] * channels
        self._parts = [
            [
                [unit.wires[f"axi__{number}__{part}{end}"] for end in ("valid", "ready")]
                + ([unit.wires[f"axi__{number}__{ends}"]] if part == answer and ends else [])
                for part in (address, answer)
            ]
            for number in range(channels)
        ]

    def cycle(self) -> None:
        if any(self.owed):
            self.unit.must(quiet=0)
        for number, parts in enumerate(self._parts):
            asked, answered = (all(wire.get() for wire in wires) for wires in parts)
            self.owed[number] += asked - answered


def read_case(count: int, size: int, idle: Pattern, pressure: Pattern, pause: float) -> Case:
    """All channels' parts of every beat, in order; then memory owes nothing."""

    async def run(unit: Unit) -> None:
        ports = channels(unit, "read", count, BEATS * size, pause)
        for port in ports:
            port.data[:] = unit.random.randbytes(BEATS * size)
        items = transfers(unit.random, 12, most=300)
        expected = [
            int.from_bytes(b"".join(port.data[place * size :][:size] for port in ports), "little")
            for item in items
            for place in range(item["address"], item["address"] + item["beats"])
        ]
        unit.set(credit=MAX_BURST)
        unit.join(Owed(unit, count, "ar", "r", "rlast"))
        unit.drive("transfer", items, idle)
        asked = 0
        board = unit.expect("beat", expected, pressure)
        while not board.complete:
            await unit.cycles()
            asked += unit.wires["asked"].get()
        await unit.finish(board, quiet=20)
        unit.must(quiet=1, error=0)
        metered = sum(item["beats"] for item in items if item["metered"])
        if asked != metered:
            raise Mismatch(f"{metered} metered beats must be asked for, not {asked}")
        for port in ports:
            within_pages(port.reads)

    return Case(f"random-pause{pause}", run, idle=idle, pressure=pressure)


def read_error_case(count: int, size: int, place: int, response: AxiResp) -> Case:
    """Where one channel refuses, the beats before come; nothing after, and memory owes nothing."""

    async def run(unit: Unit) -> None:
        ports = channels(unit, "read", count, BEATS * size, 0.2)
        ports[-1].broken = range(place * size, (place + 1) * size)
        unit.set(credit=MAX_BURST)
        unit.drive("transfer", [_plain(place - 5, 90)])
        seen: list[int] = []
        unit.watch("beat", seen.append)
        await unit.until(lambda: unit.wires["error"].get(), "an error", 400)
        await unit.cycles(300)
        unit.must(error=1, response=response.value, channel=count - 1, quiet=1)
        if len(seen) > 5:
            raise Mismatch(f"no beat must come after the error, not {len(seen) - 5}")

    return Case(f"error_{response.name}", run)


def _plain(address: int, beats: int) -> Transfer:
    return {"address": address, "beats": beats, "metered": 0}


async def cancelled_read(unit: Unit) -> None:
    """What is under way is dropped; nothing new begins."""
    channels(unit, "read", 2, BEATS * 16, 0.2)
    unit.set(credit=MAX_BURST)
    unit.drive("transfer", [_plain(0, 3000)])
    seen: list[int] = []
    unit.watch("beat", seen.append)
    await unit.until(lambda: len(seen) >= 20, "some beats")
    unit.set(cancel=1)
    await unit.cycles(1)
    before = len(seen)
    await unit.until(lambda: unit.wires["quiet"].get(), "quiet")
    await unit.cycles(50)
    unit.must(quiet=1)
    if len(seen) > before:
        raise Mismatch("no beat must come after cancel")


def master_patterns() -> list[tuple[Pattern, Pattern, float]]:
    return [
        (idle, pressure, pause) for idle in PATTERNS for pressure in PATTERNS for pause in (0, 0.4)
    ]


READ = Bench(
    "read_master",
    lambda: ReadMaster(channels=2, beat_bits=ADDRESS_BITS, beat_bytes=16),
    [
        *(read_case(2, 16, *patterns) for patterns in master_patterns()),
        read_error_case(2, 16, 40, AxiResp.SLVERR),
        Case("cancel", cancelled_read),
    ],
)


def write_case(count: int, size: int, idle: Pattern, pressure: Pattern, pause: float) -> Case:
    """Strobed bytes reach the channels that a transfer names, and no others.

    `idle` is of the transfers, `pressure` of the beats.
    """

    async def run(unit: Unit) -> None:
        random = unit.random
        ports = channels(unit, "write", count, BEATS * size, pause)
        expected = [bytearray(random.randbytes(BEATS * size)) for _ in ports]
        for port, data in zip(ports, expected, strict=True):
            port.data[:] = data
        items = transfers(random, 12, most=150, metered=False)
        named = [random.randrange(1, 1 << count) for _ in items]
        beats = []
        for item, mask in zip(items, named, strict=True):
            for place in range(item["address"], item["address"] + item["beats"]):
                data = random.randbytes(count * size)
                strobe = random.choice(((1 << count * size) - 1, random.getrandbits(count * size)))
                beats.append({"data": int.from_bytes(data, "little"), "strobe": strobe})
                for byte in range(count * size):
                    channel, within = divmod(byte, size)
                    if strobe >> byte & 1 and mask >> channel & 1:
                        expected[channel][place * size + within] = data[byte]
        unit.drive(
            "transfer",
            [{"transfer": i, "channels": mask} for i, mask in zip(items, named, strict=True)],
            idle,
        )
        driver = unit.drive("beat", beats, pressure)
        unit.join(Owed(unit, count, "aw", "b", ""))
        await unit.until(lambda: driver.idle, "the last beat")
        await unit.until(lambda: unit.wires["quiet"].get(), "the last answer")
        # Nothing may come after: what is in memory now is all there is.
        for number, (port, data) in enumerate(zip(ports, expected, strict=True)):
            if port.data != data:
                raise Mismatch(f"channel {number} must hold what was written")
        await unit.cycles(20)
        unit.must(quiet=1, error=0)

    return Case(f"random-pause{pause}", run, idle=idle, pressure=pressure)


async def refused_write(unit: Unit) -> None:
    """What is still owed to the channels after an error is sent, but writes nothing."""
    ports = channels(unit, "write", 2, BEATS * 16, 0.2)
    ports[1].broken = range(0, 160)
    one = {"transfer": _plain(0, 1), "channels": 3}
    unit.drive("transfer", [one, one | {"transfer": _plain(500, 400)}])
    driver = unit.drive("beat", [{"data": 1, "strobe": (1 << 32) - 1}] * 401)
    await unit.until(lambda: unit.wires["error"].get(), "an error")
    sent = driver.sent
    unit.must(response=AxiResp.SLVERR.value, refused=0)
    unit.set(cancel=1)
    await unit.until(lambda: unit.wires["quiet"].get(), "quiet", 1000)
    await unit.cycles(50)
    unit.must(quiet=1, error=1)
    written = sum(ports[0].data[::16])
    if not written <= sent < 401:
        raise Mismatch(f"{sent} beats may be written, not {written}")


async def named_write(unit: Unit) -> None:
    """The burst that is refused is named, whatever has been asked since."""
    ports = channels(unit, "write", 2, BEATS * 16, 0.2)
    ports[1].broken = range(305 * 16, 306 * 16)
    places = [*range(40, 50), 300, *range(80, 90)]
    unit.drive("transfer", [{"transfer": _plain(place, 8), "channels": 3} for place in places])
    unit.drive("beat", [{"data": 1, "strobe": (1 << 32) - 1}] * 8 * len(places))
    await unit.until(lambda: unit.wires["error"].get(), "an error", 2000)
    unit.must(response=AxiResp.SLVERR.value, refused=300)
    unit.set(cancel=1)
    await unit.until(lambda: unit.wires["quiet"].get(), "quiet", 1000)
    unit.must(refused=300)


async def write_speed(unit: Unit) -> None:
    """A beat a cycle, across bursts."""
    channels(unit, "write", 2, BEATS * 16, 0)
    unit.drive("transfer", [{"transfer": _plain(16, 1000), "channels": 3}])
    driver = unit.drive("beat", [{"data": i, "strobe": 1} for i in range(1000)], ALWAYS)
    started = unit.count
    await unit.until(lambda: driver.idle, "the last beat")
    if unit.count - started > 1020:
        raise Mismatch(f"1000 beats must take 1020 cycles, not {unit.count - started}")


WRITE = Bench(
    "write_master",
    lambda: WriteMaster(channels=2, beat_bits=ADDRESS_BITS, beat_bytes=16),
    [
        *(write_case(2, 16, *patterns) for patterns in master_patterns()),
        Case("error", refused_write),
        Case("named", named_write),
        Case("speed", write_speed),
    ],
)


@each_case(*BURSTS, READ, WRITE)
def test_masters(case: BoundCase) -> None:
    case.check()


def test_parameters_are_checked() -> None:
    refuses("beat_bits must be at least 1, not 0", lambda: Bursts(beat_bits=0, beat_bytes=8))
    refuses(
        "beat_bytes must be a power of two, at most 4096, not 24",
        lambda: Bursts(beat_bits=8, beat_bytes=24),
    )
    for kind in (ReadMaster, WriteMaster):
        refuses(
            "channels must be at least 1, not 0",
            lambda kind=kind: kind(channels=0, beat_bits=8, beat_bytes=8),
        )
