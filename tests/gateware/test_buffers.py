from functools import partial
from random import Random

from tests.gateware.refusals import refuses

from alula.bench import ALWAYS, PATTERNS, Bench, Case, Mismatch, Pattern, Unit, crossed, each_case
from alula.gateware.buffers.activation_buffer import ActivationBuffer
from alula.gateware.buffers.arbiter import Arbiter
from alula.gateware.buffers.staging_buffer import StagingBuffer, rows
from alula.gateware.buffers.vector_buffer import VectorBuffer

WORDS, LANES = 64, 4
READERS = ("a", "b", "store")
WRITERS = ("misc", "mpe", "load")


def word(random: Random) -> list[int]:
    return [random.getrandbits(32) for _ in range(LANES)]


async def settled(unit: Unit, drivers) -> None:
    await unit.until(lambda: all(driver.idle for driver in drivers), "the last write")


async def fill(unit: Unit, memory: dict[int, list[int]], addresses, pattern) -> None:
    """Write words from all three writers at once, the lanes of some in two halves."""
    random = unit.random
    shares = {name: [] for name in WRITERS}
    for address in addresses:
        name = random.choice(WRITERS)
        memory[address] = word(random)
        mask = random.choice([0b1111, 0b0101])
        for part in {mask, 0b1111 ^ mask} - {0}:
            noise = [
                value if part >> lane & 1 else random.getrandbits(32)
                for lane, value in enumerate(memory[address])
            ]
            shares[name].append({"address": address, "data": noise, "mask": part})
    drivers = [unit.drive(f"write_{name}", items, pattern) for name, items in shares.items()]
    await settled(unit, drivers)


def vector_case(idle, pressure) -> Case:
    async def run(unit: Unit) -> None:
        random = unit.random
        memory: dict[int, list[int]] = {}
        await fill(unit, memory, range(WORDS), idle)
        await unit.reset()
        # The upper half is read while the lower is written anew.
        boards = []
        for name in READERS:
            addresses = [random.randrange(WORDS // 2, WORDS) for _ in range(150)]
            unit.drive(f"request_{name}", addresses, idle)
            expected = [memory[address] for address in addresses]
            takes = pressure if name == "store" else ALWAYS
            boards.append(unit.expect(f"data_{name}", expected, takes))
        await fill(unit, memory, range(WORDS // 2), idle)
        await unit.finish(*boards)
        await unit.reset()
        unit.drive("request_a", range(WORDS))
        await unit.finish(unit.expect("data_a", [memory[i] for i in range(WORDS)]))

    return Case("random", run, idle=idle, pressure=pressure)


async def vector_speed(unit: Unit) -> None:
    """Three readers and three writers walk from the same bank, a word a cycle each."""
    memory: dict[int, list[int]] = {}
    await fill(unit, memory, range(WORDS), ALWAYS)
    await unit.reset()
    for starts in ((0, 0, 0), (0, 1, 2), (3, 3, 1)):
        boards = []
        for name, first in zip(READERS, starts, strict=True):
            addresses = [(first + i) % WORDS for i in range(200)]
            unit.drive(f"request_{name}", addresses)
            boards.append(unit.expect(f"data_{name}", [memory[i] for i in addresses]))
        for name in WRITERS:
            items = [
                {"address": i % WORDS, "data": memory[i % WORDS], "mask": 15} for i in range(200)
            ]
            unit.drive(f"write_{name}", items)
        started = unit.count
        await unit.finish(*boards, quiet=0)
        if unit.count - started > 212:
            raise Mismatch(f"200 words must take at most 212 cycles, not {unit.count - started}")
        await unit.cycles(20)
        await unit.reset()


async def vector_order(unit: Unit) -> None:
    """Three words are written in one cycle to one bank, and all read from the next one on."""
    random = unit.random
    writers = [unit.drive(f"write_{name}") for name in WRITERS]
    readers = [unit.drive(f"request_{name}") for name in READERS]
    found: dict[str, list] = {name: [] for name in READERS}
    for name in READERS:
        unit.watch(f"data_{name}", found[name].append)
    for _ in range(60):
        bank = random.randrange(4)
        addresses = random.sample(range(bank, WORDS, 4), 3)
        values = [word(random) for _ in addresses]
        for writer, address, value in zip(writers, addresses, values, strict=True):
            writer.send({"address": address, "data": value, "mask": 15})
        await unit.cycles()
        order = random.sample(range(3), 3)
        for reader, index in zip(readers, order, strict=True):
            reader.send(addresses[index])
        await unit.until(lambda: all(map(len, found.values())), "three words")
        for name, index in zip(READERS, order, strict=True):
            if (got := found[name].pop()) != values[index]:
                raise Mismatch(f"{name} must read {values[index]}, not {got}")


VECTOR = Bench(
    "vector_buffer",
    lambda: VectorBuffer(words=WORDS, lanes=LANES),
    [
        *crossed(vector_case),
        Case("order", vector_order),
        Case("speed", vector_speed),
    ],
)


async def written_and_read(
    unit: Unit, writes: list, asked: list, expected: list, idle: Pattern, pressure: Pattern
) -> None:
    """Write everything, then read: a word a cycle where nothing waits."""
    await settled(unit, [unit.drive("write", writes, idle)])
    unit.drive("request", asked, idle)
    started = unit.count
    await unit.finish(unit.expect("data", expected, pressure), quiet=0)
    took, most = unit.count - started, len(asked) + 10
    if idle is pressure is ALWAYS and took > most:
        raise Mismatch(f"{len(asked)} reads must take at most {most} cycles, not {took}")


GROUPS, TOKENS = 12, 2


def activation_case(idle, pressure) -> Case:
    async def run(unit: Unit) -> None:
        random = unit.random
        values: dict = {}
        sides: dict = {}
        writes = []
        for group in range(GROUPS):
            for slot in range(TOKENS):
                for half in range(2):
                    side = {
                        "scale": random.getrandbits(8),
                        "sum": random.randrange(-4064, 4065),
                        "exponent": random.randrange(-400, 400),
                    }
                    block = [random.randrange(-128, 128) for _ in range(16)]
                    values[group, half, slot] = block
                    if half:
                        sides[group, slot] = side
                    writes.append(
                        {"group": group, "slot": slot, "half": half, "data": block, "side": side}
                    )
        random.shuffle(writes)
        reads = [(random.randrange(GROUPS), random.randrange(2)) for _ in range(100)]
        expected = [
            {
                "data": [values[group, half, slot] for slot in range(TOKENS)],
                "side": [sides[group, slot] for slot in range(TOKENS)],
            }
            for group, half in reads
        ]
        asked = [{"group": group, "half": half} for group, half in reads]
        await written_and_read(unit, writes, asked, expected, idle, pressure)

    return Case("random", run, idle=idle, pressure=pressure)


ACTIVATION = Bench(
    "activation_buffer",
    lambda: ActivationBuffer(groups=GROUPS, tokens=TOKENS),
    crossed(activation_case),
)

STAGING = 1024


def staging_case(groups, idle, pressure) -> Case:
    async def run(unit: Unit) -> None:
        random = unit.random
        count = STAGING // (32 * groups + 2)
        places = [(row, part) for row in range(count) for part in range(2 * groups)]
        values = {place: [random.randrange(-128, 128) for _ in range(16)] for place in places}
        scales = [random.getrandbits(16) for _ in range(count)]

        def place(row: int, part: int) -> dict[str, int]:
            return {"row": row, "half": part, "groups": groups}

        random.shuffle(places)
        writes = [
            {
                "place": place(row, part),
                "data": values[row, part],
                "scale": random.getrandbits(16) if part else scales[row],
            }
            for row, part in places
        ]
        reads = random.choices(places, k=100)
        expected = [{"data": values[row, part], "scale": scales[row]} for row, part in reads]
        asked = [place(*read) for read in reads]
        await written_and_read(unit, writes, asked, expected, idle, pressure)

    return Case(f"groups{groups}", run, idle=idle, pressure=pressure)


STAGED = Bench(
    "staging_buffer",
    lambda: StagingBuffer(staging_bytes=STAGING),
    [case for groups in (1, 2, 15) for case in crossed(partial(staging_case, groups))],
)


CLIENTS, BANKS = 3, 4


def arbiter_case(idle: Pattern) -> Case:
    """In each bank the client that has lost most often, then the one of the lowest number.

    A closed bank goes to nobody. Whom a bank works for is said a cycle later.
    """

    async def run(unit: Unit) -> None:
        goes = [unit.goes(idle) for _ in range(CLIENTS)]
        lost, waits, banks = [0] * CLIENTS, [False] * CLIENTS, [0] * CLIENTS
        before: dict[int, int] = {}
        for _ in range(1000):
            # A client that lost wants the same bank again.
            want = [waits[i] or next(goes[i]) for i in range(CLIENTS)]
            banks = [
                bank if waits[i] else unit.random.randrange(BANKS) for i, bank in enumerate(banks)
            ]
            closed = unit.random.getrandbits(BANKS) & unit.random.getrandbits(BANKS)
            unit.set(want=sum(wants << i for i, wants in enumerate(want)), closed=closed)
            for i, bank in enumerate(banks):
                unit.wires[f"bank__{i}"].set(bank)
            await unit.cycles()
            winners: dict[int, int] = {}
            for i in sorted(range(CLIENTS), key=lambda i: (-lost[i], i)):
                if want[i] and not closed >> banks[i] & 1:
                    winners.setdefault(banks[i], i)
            unit.must(
                taken=sum(1 << bank for bank in before),
                granted=sum(1 << i for i in winners.values()),
            )
            for bank, i in before.items():
                unit.must(**{f"client__{bank}": i})
            before = winners
            for i in range(CLIENTS):
                waits[i] = want[i] and i not in winners.values()
                lost[i] = lost[i] + (not closed >> banks[i] & 1) if waits[i] else 0
            if max(lost) >= CLIENTS:
                raise Mismatch(f"nobody may lose {CLIENTS} times: {lost}")

    return Case("shares", run, idle=idle)


ARBITER = Bench(
    "arbiter",
    lambda: Arbiter(clients=CLIENTS, banks=BANKS),
    [arbiter_case(idle) for idle in PATTERNS],
)


@each_case(VECTOR, ACTIVATION, STAGED, ARBITER)
def test_buffers(case):
    case.check()


def test_parameters_are_checked():
    refuses(
        "words must be a multiple of 4, at least 8, not 6", lambda: VectorBuffer(words=6, lanes=4)
    )
    refuses("lanes must be at least 1, not 0", lambda: VectorBuffer(words=8, lanes=0))
    refuses("groups must be at least 2, not 1", lambda: ActivationBuffer(groups=1, tokens=2))
    refuses("tokens must be at least 1, not 0", lambda: ActivationBuffer(groups=4, tokens=0))
    refuses("staging_bytes must be at least 68, not 67", lambda: StagingBuffer(staging_bytes=67))
    refuses("clients must be at least 1, not 0", lambda: Arbiter(clients=0, banks=4))
    refuses("banks must be a power of two, at least 2, not 3", lambda: Arbiter(clients=2, banks=3))
    assert rows(STAGING) == 30
