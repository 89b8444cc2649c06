"""The weight stream: beats in order to blocks, row blocks as often as asked."""

from itertools import product
from random import Random
from typing import Any

from tests.gateware.matrix import Product, steps_of

from alula.bench import (
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Pattern,
    Scoreboard,
    Unit,
    crossed,
    each_case,
)
from alula.gateware.stream.weight_format import code, formats
from alula.gateware.stream.weight_stream import WeightStream
from alula.isa import WEIGHT_FORMATS
from alula.isa.formats import DENSE

DEPTH = 32


def products(random: Random, unit: WeightStream) -> list[Product]:
    known = [key for key in WEIGHT_FORMATS if unit.sparse or key[1] == DENSE.name]
    found = []
    for fmt, nm in random.choices(known, k=12):
        # As many row blocks as `outputs` need.
        segments = WEIGHT_FORMATS[fmt, nm].pattern.segments
        outputs = unit.rows * segments * random.randint(1, 5)
        groups = random.randint(1, 3)
        found.append(Product("MM", fmt, 1, outputs, groups, nm=nm).fill(random, unit.rows))
    return found


def blocks_of(one: Product, passes: int, rows: int) -> list[dict[str, Any]]:
    """What the MPE gets in each step, where it counts; rows in the order of chains."""
    item, segments = one.item, range(one.item.pattern.segments)
    shape = {"blocks": one.blocks(rows), "passes": passes, "groups": one.groups}
    order = product(*map(range, (*shape.values(), 2)))
    found = []
    for step, (block, _, group, half) in zip(
        steps_of([shape | {"tag": code(one.fmt, one.nm)}]), order, strict=True
    ):
        run = 2 * group + half
        chains = [
            [(block * len(segments) + segment) * rows + row for segment in segments]
            for row in range(rows)
        ]
        places = [[(n, k) for n in chain for k in one.kept[n][run]] for chain in chains]
        by_segment = list(zip(*chains, strict=True))
        values = [[one.q[n][16 * run + k] for n, k in row] for row in places]
        now: dict[str, Any] = {"step": step, "values": values}
        if len(segments) > 1:
            now["index"] = [[k % item.pattern.of for _, k in row] for row in places]
        if half and item.metas:
            metas = [[one.s[n][group] for n in segment] for segment in by_segment]
            if len(segments) == 1:
                metas.append([one.m[n][group] for n in by_segment[0]])
            now["metas"] = [[value & 255 for value in row] for row in metas]
        if step["last"] and item.scales:
            now["factors"] = [[one.c[n] for n in segment] for segment in by_segment]
        found.append(now)
    return found


def seen(block: dict[str, Any], unit: WeightStream) -> dict[str, Any]:
    """A block with its values and indices taken out of the beats, by the contract's packing."""
    item = formats(sparse=True)[block["step"]["tag"]]
    rows, channels = unit.rows, unit.channels

    def strings(beats: list[int], phase: int, bits: int) -> list[list[int]]:
        segment, found = 8 * rows // channels, []
        texts = [beat.to_bytes(8 * rows, "little") for beat in beats]
        for channel in range(channels):
            text = b"".join(text[channel * segment :][:segment] for text in texts)
            string = int.from_bytes(text[phase * segment // 4 :], "little")
            for row in range(rows // channels):
                places = range(16 * row, 16 * row + 16)
                found.append([string >> bits * i & (1 << bits) - 1 for i in places])
        return found

    sign = 0 if item.excess else 1 << item.bits - 1
    values = strings(block["beats"], block["phase"], item.bits)
    found = {
        "step": block["step"],
        "values": [[(value ^ sign) - sign for value in row] for row in values],
    }
    if item.pattern.segments > 1:
        bits = item.pattern.index_bits
        found["index"] = strings([block["index"]], block["index_phase"], bits)
    count = max(item.pattern.segments, 2 if item.pattern is DENSE else 1)
    found["metas"] = block["metas"][:count]
    found["factors"] = block["factors"][: item.pattern.segments]
    return found


class Allowed:
    """Allows what ends a pass, or a group, at random, and then until it is taken."""

    moved = False

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.wires = {"last": unit.wires["may_end"]}
        if "may_weigh" in unit.wires:
            self.wires["half"] = unit.wires["may_weigh"]
        self.allowed = dict.fromkeys(self.wires, False)

    def cycle(self) -> None:
        block = self.unit.outputs["block"]
        offers, takes = block.valid_now(), block.valid_now() and block.ready_now()
        step = block.value(block.bits_now())["step"]
        for flag, wire in self.wires.items():
            if offers and step[flag] and not self.allowed[flag]:
                raise Mismatch(f"{wire.name}: a block was offered that may not be")
            ends = takes and step[flag]
            self.allowed[flag] = self.unit.random.random() < 0.5 or (
                self.allowed[flag] and not ends
            )
            wire.set(self.allowed[flag])


def stream_case(idle: Pattern, pressure: Pattern) -> Case:
    async def run(unit: Unit) -> None:
        stream = unit.component
        assert isinstance(stream, WeightStream)
        found = products(unit.random, stream)
        turns = [unit.random.randint(1, 3) for _ in found]
        tags, walks = [], []
        for one, passes in zip(found, turns, strict=True):
            shape = {"blocks": one.blocks(stream.rows), "groups": one.groups}
            number = code(one.fmt, one.nm)
            tags.append(shape | {"mm": unit.random.getrandbits(1), "format": number})
            walks.append(shape | {"passes": passes, "tag": number})
        unit.drive("tag", tags, idle)
        unit.drive(
            "beat",
            [beat for one in found for beat in one.beats(stream.rows, stream.channels)],
            idle,
        )
        unit.drive("replay", walks, idle)
        board = Scoreboard(
            "block",
            [
                block
                for one, passes in zip(found, turns, strict=True)
                for block in blocks_of(one, passes, stream.rows)
            ],
        )
        heads = unit.expect("head", tags, pressure)
        unit.join(Allowed(unit))
        unit.watch("block", lambda block: board.take(seen(block, stream)), pressure)
        await unit.cycles(2)
        await unit.finish(board, heads, quiet=20)
        unit.must(empty=1)

    return Case("products", run, idle=idle, pressure=pressure)


BENCHES = [
    Bench(
        f"weight_stream_{rows}_{channels}_{sparse:d}",
        lambda rows=rows, channels=channels, sparse=sparse: WeightStream(
            rows=rows, channels=channels, depth=DEPTH, sparse=sparse
        ),
        crossed(stream_case),
    )
    for rows, channels, sparse in ((2, 1, False), (4, 2, True))
]


@each_case(*BENCHES)
def test_weight_stream(case: BoundCase) -> None:
    case.check()
