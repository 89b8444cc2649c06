"""Beats of memory to words of the vector buffer, and back."""

from functools import partial
from random import Random

from tests.gateware import exact
from tests.gateware.refusals import refuses

from alula.bench import (
    ALWAYS,
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Scoreboard,
    Unit,
    crossed,
    each_case,
    stream_cases,
)
from alula.gateware.memory.pack import Pack
from alula.gateware.memory.unpack import Unpack

WORDS = 256
SIZES = ((64, 16), (16, 8), (16, 4), (24, 16))
"""Bytes of a beat, lanes of a word."""


def rows(beat_bytes: int, lanes: int):
    def table(random: Random) -> dict[str, list]:
        found, beats = [], []
        for _ in range(25):
            count = random.choice((1, lanes, random.randint(1, 5 * lanes)))
            bf16 = random.getrandbits(1)
            dst = random.randrange(WORDS - count // lanes - 1)
            found.append({"count": count, "dst": dst, "bf16": bf16, "ends": random.getrandbits(1)})
            whole = -(-count * (4 - 2 * bf16) // beat_bytes)
            beats += [int.from_bytes(random.randbytes(beat_bytes)) for _ in range(whole)]
            if random.random() < 0.3:  # exponents at both ends
                beats[-1] &= ~(0x7F80 << 16 * random.randrange(beat_bytes // 2))
                beats[-1] |= 0x7F80 << 16 * random.randrange(beat_bytes // 2)
        return {"row": found, "beat": beats}

    return table


def words(beat_bytes: int, lanes: int):
    """Each row begins at a beat, and at a word; zeros fill its last word."""

    def model(rows: list[dict], beats: list[int]) -> list[dict]:
        found, used = [], 0
        for row in rows:
            size = 4 - 2 * row["bf16"]
            whole = -(-row["count"] * size // beat_bytes)
            data = b"".join(
                beat.to_bytes(beat_bytes, "little") for beat in beats[used : used + whole]
            )
            used += whole
            values = [
                exact.clean(int.from_bytes(data[i : i + size], "little") << 32 - 8 * size)
                for i in range(0, row["count"] * size, size)
            ]
            values += [0] * (-len(values) % lanes)
            found += [
                {
                    "address": row["dst"] + first // lanes,
                    "data": values[first : first + lanes],
                    "mask": (1 << lanes) - 1,
                }
                for first in range(0, len(values), lanes)
            ]
        return found

    return model


class Done:
    """`done` comes with the last word of each row that ends its instruction, and then only."""

    moved = False

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._row, self._word = unit.inputs["row"], unit.outputs["word"]
        self.rows: list[tuple[int, int]] = []
        self._lanes = unit.component.lanes  # pyright: ignore[reportAttributeAccessIssue]

    def cycle(self) -> None:
        taken = self._word.valid_now() and self._word.ready_now()
        left, ends = self.rows[0] if self.rows else (0, 0)
        self.unit.must(done=int(taken and left == 1 and ends), busy=int(bool(self.rows)))
        if taken:
            self.rows[0] = left - 1, ends
            if left == 1:
                self.rows.pop(0)
        if self._row.valid_now() and self._row.ready_now():
            row = self._row.value(self._row.bits_now())
            self.rows.append((-(-row["count"] // self._lanes), row["ends"]))


UNPACK = [
    Bench(
        f"unpack_{beat_bytes}_{lanes}",
        lambda beat_bytes=beat_bytes, lanes=lanes: Unpack(
            beat_bytes=beat_bytes, words=WORDS, lanes=lanes
        ),
        stream_cases(
            {"rows": rows(beat_bytes, lanes)},
            words(beat_bytes, lanes),
            around=lambda unit: unit.join(Done(unit)),
        ),
    )
    for beat_bytes, lanes in SIZES
]


def pack_case(beat_bytes: int, lanes: int, idle: Pattern, pressure: Pattern) -> Case:
    """Vectors one after the other; what a word has beyond its vector is dropped."""

    async def run(unit: Unit) -> None:
        random = unit.random
        counts = [random.choice((1, lanes, random.randint(1, 6 * lanes))) for _ in range(30)]
        given, expected = [], []
        for count in counts:
            values = [random.getrandbits(32) for _ in range(-(-count // lanes) * lanes)]
            given += [values[i : i + lanes] for i in range(0, len(values), lanes)]
            data = b"".join(value.to_bytes(4, "little") for value in values[:count])
            expected += [data[i : i + beat_bytes] for i in range(0, len(data), beat_bytes)]
        board = Scoreboard("beat", expected)

        def take(beat: dict[str, int]) -> None:
            length = beat["strobe"].bit_length()
            if beat["strobe"] & beat["strobe"] + 1:
                raise Mismatch(f"a beat must be written from its start on, not {beat['strobe']:#x}")
            board.take(beat["data"].to_bytes(beat_bytes, "little")[:length])

        driver = unit.drive("word", given, idle)
        unit.watch("beat", take, pressure)
        for count in counts:
            unit.set(start=1, count=count)
            await unit.cycles()
            unit.set(start=0, count=0)
            began = unit.count
            await unit.cycles()
            await unit.until(lambda: not unit.wires["busy"].get(), "the last beat")
            moves = max(-(-count // lanes), -(-4 * count // beat_bytes))
            even = not max(beat_bytes, 4 * lanes) % min(beat_bytes, 4 * lanes)
            if idle is pressure is ALWAYS and even and unit.count - began > moves + 5:
                raise Mismatch(f"{count} elements must take {moves + 5} cycles")
        if not (board.complete and driver.idle):
            raise Mismatch(f"{len(expected)} beats must come, not {board.count}")

    return Case("vectors", run, idle=idle, pressure=pressure)


PACK = [
    Bench(
        f"pack_{beat_bytes}_{lanes}",
        lambda beat_bytes=beat_bytes, lanes=lanes: Pack(
            channels=2, beat_bytes=beat_bytes // 2, lanes=lanes, most=200
        ),
        crossed(partial(pack_case, beat_bytes, lanes)),
    )
    for beat_bytes, lanes in SIZES
]


@each_case(*UNPACK, *PACK)
def test_widths(case: BoundCase) -> None:
    case.check()


def test_parameters_are_checked() -> None:
    refuses(
        "beat_bytes must be a multiple of 4, not 6",
        lambda: Unpack(beat_bytes=6, words=8, lanes=4),
    )
    refuses(
        "a beat must be a multiple of 4 bytes, not 6",
        lambda: Pack(channels=1, beat_bytes=6, lanes=4, most=8),
    )
