"""What goes between cores: nothing lost, nothing twice, everywhere in the same order."""

from functools import partial
from random import Random

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
    stream_cases,
)
from alula.gateware.control.queue import IN_FLIGHT
from alula.gateware.top.cores import Fork, Gather, Join, Share

ITEMS = 300
COUNTS = (2, 3)


def words(random: Random) -> list[int]:
    return [random.getrandbits(16) for _ in range(ITEMS)]


class Ahead:
    """No taker of a `Fork` has more than the item that is offered, which goes with the last."""

    moved = False

    def __init__(self, unit: Unit) -> None:
        self._items = unit.inputs["items"]
        self._takers = list(unit.outputs.values())
        self._wire = unit.wires["ahead"]
        self._had = [0] * len(self._takers)

    def cycle(self) -> None:
        ahead = sum(had << number for number, had in enumerate(self._had))
        if self._wire.get() != ahead:
            raise Mismatch(f"ahead must be {ahead:b}, not {self._wire.get():b}")
        for index, taker in enumerate(self._takers):
            self._had[index] += taker.valid_now() and taker.ready_now()
        if self._items.valid_now() and self._items.ready_now():
            self._had = [count - 1 for count in self._had]
            if any(self._had):
                raise Mismatch(f"an item must be taken when all have it, not with {self._had}")
        if max(self._had) > 1:
            raise Mismatch(f"a taker must have an item once, not {self._had}")


FORKS = [
    Bench(
        f"fork_{count}",
        lambda count=count: Fork(shape=16, count=count),
        stream_cases(
            {"random": words},
            lambda items, count=count: {f"takers__{i}": items for i in range(count)},
            around=lambda unit: unit.join(Ahead(unit)),
            interval=1,
        ),
    )
    for count in COUNTS
]


def slices(random: Random) -> dict[str, list[int]]:
    return {f"slices__{number}": words(random) for number in range(2)}


def whole(low: list[int], high: list[int]) -> dict[str, list[int]]:
    beats = [b << 16 | a for a, b in zip(low, high, strict=True)]
    return {f"wholes__{number}": beats for number in range(2)}


class Together:
    """All slices and wholes of a `Gather` pass in the same cycle."""

    moved = False

    def __init__(self, unit: Unit) -> None:
        self._streams = [*unit.inputs.values(), *unit.outputs.values()]

    def cycle(self) -> None:
        passing = [stream.valid_now() and stream.ready_now() for stream in self._streams]
        if any(passing) and not all(passing):
            raise Mismatch(f"slices and wholes must pass together, not {passing}")


GATHER = Bench(
    "gather",
    lambda: Gather(bits=16, count=2),
    stream_cases(
        {"random": slices}, whole, around=lambda unit: unit.join(Together(unit)), interval=1
    ),
)


def join_case(idle: Pattern) -> Case:
    """Each core's ends come in its own time; no core is further ahead than instructions fly."""

    async def run(unit: Unit) -> None:
        goes = [unit.goes(idle) for _ in range(3)]
        done, each = 0, [0] * 3
        for _ in range(2000):
            ends = [next(go) and n - done < IN_FLIGHT for go, n in zip(goes, each, strict=True)]
            ahead = sum((n > done) << number for number, n in enumerate(each))
            each = [n + end for n, end in zip(each, ends, strict=True)]
            unit.wires["each"].set(sum(end << number for number, end in enumerate(ends)))
            await unit.cycles()
            expected = min(each) > done
            if unit.wires["ahead"].get() != ahead:
                raise Mismatch(f"ahead must be {ahead:03b}, not {unit.wires['ahead'].get():03b}")
            if unit.wires["done"].get() != expected:
                raise Mismatch(f"done must be {expected:d} with {each} ends and {done} done")
            done += expected
        if done < 500:
            raise Mismatch(f"at least 500 must be done, not {done}")

    return Case("shares", run, idle=idle)


JOIN = Bench("join", lambda: Join(count=3), [join_case(idle) for idle in PATTERNS])


def share_case(count: int, idle: Pattern, pressure: Pattern) -> Case:
    """An item's upper bits say whose it is. Where all have something, cores take turns."""

    async def run(unit: Unit) -> None:
        sent = [[core << 12 | n for n in range(ITEMS)] for core in range(count)]
        seen: list[list[int]] = [[] for _ in range(count)]
        for core in range(count):
            unit.drive(f"items__{core}", sent[core], idle)
            unit.watch(f"takers__{core}", seen[core].append, pressure)
        started = unit.count
        await unit.until(lambda: min(map(len, seen)) == count * ITEMS, "the last item")
        took = unit.count - started
        await unit.cycles(20)
        if any(items != seen[0] for items in seen):
            raise Mismatch("all takers must see the same order")
        for core in range(count):
            if [item for item in seen[0] if item >> 12 == core] != sent[core]:
                raise Mismatch(f"the items of core {core} must come once each, in order")
        if idle is ALWAYS:
            for index, item in enumerate(seen[0]):
                if item >> 12 != index % count:
                    raise Mismatch(f"item {index} must be of core {index % count}")
            if pressure is ALWAYS and took > count * ITEMS + 4:
                raise Mismatch(f"{count * ITEMS} items must take as many cycles, not {took}")

    return Case("shares", run, idle=idle, pressure=pressure)


SHARES = [
    Bench(
        f"share_{count}",
        lambda count=count: Share(shape=16, count=count),
        crossed(partial(share_case, count)),
    )
    for count in COUNTS
]


@each_case(*FORKS, GATHER, JOIN, *SHARES)
def test_cores(case: BoundCase) -> None:
    case.check()
