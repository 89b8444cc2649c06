from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped
from tests.gateware.matrix import Activations, Product, results
from tests.gateware.refusals import refuses
from tests.gateware.uses import Uses, waits

from alula.bench import ALWAYS, BURSTS, Bench, BoundCase, Case, Pattern, Unit, each_case
from alula.bench import random_pattern as chance
from alula.bench.scoreboard import Mismatch
from alula.gateware.buffers.activation_buffer import read_layout, request_layout
from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.control.command import layout, opcode
from alula.gateware.control.fault import Fault
from alula.gateware.matrix.engine import Mpe
from alula.gateware.matrix.reason import CODES, ProductReason
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.stream.weight_format import code
from alula.gateware.stream.weight_stream import TAG, WeightStream, beat_layout
from alula.isa.formats import FORMATS
from alula.isa.formats import PATTERNS as NM
from alula.isa.instructions import Engine

GROUPS = 64
WORDS = 4096


class Matrix(Component):
    """The matrix engine behind its weight stream."""

    def __init__(
        self, *, rows: int, tokens: int, lanes: int, channels: int = 1, depth: int = 64,
        block_rows: int = 0, sparse: bool = False, bits: int = 48,
    ) -> None:  # fmt: skip
        self.rows, self.tokens, self.lanes = rows, tokens, lanes
        self.channels, self.depth = channels, depth
        self.block_rows = block_rows or rows
        self.sparse, self.bits = sparse, bits
        super().__init__(
            {
                "tag": In(stream.Signature(TAG)),
                "beat": In(stream.Signature(beat_layout(rows))),
                "mm_command": In(stream.Signature(layout(Engine.MM))),
                "mv_command": In(stream.Signature(layout(Engine.MV))),
                "request": Out(stream.Signature(request_layout(GROUPS))),
                "activations": In(stream.Signature(read_layout(tokens))),
                "write": Out(stream.Signature(write_layout(WORDS, lanes))),
                "first": In(16),
                "mm_done": Out(1),
                "mv_done": Out(1),
                "mm_busy": Out(1),
                "mv_busy": Out(1),
                "fault": Out(Fault),
                "fault_mm": Out(1),
                "fault_next": Out(1),
                "empty": Out(1),
                "there": Out(1),
                "fires": Out(1),
            }
            | {
                f"{engine}_{use}": Out(1)
                for engine in ("mm", "mv")
                for use in ("starved", "blocked")
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.weights = weights = WeightStream(
            rows=self.rows, channels=self.channels, depth=self.depth, sparse=self.sparse
        )
        sizes = MatrixSizes(
            rows=self.rows,
            block_rows=self.block_rows,
            tokens=self.tokens,
            lanes=self.lanes,
            groups=GROUPS,
            words=WORDS,
            stream_beats=self.depth,
            accumulator_bits=self.bits,
            channels=self.channels,
            sparse=self.sparse,
        )
        m.submodules.mpe = mpe = Mpe(sizes)
        for name in ("tag", "beat"):
            connect(m, flipped(getattr(self, name)), getattr(weights, name))
        for name in ("head", "replay", "block"):
            connect(m, getattr(weights, name), getattr(mpe, name))
        for name in ("mm_command", "mv_command", "request", "activations", "write"):
            connect(m, flipped(getattr(self, name)), getattr(mpe, name))
        for name in ("mm_done", "mv_done", "mm_busy", "mv_busy", "fault", "fault_mm", "fault_next"):
            m.d.comb += getattr(self, name).eq(getattr(mpe, name))
        m.d.comb += [
            mpe.first.eq(self.first),
            self.empty.eq(weights.empty),
            mpe.held.eq(weights.held),
            weights.may_end.eq(mpe.may_end),
            self.there.eq(weights.held & mpe.activations.valid),
            self.fires.eq(mpe.block.valid & mpe.block.ready),
        ]
        for name in ("mm_starved", "mm_blocked", "mv_starved", "mv_blocked"):
            m.d.comb += getattr(self, name).eq(getattr(mpe, name))
        if self.sparse:
            m.d.comb += weights.may_weigh.eq(mpe.may_weigh)
        return m


def command(product: Product) -> dict:
    return {
        "opcode": opcode(product.engine),
        "fmt": code(product.fmt),
        "nm": list(NM).index(product.nm),
        "src": product.src,
        "groups": product.groups,
        "outputs": product.outputs,
        "rows": product.rows,
        "dst": product.dst,
        "stride": product.stride,
    }


def sync(engine: str) -> dict:
    return {"opcode": opcode(f"{engine}.SYNC")}


class Watch:
    """Counts what a case asserts about pulses and pace."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.moved = False
        self.done = {"MM": 0, "MV": 0}
        self.fired: list[int] = []
        self._wires = {name: unit.wires[name] for name in ("mm_done", "mv_done", "fires")}

    def cycle(self) -> None:
        for engine in self.done:
            self.done[engine] += self._wires[f"{engine.lower()}_done"].get()
        if self._wires["fires"].get():
            self.fired.append(self.unit.count)
        self.moved = False


class Taken:
    """The products that MM and MV have taken and not ended, and so what either waits for.

    The one whose blocks are next needs blocks and activations, and then its results' way on; the
    other waits for its turn, or for what is left of its results to be taken.
    """

    moved = False

    def __init__(self, unit: Unit, products: list[Product]) -> None:
        self.unit = unit
        top = unit.component
        assert isinstance(top, Matrix)
        self.held = dict.fromkeys(("MM", "MV"), 0)
        self.before = dict.fromkeys(self.held, (False, False))
        self.blocks = deque(
            [p.engine, p.blocks(top.rows) * p.groups * 2 * -(-p.rows // top.tokens)]
            for p in products
        )
        self.uses = {
            engine: Uses(unit, partial(self.wanted, engine), f"{engine.lower()}_")
            for engine in self.held
        }

    def wanted(self, engine: str) -> tuple[bool, bool]:
        """What the cycle before saw."""
        before, self.before[engine] = self.before[engine], self.seen(engine)
        return before

    def seen(self, engine: str) -> tuple[bool, bool]:
        unit = self.unit
        there, fires = (bool(unit.wires[name].get()) for name in ("there", "fires"))
        if self.held[engine] and self.blocks[0][0] == engine:
            return not there, there and not fires
        return self.held[engine] > 0, not self.held[engine] and waits(unit.outputs["write"])

    def cycle(self) -> None:
        for uses in self.uses.values():
            uses.cycle()
        if self.unit.wires["fires"].get():
            self.blocks[0][1] -= 1
            if not self.blocks[0][1]:
                self.held[self.blocks.popleft()[0]] -= 1
        for engine in self.held:
            command = self.unit.inputs[f"{engine.lower()}_command"]
            if command.valid_now() and command.ready_now():
                item = command.value(command.bits_now())
                self.held[engine] += item["opcode"] == opcode(engine)


def place(products: list[Product], lanes: int, random: Random) -> None:
    """Give each product its own place in the vector buffer, with gaps between rows."""
    word = random.randrange(8)
    for product in products:
        product.dst = word
        product.stride = -(-product.outputs // lanes) + random.randrange(2)
        word += product.rows * product.stride + random.randrange(2)
    assert word < WORDS


async def run(
    unit: Unit,
    products: list[Product],
    x: Activations,
    *,
    beats: Pattern = ALWAYS,
    reads: Pattern = ALWAYS,
    writes: Pattern = ALWAYS,
    syncs: bool = False,
    filled: bool = False,
    placed: bool = False,
) -> Watch:
    """Run the products, compare every word of the vector buffer."""
    top = unit.component
    assert isinstance(top, Matrix)
    rows, lanes = top.rows, top.lanes
    watch = Watch(unit)
    expected: dict[tuple[int, int], int] = {}
    for product in products if not filled else ():
        product.fill(unit.random, rows)
    if not placed:
        place(products, lanes, unit.random)
    for product in products:
        for row, line in enumerate(results(product, x)):
            start = product.dst + row * product.stride
            line += [0] * (-len(line) % lanes)
            for i, bits in enumerate(line):
                expected[start + i // lanes, i % lanes] = bits
    memory: dict[tuple[int, int], int] = {}

    def write(item: dict) -> None:
        for lane in range(lanes):
            if item["mask"] >> lane & 1:
                memory[item["address"], lane] = item["data"][lane]

    tags = [
        {
            "mm": int(p.engine == "MM"),
            "format": code(p.fmt, p.nm),
            "blocks": p.blocks(rows),
            "groups": p.groups,
        }
        for p in products
    ]
    unit.join(watch)
    unit.join(Taken(unit, products))
    unit.drive("tag", tags)
    unit.drive("beat", [b for p in products for b in p.beats(rows, top.channels)], beats)
    counts = {}
    for engine in ("MM", "MV"):
        commands = [command(p) for p in products if p.engine == engine]
        if syncs:
            commands = [c for item in commands for c in (item, sync(engine))]
        counts[engine] = len(commands)
        unit.drive(f"{engine.lower()}_command", commands)
    unit.respond("request", "activations", lambda r: [x.read(r["group"], r["half"])], offer=reads)
    unit.watch("write", write, writes)
    await unit.until(lambda: watch.done == counts, "the end of all products")
    await unit.cycles(20)
    assert watch.done == counts
    if unit.wires["fault"].get()["code"] or not unit.wires["empty"].get():
        raise Mismatch("the engine must end without error and with an empty stream")
    if unit.wires["mm_busy"].get() or unit.wires["mv_busy"].get():
        raise Mismatch("the engine must not be busy at its end")
    wrong = [key for key in expected if memory.get(key) != expected[key]]
    if wrong or memory.keys() != expected.keys():
        extra = sorted(memory.keys() - expected.keys())[:4]
        shown = [(key, expected[key], memory.get(key)) for key in wrong[:4]]
        raise Mismatch(f"{len(wrong)} of {len(expected)} results differ {shown}, extra {extra}")
    return watch


def small(random: Random, top: Matrix, count: int) -> list[Product]:
    """Random small products of every format and shape."""
    found = []
    for _ in range(count):
        engine = random.choice(("MM", "MV"))
        blocks = random.randint(1, 4 if top.sparse else 6)
        fmt = random.choice(("W4", "W4", "W8", "V8", "W3", "W2"))
        nm = random.choice(list(NM)) if top.sparse and fmt != "V8" else "dense"
        rows = top.rows * NM[nm].segments
        found.append(
            Product(
                engine,
                fmt,
                random.randint(1, top.tokens if engine == "MV" else 3 * top.tokens),
                random.randint((blocks - 1) * rows + 1, blocks * rows),
                random.randint(1, 5),
                src=random.randrange(GROUPS - 15),
                nm=nm,
            )
        )
    return found


PATTERNS: list[tuple[str, dict[str, Pattern]]] = [
    ("full", {}),
    ("beats_random", {"beats": chance(0.5)}),
    ("reads_random", {"reads": chance(0.5)}),
    ("writes_random", {"writes": chance(0.3)}),
    ("writes_rare", {"writes": chance(0.03)}),
    ("all_bursts", {"beats": BURSTS, "reads": BURSTS, "writes": BURSTS}),
]


def random_cases(count: int = 12) -> list[Case]:
    def make(name: str, patterns: dict[str, Pattern], syncs: bool) -> Case:
        async def body(unit: Unit) -> None:
            top = unit.component
            assert isinstance(top, Matrix)
            x = Activations.random(unit.random, GROUPS, top.tokens)
            products = small(unit.random, top, count)
            await run(unit, products, x, syncs=syncs, **patterns)

        return Case(name, body)

    cases = [make(name, patterns, False) for name, patterns in PATTERNS]
    return [*cases, make("syncs", {"beats": chance(0.8)}, True)]


def pace(name: str, make: Callable[[Random, Matrix], list[Product]], share: float) -> Case:
    """Blocks must pass in at least a share of the cycles from the first to the last."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        x = Activations.random(unit.random, GROUPS, top.tokens)
        watch = await run(unit, make(unit.random, top), x)
        cycles = watch.fired[-1] - watch.fired[0] + 1
        reached = len(watch.fired) / cycles
        print(f"{name}: {len(watch.fired)} blocks in {cycles} cycles, {reached:.3f}")
        if reached < share:
            raise Mismatch(f"blocks must pass in {share} of the cycles, not {reached:.3f}")

    return Case(name, body)


PACES = [
    pace(
        "prefill",
        lambda random, top: [
            Product("MM", "W4", 4 * top.tokens, 6 * top.rows, 8) for _ in range(2)
        ],
        0.95,
    ),
    pace(
        "prefill_short_rows",
        lambda random, top: [Product("MM", "W4", 3 * top.tokens, 8 * top.rows, 4)],
        0.95,
    ),
    # A beat a cycle: 576 of 654 beats are values, the others metas and scales.
    pace(
        "decode",
        lambda random, top: [Product("MV", "W4", 1, 8 * top.rows, 12) for _ in range(3)],
        0.88,
    ),
    pace(
        "decode_heads",
        lambda random, top: [Product("MV", "V8", top.tokens, 8 * top.rows, 2) for _ in range(6)],
        0.5,
    ),
    # What a product takes at least: four beats, or the time of the finishing lanes.
    pace(
        "products_of_a_group",
        lambda random, top: [Product("MV", "W4", top.tokens, top.rows, 1) for _ in range(12)],
        0.25,
    ),
]


def ratios(least: dict[str, float]) -> Case:
    """MM of 32 row blocks and four passes: dense cycles over those of each pattern."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        x = Activations.random(unit.random, GROUPS, top.tokens)
        rows, outputs = 4 * top.tokens, 32 * top.rows
        groups = top.depth // 8
        products = [Product("MM", "W4", rows, outputs, groups, nm=nm) for nm in NM]
        watch = await run(unit, products, x)
        end, start = 0, watch.fired[0] - 1
        cycles = {}
        for product in products:
            end += product.blocks(top.rows) * 4 * product.groups * 2
            cycles[product.nm] = watch.fired[end - 1] - start
            start = watch.fired[end - 1]
        assert end == len(watch.fired)
        reached = {nm: cycles["dense"] / count for nm, count in cycles.items()}
        for nm, ratio in reached.items():
            print(f"{nm}: {cycles[nm]} cycles, dense takes {ratio:.3f} times as many")
        if any(reached[nm] < ratio for nm, ratio in least.items()):
            raise Mismatch(f"dense must take {least} times as many cycles, not {reached}")

    return Case("ratios", body)


def extreme(sign: int) -> Case:
    """Every weight, scale, minimum and activation at its end."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        x = Activations.random(unit.random, GROUPS, top.tokens)
        for group in range(GROUPS):
            x.values[group] = [[127 * sign * (-1) ** t] * 32 for t in range(top.tokens)]
            x.scales[group] = [255] * top.tokens
        products = []
        names = [(fmt, "dense") for fmt in FORMATS]
        if top.sparse:
            names += [(fmt, nm) for fmt in ("W4", "W8") for nm in NM if nm != "dense"]
        for fmt, nm in names:
            outputs = 2 * top.rows * NM[nm].segments
            product = Product("MV", fmt, top.tokens, outputs, GROUPS // 2, nm=nm)
            product.fill(unit.random, top.rows)
            low = 0 if product.item.excess else -(1 << product.item.bits - 1) + (fmt == "W8")
            for row, runs in zip(product.q, product.kept, strict=True):
                for number, kept in enumerate(runs):
                    for k in kept:
                        row[16 * number + k] = low
            product.s = [[255 if nm == "dense" else -128] * len(row) for row in product.s]
            product.m = [[-128] * len(row) for row in product.m]
            products.append(product)
        await run(unit, products, x, filled=True)

    return Case(f"extreme_{'positive' if sign > 0 else 'negative'}", body)


def ends() -> Case:
    """Products that end with the last group, the last word and the last beat of the stream."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        tokens, lanes = top.tokens, top.lanes
        x = Activations.random(unit.random, GROUPS, tokens)
        longest = top.depth // 4
        products = [
            Product("MV", "V8", 1, 1, GROUPS, 0, WORDS - 1, 0),
            Product("MV", "W4", 1, lanes + 1, 1, GROUPS - 1, WORDS - 4, (1 << 32) - 1),
            Product("MV", "W4", tokens, lanes, 2, GROUPS - 2, WORDS - 6 - 3 * (tokens - 1), 3),
            Product("MM", "W2", 2 * tokens + 1, 1, 3, GROUPS - 9, WORDS - 9 - 8 * tokens, 4),
            Product("MM", "V8", 2 * tokens, top.rows, longest, GROUPS - 2 * longest, 0, lanes),
        ]
        await run(unit, products, x, placed=True)

    return Case("ends", body)


def refused(
    name: str, reason: ProductReason, change: dict, tag: dict | None = None, *, number: int = 0
) -> Case:
    """A command that breaks a rule must stop the engine; only what came before is written."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        engine = change.get("engine", "MV")
        before = Product(engine, "V8", top.tokens, top.rows, 2, dst=7, stride=top.rows)
        before.fill(unit.random, top.rows)
        product = Product(engine, "V8", 1, top.rows, 2, stride=4)
        product.fill(unit.random, top.rows)
        given = command(product) | {k: v for k, v in change.items() if k != "engine"}
        shape = {"mm": int(engine == "MM"), "format": code("V8"), "blocks": 1, "groups": 2}
        x = Activations.random(unit.random, GROUPS, top.tokens)
        watch, written = Watch(unit), set()
        unit.join(watch)
        unit.drive("tag", [shape, shape | (tag or {}), shape])
        unit.drive("beat", before.beats(top.rows, 1) + product.beats(top.rows, 1) * 20)
        unit.drive(f"{engine.lower()}_command", [command(before), given, command(before)])
        unit.respond("request", "activations", lambda r: [x.read(r["group"], r["half"])])
        unit.watch("write", lambda item: written.add(item["address"]))
        await unit.cycles(400)
        fault = unit.wires["fault"].get()
        detail = {"code": CODES[reason].value, "detail": number << 8 | reason.value}
        if fault != detail or unit.wires["fault_mm"].get() != shape["mm"]:
            raise Mismatch(f"the fault must be {reason} {number}, not {fault}")
        if not unit.wires["fault_next"].get():
            raise Mismatch("the blame must be on the instruction that was offered")
        if written != {7 + row * top.rows for row in range(top.tokens)} or watch.done[engine] != 1:
            raise Mismatch(f"what came before must be written, nothing else, not {written}")

    return Case(name, body)


def overflow(engine: str, nm: str = "dense") -> Case:
    """Sums that do not fit stop the engine; their product is the oldest one, and stays it."""

    async def body(unit: Unit) -> None:
        top = unit.component
        assert isinstance(top, Matrix)
        x = Activations.random(unit.random, GROUPS, top.tokens)
        x.values = [[[127] * 32 for _ in range(top.tokens)] for _ in range(GROUPS)]
        x.scales = [[255] * top.tokens for _ in range(GROUPS)]
        outputs = 2 * top.rows * NM[nm].segments
        products = [Product(engine, "W8", 1, outputs, groups, nm=nm) for groups in (1, 1, 60, 1, 1)]
        for product in products:
            product.fill(unit.random, top.rows)
            product.q = [[127 * bool(q) for q in row] for row in product.q]
        place(products, top.lanes, unit.random)
        watch = Watch(unit)
        unit.join(watch)
        unit.drive(
            "tag",
            [
                {
                    "mm": int(engine == "MM"),
                    "format": code("W8", nm),
                    "blocks": 2,
                    "groups": p.groups,
                }
                for p in products
            ],
        )
        unit.drive("beat", [beat for p in products for beat in p.beats(top.rows, 1)])
        unit.drive(f"{engine.lower()}_command", [command(p) for p in products])
        unit.respond("request", "activations", lambda r: [x.read(r["group"], r["half"])])
        unit.watch("write", lambda item: None, chance(0.3))
        while not unit.wires["fault"].get()["code"]:
            await unit.cycles()
        done = watch.done[engine]
        await unit.cycles(400)
        fault = unit.wires["fault"].get()
        reason = ProductReason.OVERFLOW
        if fault != {"code": CODES[reason].value, "detail": reason.value}:
            raise Mismatch(f"the fault must be {reason}, not {fault}")
        if unit.wires["fault_mm"].get() != (engine == "MM") or unit.wires["fault_next"].get():
            raise Mismatch("the blame must be on the engine's oldest instruction")
        if (done, watch.done[engine]) != (2, 2):
            raise Mismatch(f"two products must be done, not {done} and then {watch.done[engine]}")

    return Case(f"overflow_{engine}_{nm}", body)


FAR = (1 << 24) - 1
"""A number that does not fit a fault's detail."""
RESERVED = code("W4") + 9
REFUSALS = [
    refused("pattern_of_v8", ProductReason.FORMAT, {"nm": 2}),
    refused("reserved_format", ProductReason.FORMAT, {"fmt": RESERVED}),
    refused("pattern", ProductReason.FORMAT, {"nm": 1}),
    refused("other_format", ProductReason.STREAM, {"fmt": code("W8")}),
    refused("other_groups", ProductReason.STREAM, {"groups": 3}),
    refused("no_rows", ProductReason.ROWS, {"rows": 0}),
    refused("many_rows", ProductReason.ROWS, {"rows": 5}),
    refused("few_outputs", ProductReason.OUTPUTS, {"outputs": 2}, {"blocks": 2}),
    refused("no_outputs", ProductReason.OUTPUTS, {"outputs": 0}),
    refused("many_outputs", ProductReason.OUTPUTS, {"engine": "MM", "outputs": 3}),
    refused("far_more_outputs", ProductReason.OUTPUTS, {"outputs": 1 << 20 | 1}),
    refused("src", ProductReason.SRC, {"src": GROUPS - 1}, number=GROUPS),
    refused(
        "src_of_the_last_pass",
        ProductReason.SRC,
        {"engine": "MM", "rows": 5, "src": GROUPS - 5, "dst": WORDS},
        number=GROUPS,
    ),
    refused("far_src", ProductReason.SRC, {"src": 1 << 31}, number=FAR),
    refused("dst", ProductReason.DST, {"dst": WORDS}, number=WORDS),
    refused(
        "dst_of_the_last_row",
        ProductReason.DST,
        {"engine": "MM", "rows": 6, "dst": WORDS - 5 * 7, "stride": 7},
        number=WORDS,
    ),
    refused("far_dst", ProductReason.DST, {"dst": (1 << 32) - 1}, number=FAR),
    refused("far_stride", ProductReason.DST, {"rows": 2, "stride": 1 << 31}, number=FAR),
    refused("far_row", ProductReason.SRC, {"engine": "MM", "rows": (1 << 32) - 1}, number=FAR),
    refused(
        "replay",
        ProductReason.REPLAY,
        {"engine": "MM", "rows": 3, "groups": 17, "src": GROUPS},
        {"groups": 17},
        number=17,
    ),
]

RATIOS = {"2:4": 1.98, "8:16": 1.98, "4:16": 3.85, "2:16": 3.95}
"""How many times as many cycles a dense product takes, at least."""

TINY = Bench(
    "tiny",
    lambda: Matrix(rows=2, tokens=2, lanes=4),
    [*random_cases(), *PACES, ends(), *REFUSALS, extreme(1), extreme(-1)],
)
KV260 = Bench(
    "kv260", lambda: Matrix(rows=8, tokens=4, lanes=16), [*random_cases(8), *PACES, ends()]
)
NARROW = Bench("narrow", lambda: Matrix(rows=2, tokens=4, lanes=16, depth=48), random_cases())
CHANNELS = Bench(
    "channels", lambda: Matrix(rows=4, tokens=2, lanes=2, channels=2, depth=34), random_cases(8)
)


SPARSE = Bench(
    "sparse",
    lambda: Matrix(rows=2, tokens=2, lanes=4, sparse=True),
    [*random_cases(16), *PACES, ends(), *REFUSALS, extreme(1), extreme(-1), ratios(RATIOS)],
)
SPARSE_KV260 = Bench(
    "sparse_kv260",
    lambda: Matrix(rows=8, tokens=4, lanes=16, depth=128, sparse=True),
    [ratios(RATIOS), *random_cases(4)[:1], *PACES],
)


NARROW_SUMS = Bench(
    "narrow_sums",
    lambda: Matrix(rows=2, tokens=2, lanes=4, bits=32),
    [overflow("MM"), overflow("MV")],
)
NARROW_SPARSE_SUMS = Bench(
    "narrow_sparse_sums",
    lambda: Matrix(rows=2, tokens=2, lanes=4, sparse=True, bits=32),
    [overflow("MM"), overflow("MV", "8:16")],
)


def test_parameters_out_of_range() -> None:
    def given(**changes: int) -> MatrixSizes:
        values: dict[str, Any] = {
            "rows": 8,
            "block_rows": 8,
            "tokens": 4,
            "lanes": 16,
            "groups": 64,
            "words": 64,
        }
        values |= {"stream_beats": 64}
        return MatrixSizes(**values | changes)

    refuses("tokens must be a power of two, at least 2, not 1", lambda: given(tokens=1))
    refuses("tokens must be a power of two, at least 2, not 6", lambda: given(tokens=6))
    refuses("channels must be at least 1, not 0", lambda: given(channels=0))
    refuses(r"rows must be a multiple of channels \(1\), not 0", lambda: given(rows=0))
    refuses(r"rows must be a multiple of channels \(3\), not 8", lambda: given(channels=3))
    refuses(r"block_rows must be a multiple of rows \(8\), not 12", lambda: given(block_rows=12))
    refuses("lanes must be a power of two, not 12", lambda: given(lanes=12))
    refuses("words must be 2 to 16777215, not 0", lambda: given(words=0))
    refuses("groups must be 2 to 16777215, not 33554432", lambda: given(groups=1 << 25))
    refuses("stream_beats must be at least 1, not 0", lambda: given(stream_beats=0))
    refuses("accumulator_bits must be 32 to 48, not 16", lambda: given(accumulator_bits=16))


@each_case(TINY, KV260, NARROW, CHANNELS, SPARSE, NARROW_SUMS, NARROW_SPARSE_SUMS)
def test_products(case: BoundCase) -> None:
    case.check()


@pytest.mark.slow
@each_case(SPARSE_KV260)
def test_patterns_on_kv260(case: BoundCase) -> None:
    case.check()
