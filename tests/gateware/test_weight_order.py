"""The order of a product, of a matrix in the stream, and which of its beats have a place kept."""

from collections import deque
from functools import partial
from random import Random

from tests.gateware.matrix import steps_of, stream_order

from alula.bench import (
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
from alula.gateware.hdl.axi import MAX_BURST
from alula.gateware.stream.credit_counter import LATENCY, CreditCounter
from alula.gateware.stream.steps import Steps
from alula.gateware.stream.weight_beats import WeightBeats
from alula.gateware.stream.weight_format import code, formats
from alula.gateware.stream.weight_stream import ring_depths
from alula.isa import WEIGHT_FORMATS
from alula.isa.formats import DENSE, BeatKind

Matrix = tuple[dict[str, int], list[BeatKind]]


def products(random: Random) -> list[dict[str, int]]:
    sizes = {"blocks": 4, "passes": 3, "groups": 4}
    return [
        {name: random.randint(1, most) for name, most in sizes.items()}
        | {"tag": random.getrandbits(5)}
        for _ in range(25)
    ]


STEPS = Bench(
    "steps", lambda: Steps(tag=5), stream_cases({"random": products}, steps_of, interval=1)
)


def matrices(random: Random, sparse: bool, count: int) -> list[Matrix]:
    """Matrices of every format, and the kinds of their beats."""
    known = [(fmt, nm) for fmt, nm in WEIGHT_FORMATS if sparse or nm == DENSE.name]
    found = []
    for fmt, nm in random.choices(known, k=count):
        blocks, groups = random.randint(1, 9), random.randint(1, 7)
        shape = {"format": code(fmt, nm), "blocks": blocks, "groups": groups}
        found.append((shape, stream_order(fmt, blocks, groups, nm)))
    return found


def shapes(random: Random, sparse: bool) -> list[dict[str, int]]:
    return [shape for shape, _ in matrices(random, sparse, 60)]


def beats_of(sparse: bool, items: list[dict[str, int]]) -> list[dict[str, int]]:
    """Beats of matrices that follow each other."""
    found = []
    for item in items:
        fmt, groups = formats(sparse=sparse)[item["format"]], item["groups"]
        order = partial(stream_order, fmt.name, groups=groups, nm=fmt.pattern.name)
        kinds = order(item["blocks"])
        ends = {len(order(blocks)) for blocks in range(1, item["blocks"] + 1)}
        found += [
            {"kind": kind.value, "ends_block": int(place in ends), "last": int(place == len(kinds))}
            for place, kind in enumerate(kinds, 1)
        ]
    return found


BEATS = [
    Bench(
        f"weight_beats_{sparse:d}",
        lambda sparse=sparse: WeightBeats(sparse=sparse),
        stream_cases(
            {"every_format": partial(shapes, sparse=sparse)},
            partial(beats_of, sparse),
            interval=1,
        ),
    )
    for sparse in (False, True)
]
BEHIND = LATENCY - 1
DEPTH = 20


def credit_case(sparse: bool, idle: Pattern, pressure: Pattern) -> Case:
    """Beats are asked for as `beats` allows, come in order, and are taken out at some pace.

    No ring ever overflows, and all beats come.
    """

    async def run(unit: Unit) -> None:
        random = unit.random
        asks, comes, goes = (unit.goes(pattern) for pattern in (idle, idle, pressure))
        some = matrices(random, sparse, 20)
        to_ask = deque(kind for _, kinds in some for kind in kinds)
        to_come: deque[BeatKind] = deque()
        depths = ring_depths(DEPTH, sparse=sparse)
        held = dict.fromkeys(depths, 0)
        unit.drive("matrix", [shape for shape, _ in some], idle)
        quiet = 0
        # Changes of `beats` that it does not tell of yet, the latest first.
        asks_late, growth_late = deque([0] * BEHIND, BEHIND), deque([0] * BEHIND, BEHIND)
        beats = 0
        while to_ask or to_come:
            asked = random.randint(0, min(beats - sum(asks_late), 16)) if next(asks) else 0
            enters = to_come[0] if to_come and next(comes) else None
            for kind, depth in depths.items():
                unit.wires[f"free__{kind.value}"].set(depth - held[kind])
            unit.set(asked=asked, enters=int(enters is not None))
            unit.set(kind=(enters or BeatKind.VALUE).value)
            await unit.cycles()
            unit.must(beats=min(beats, MAX_BURST))
            growing = unit.wires["growing"].get()
            beats += growth_late[-1] - asks_late[-1]
            growth_late.appendleft(growing)
            asks_late.appendleft(asked)
            for _ in range(asked):
                to_come.append(to_ask.popleft())
            if enters is not None:
                held[to_come.popleft()] += 1
            over = [kind for kind, depth in depths.items() if held[kind] > depth]
            if over:
                raise Mismatch(f"a ring must not overflow: {over}")
            for kind in held:
                held[kind] -= bool(held[kind] and next(goes))
            quiet = 0 if growing or asked or enters is not None or any(held.values()) else quiet + 1
            if quiet > 200:
                raise Mismatch(f"{len(to_ask)} beats must be asked for: none moves any more")

    return Case("matrices", run, idle=idle, pressure=pressure)


ROOMS = [
    Bench(
        f"credit_counter_{sparse:d}",
        lambda sparse=sparse: CreditCounter(depth=DEPTH, sparse=sparse),
        crossed(partial(credit_case, sparse)),
    )
    for sparse in (False, True)
]


@each_case(STEPS, *BEATS, *ROOMS)
def test_weight_order(case: BoundCase) -> None:
    case.check()
