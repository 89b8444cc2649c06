from random import Random

from tests.gateware.refusals import refuses

from alula.bench import (
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Unit,
    crossed,
    each_case,
)
from alula.gateware.stream.ring import Ring
from alula.gateware.stream.weight_stream import WeightStream

BEATS = 600


class Walker:
    """The whole history is a list of beats; pointers into it count quarters."""

    def __init__(self, unit: Unit, ring: Ring) -> None:
        self.wires = unit.wires
        self.depth = ring.depth
        self.most = 8 if ring.pair else 1
        self.beats: list[int] = []
        self.walker = self.stayed = self.step = 0

    def choose(self, random: Random, goes: bool) -> dict[str, int]:
        """What the reader asks for in the next cycle, where the ring may do it."""
        self.step = min(random.randint(1, self.most), 8 - self.walker % 4)
        keep, back, align = (random.random() < p for p in (0.6, 0.2, 0.2))
        if self.room <= 0 and self.ahead < self.most:
            # Full in front of its walker: nothing moves until the second pointer follows.
            self.step, keep = 0, False
        go = goes and self.ahead >= self.step
        return {"step": self.step, "next": go, "keep": keep, "back": back & keep,
                "align": align & (not keep)}  # fmt: skip

    @property
    def room(self) -> int:
        return self.depth - (len(self.beats) - self.stayed // 4)

    @property
    def ahead(self) -> int:
        return 4 * len(self.beats) - self.walker

    def check(self) -> None:
        """What the ring said in this cycle."""
        expected = {
            "available": self.ahead >= self.step,
            "empty": self.stayed == 4 * len(self.beats),
            "free": self.room,
        }
        for name, value in expected.items():
            if self.wires[name].get() != value:
                raise Mismatch(f"{name} must be {value:d}, not {self.wires[name].get()}")

    def move(self, asked: dict[str, int]) -> None:
        self.walker += self.step
        if asked["align"]:
            self.walker += -self.walker % 4
        if not asked["keep"]:
            self.stayed = self.walker
        elif asked["back"]:
            self.walker = self.stayed


def walk_case(idle: Pattern, pressure: Pattern) -> Case:
    """Beats come when `idle` says so; reads, steps and returns when `pressure` does."""

    async def run(unit: Unit) -> None:
        ring = unit.component
        assert isinstance(ring, Ring)
        walk, go = Walker(unit, ring), pressure.start(unit.random)
        items = [unit.random.getrandbits(ring.width) for _ in range(BEATS)]
        driver = unit.drive("write", items, idle)
        expected: tuple[int, list[int]] | None = None
        returns = 0
        while driver.sent < BEATS:
            asked = walk.choose(unit.random, next(go))
            for name, value in asked.items():
                unit.wires[name].set(int(value))
            await unit.cycles()
            walk.check()
            if expected:
                phase, beats = expected
                found = unit.wires["beats"].get()[: len(beats)]
                if (unit.wires["phase"].get(), found) != (phase, beats):
                    raise Mismatch(f"beats must be {beats} from {phase}, not {found}")
            if asked["next"]:
                begin = walk.walker
                first, end = begin // 4, -(-(begin + walk.step) // 4)
                expected = begin % 4, walk.beats[first:end] if walk.step else []
                walk.move(asked)
                returns += asked["back"]
            if driver.sent > len(walk.beats):
                walk.beats.append(items[len(walk.beats)])
        if returns < 20:
            raise Mismatch(f"a walk must return at least 20 times, not {returns}")

    return Case(f"walk-idle_{idle}-pressure_{pressure}", run)


BENCHES = [
    Bench(
        f"ring_{depth}_{pair:d}",
        lambda depth=depth, pair=pair: Ring(width=16, depth=depth, pair=pair),
        crossed(walk_case),
    )
    for depth, pair in ((4, False), (7, False), (4, True), (10, True))
]


@each_case(*BENCHES)
def test_random_walks_against_a_list(case: BoundCase) -> None:
    case.check()


def test_parameters_out_of_range() -> None:
    refuses("width must be at least 1, not 0", lambda: Ring(width=0, depth=4))
    refuses("depth must be at least 4, not 3", lambda: Ring(width=8, depth=3))
    refuses("depth must be even and at least 4, not 5", lambda: Ring(width=8, depth=5, pair=True))
    refuses("depth must be at least 16, not 8", lambda: WeightStream(rows=2, depth=8))
    refuses(
        r"rows must be a multiple of channels \(2\), not 3",
        lambda: WeightStream(rows=3, channels=2, depth=16),
    )
