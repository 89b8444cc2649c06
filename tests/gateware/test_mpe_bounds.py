from random import Random

from alula.bench import Bench, BoundCase, Case, Unit, each_case
from alula.bench.scoreboard import Mismatch
from alula.gateware.matrix.bounds import LATENCY, Bounds
from alula.gateware.matrix.reason import NUMBER_BITS, ProductReason
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.stream.weight_format import formats
from alula.isa.formats import BeatKind

COUNT = 400
MOST = (1 << NUMBER_BITS) - 1


def expected(top: Bounds, given: dict[str, int]) -> tuple[str, int]:
    """What is wrong with a product, by plain integers, and its number."""
    item = formats(sparse=top.sizes.sparse)[given["format"]]
    groups, rows = given["row_groups"], given["last_row"] + 1
    passes = -(-rows // top.sizes.tokens)
    if passes > 1:
        index = item.count(BeatKind.INDEX, 1, groups)
        if item.beats(1, groups) > top.sizes.stream_beats or index > top.sizes.stream_beats // 2:
            return "REPLAY", groups
    if given["blocks"] != -(-given["outputs"] // (top.sizes.block_rows * item.pattern.segments)):
        return "OUTPUTS", 0
    last = given["src"] + passes * groups - 1
    if last >= top.sizes.groups:
        return "SRC", min(last, MOST)
    words = -(-given["outputs"] // top.sizes.lanes)
    last = given["dst"] + (rows - 1) * given["stride"] + words - 1
    if last >= top.sizes.words:
        return "DST", min(last, MOST)
    return "NONE", 0


def about(random: Random, value: int) -> int:
    """A number about a limit, or anywhere below it, or as a wrong register would have it."""
    most = max(value, 0)
    found = random.choice(
        (
            most,
            most + 1,
            most - 1,
            random.randint(0, most),
            random.getrandbits(random.randint(1, 32)),
        )
    )
    return min(max(found, 0), (1 << 32) - 1)


def draw(random: Random, top: Bounds) -> dict[str, int]:
    """A product that ends near an end or far from it; 19 groups of V8 just fit the stream."""
    key, item = random.choice(list(formats(sparse=top.sizes.sparse).items()))
    share = top.sizes.block_rows * item.pattern.segments
    blocks = random.randint(1, 4)
    outputs = blocks * share - random.choice((0, 0, share - 1, random.randrange(share)))
    rows = random.choice(
        (1, 1, top.sizes.tokens, random.randint(1, 4 * top.sizes.tokens), random.randint(1, 99))
    )
    passes = -(-rows // top.sizes.tokens)
    row_groups = random.choice((19, 33, random.randint(1, 40)))
    words = -(-outputs // top.sizes.lanes)
    stride = about(random, (top.sizes.words - words) // max(1, rows - 1))
    return {
        "format": key,
        "blocks": random.choice((blocks, blocks, blocks, blocks + 1)),
        "row_groups": row_groups,
        "src": about(random, top.sizes.groups - passes * row_groups),
        "last_row": random.choice((rows - 1, rows - 1, rows - 1, about(random, rows) or 1)),
        "dst": about(random, top.sizes.words - words - (rows - 1) * stride),
        "stride": stride,
        "outputs": outputs,
    }


def judged() -> Case:
    async def body(unit: Unit) -> None:
        top, wires = unit.component, unit.wires
        assert isinstance(top, Bounds)
        reasons = set()
        for _ in range(COUNT):
            wires["waits"].set(1)
            # What is there before a product does not matter.
            for starts in (0, 1):
                given = draw(unit.random, top)
                for name, value in given.items():
                    wires[name].set(value)
                wires["start"].set(starts)
                await unit.cycles()
            unit.set(start=0, waits=0)
            cycles = 0
            while not wires["done"].get():
                await unit.cycles()
                cycles += 1
            if cycles != LATENCY + given["last_row"].bit_length():
                raise Mismatch(f"the result must come with the last bit, not after {cycles}")
            reason, number = expected(top, given)
            found = ProductReason(wires["refusal"].get()).name, wires["number"].get()
            if found != (reason, number):
                raise Mismatch(f"{given} must be {reason} {number}, not {found}")
            reasons.add(reason)
        if reasons != {"NONE", "REPLAY", "OUTPUTS", "SRC", "DST"}:
            raise Mismatch(f"all kinds must be drawn, not {sorted(reasons)}")

    return Case("judged", body)


BENCHES = [
    Bench(
        f"bounds_{block_rows}_{tokens}_{lanes}" + "_sparse" * sparse,
        lambda b=block_rows, t=tokens, n=lanes, s=sparse: Bounds(
            MatrixSizes(
                rows=b,
                block_rows=b,
                tokens=t,
                lanes=n,
                groups=300,
                words=1024,
                stream_beats=76,
                sparse=s,
            )
        ),
        [judged()],
    )
    for block_rows, tokens, lanes, sparse in ((2, 2, 4, False), (8, 4, 16, True), (15, 32, 8, True))
]


@each_case(*BENCHES)
def test_products_stay_within_the_buffers(case: BoundCase) -> None:
    case.check()
