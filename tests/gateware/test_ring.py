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


SURE = 32
"""Quarters that are surely enough for two reads."""


class Walker:
    """The whole history is a list of beats; pointers into it count quarters."""

    def __init__(self, unit: Unit, ring: Ring) -> None:
        self.wires = unit.wires
        self.depth = ring.depth
        self.most = 8 if ring.pair else 1
        self.beats: list[int] = []
        self.walker = self.stayed = self.fresh = 0
        self.free, self.available = ring.depth, True
        self.empty = True
        self.now = dict.fromkeys(("step", "keep", "back", "align"), 0)

    def choose(self, random: Random) -> dict[str, int]:
        """A read after the present one."""
        keep, back, align = (random.random() < p for p in (0.6, 0.2, 0.2))
        step = min(random.randint(1, self.most), 8 - self.after()[0] % 4)
        back, align = back and keep, align and not keep
        return {"step": step, "keep": int(keep), "back": int(back), "align": int(align)}

    @property
    def stuck(self) -> bool:
        """Full in front of its walker: nothing moves until the second pointer follows."""
        return self.room <= 0 and self.ahead < self.now["step"]

    @property
    def room(self) -> int:
        return self.depth - (len(self.beats) - self.stayed // 4)

    @property
    def ahead(self) -> int:
        return 4 * len(self.beats) - self.walker

    def after(self) -> tuple[int, int]:
        """Where the pointers are after the present read."""
        walker = self.walker + self.now["step"]
        if self.now["align"]:
            walker += -walker % 4
        if not self.now["keep"]:
            return walker, walker
        return self.stayed if self.now["back"] else walker, self.stayed

    def check(self, *names: str) -> None:
        """What the ring says in this cycle."""
        for name in names:
            value, found = getattr(self, name), self.wires[name].get()
            if found != value:
                raise Mismatch(f"{name} must be {value:d}, not {found}")

    def pass_cycle(self, moves: bool, following: dict[str, int], written: list[int]) -> None:
        """A cycle. Reads know of a beat a cycle later than writes do."""
        held = 4 * len(self.beats) - self.stayed
        counted = 4 * (len(self.beats) - self.fresh)
        self.free = (4 * self.depth - held) // 4 - len(written)
        self.empty = not held and not written
        sure = counted - self.walker >= SURE or not self.now["align"] or not moves
        if moves:
            self.walker, self.stayed = self.after()
            self.now = following
        self.available = sure and counted - self.walker >= self.now["step"]
        self.beats += written
        self.fresh = len(written)


def walk_case(idle: Pattern, pressure: Pattern) -> Case:
    """Beats come when `idle` says so; reads, steps and returns when `pressure` does."""

    async def run(unit: Unit) -> None:
        ring = unit.component
        assert isinstance(ring, Ring)
        walk, go = Walker(unit, ring), unit.goes(pressure)
        items = [unit.random.getrandbits(ring.width) for _ in range(BEATS)]
        driver = unit.drive("write", items, idle)
        expected: tuple[int, list[int]] | None = None
        returns = 0
        while driver.sent < BEATS:
            if walk.stuck:
                walk.now = dict.fromkeys(walk.now, 0)
            moves = next(go) and walk.available
            following = walk.choose(unit.random)
            unit.set(**walk.now, following=following["step"], moves=int(moves), next=int(moves))
            await unit.cycles()
            walk.check("free", "empty")
            if expected:
                phase, beats = expected
                found = unit.wires["beats"].get()[: len(beats)]
                if (unit.wires["phase"].get(), found) != (phase, beats):
                    raise Mismatch(f"beats must be {beats} from {phase}, not {found}")
            if moves:
                begin, returned = walk.walker, walk.now["back"]
                first, end = begin // 4, -(-(begin + walk.now["step"]) // 4)
                expected = begin % 4, walk.beats[first:end] if walk.now["step"] else []
                returns += returned
            walk.pass_cycle(moves, following, items[len(walk.beats) : driver.sent])
            walk.check("available")  # known a cycle ahead
        if returns < 20:
            raise Mismatch(f"a walk must return at least 20 times, not {returns}")

    return Case("walk", run, idle=idle, pressure=pressure)


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
