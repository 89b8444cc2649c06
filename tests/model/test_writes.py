"""What instructions write, its checksum, and the record of a run."""

from collections.abc import Mapping

import numpy as np
import pytest
from tests.model.bench import KV260, ODD, Bench, program, read_bytes
from tests.model.layout import pack, random_weights

from alula.design import Design, load_design
from alula.isa import Engine
from alula.model import Machine, Retired
from alula.model.retirement import RetirementRecorder, Seeker
from alula.model.state import State
from alula.model.writes import STAGING_ROW, WORD, Space, Writes, spaces, written

TINY = load_design("tiny")
SET_UP = """
LI rd=r1 value=5
LI rd=r2 value=90
LI rd=r3 value=36
LI rd=r4 value=0x3C800000
LD.V type=fp32 addr=0 dst=0 count=640 signal=MISC
QUANT src=0 dst=2 rows=2 len=96 stride=24 wait=LD
QUANTKV src=0 dst=1 rows=2 heads=2 dim=32 stride=16
"""
"""Something in each buffer; one instruction under test follows."""


def sizes(writes: Writes) -> dict[Space, int]:
    """Bytes that count, by space."""
    bits = np.bitwise_count(writes.mask) if hasattr(np, "bitwise_count") else None
    counts = bits if bits is not None else np.array([int(m).bit_count() for m in writes.mask])
    found: dict[Space, int] = {}
    for space, count in zip(writes.space.tolist(), counts.tolist(), strict=True):
        found[Space(space)] = found.get(Space(space), 0) + count
    return found


def contents(state: State) -> dict[Space, np.ndarray]:
    """Bytes of the spaces that keep what is written, in the order of `Space`'s declaration."""
    values, scale, exponent = state.activations
    rows = state.staging.shape[0]
    staging = np.zeros((rows, STAGING_ROW), np.uint8)
    staging[:, : state.staging.shape[1]] = state.staging.view(np.uint8)
    scales = np.zeros((rows, WORD), np.uint8)
    scales[:, :2] = state.staging_scale.view(np.uint8).reshape(rows, 2)
    sides = np.zeros((*scale.shape, WORD), np.uint8)
    sides[..., 0], sides[..., 1] = scale, exponent
    return {
        Space.VECTOR: state.vector.view(np.uint8).copy(),
        Space.ACTIVATIONS: values.view(np.uint8).reshape(-1).copy(),
        Space.SIDES: sides.reshape(-1),
        Space.STAGING: staging.reshape(-1),
        Space.SCALES: scales.reshape(-1),
        Space.MEMORY: state.memory.bytes[: 1 << 18].copy(),
    }


class Watch:
    """An `on_retire` that compares what is said to be written with what has changed."""

    def __init__(self, state: State) -> None:
        self.state, self.before = state, contents(state)
        self.last: Writes | None = None

    def __call__(self, retired: Retired) -> None:
        writes = written(self.state, retired)
        after = contents(self.state)
        assert set(sizes(writes)) <= spaces(retired.op)
        for space, now in after.items():
            here = writes.space == np.uint64(space)
            first = writes.byte[here].astype(np.int64)
            data = np.ascontiguousarray(writes.data[here]).view(np.uint8).reshape(-1, WORD)
            counts = writes.mask[here][:, None] >> np.arange(WORD, dtype=np.uint64) & np.uint64(1)
            places = first[:, None] + np.arange(WORD)
            told = np.zeros(now.size, bool)
            told[places[counts == 1]] = True
            assert told[now != self.before[space]].all(), f"{retired.op.name} changed more"
            if space is not Space.SIDES:
                assert np.array_equal(data[counts == 1], now[places[counts == 1]])
            assert not data[counts == 0].any()
        self.before = after
        if retired.op.name != "END":
            self.last = writes


# Of the vector buffer the elements of each row, which fill whole words; otherwise bytes.
CASES: list[tuple[str, Mapping[Space, int | list[int]]]] = [
    ("LD.V type=fp32 addr=1 dst=9 count=33", {Space.VECTOR: [33]}),
    ("LD.V type=bf16 addr=1 dst=9 count=0", {}),
    ("LD.G type=bf16 table=3 ids=300 count=3 len=14 dst=20", {Space.VECTOR: [14, 14, 14]}),
    ("ST.V src=2 addr=400 count=19", {Space.MEMORY: 76}),
    ("ST.W value=r4 addr=410 skip=1", {Space.MEMORY: 4}),
    (
        "ST.KEY src=1 addr=420 heads=2 rows=2 groups=1 stride=r2 position=r1",
        {Space.MEMORY: 4 * 34},
    ),
    (
        "ST.VALUE src=1 addr=420 heads=2 rows=2 groups=1 stride=r2 position=r1 pitch=r1 scales=r3",
        {Space.MEMORY: 4 * 34},
    ),
    ("RMSNORM dst=80 src=0 gain=8 rows=2 len=79 inv=r4 eps=r4", {Space.VECTOR: [79, 79]}),
    ("LAYERNORM dst=40 src=0 gain=8 rows=1 len=80 inv=r4 eps=r4", {Space.VECTOR: [80]}),
    ("SOFTMAX src=0 rows=2 len=31 step=1 stride=8 scale=20", {Space.VECTOR: [32, 32]}),
    ("SOFTMAX src=0 rows=2 len=32 step=1 stride=16 scale=20", {Space.VECTOR: [64, 64]}),
    ("SOFTMAX src=0 rows=0 len=0 step=0 stride=8 scale=20", {}),
    ("ROPE src=0 table=30 rows=2 heads=2 dim=32 stride=20", {Space.VECTOR: [64, 64]}),
    (
        "QUANT src=0 dst=4 slot=1 rows=3 len=70 stride=20",
        {Space.ACTIVATIONS: 3 * 96, Space.SIDES: 3 * 3 * 4},
    ),
    (
        "QUANTKV src=0 dst=6 rows=2 heads=1 dim=48 stride=12",
        {Space.STAGING: 2 * 64, Space.SCALES: 4},
    ),
    ("ARGMAX src=0 count=80 base=3 first=1", {Space.BEST: 4}),
    ("SMUL rd=r9 a=r1 b=r2", {Space.REGISTER: 4}),
    ("LI rd=r0 value=3", {}),
    ("LOOP count=2 body=0", {}),
    ("MISC.SYNC", {}),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text.split()[0] for text, _ in CASES])
@pytest.mark.parametrize("design", [KV260, TINY, ODD], ids=["kv260", "tiny", "odd"])
def test_every_change_is_told(
    design: Design, text: str, expected: Mapping[Space, int | list[int]]
) -> None:
    bench = Bench(design)
    values = np.random.default_rng(1).standard_normal(4096).astype(np.float32)
    bench.machine.write(0, values)
    bench.machine.write(300, np.array([2, 7, 0], np.uint32))
    watch = Watch(bench.machine.state)
    listing = program(design, SET_UP + "NOP\n" + text)
    bench.machine.run(listing, {}, on_retire=watch)
    assert watch.last is not None
    whole = {
        space: 4 * bench.lanes * sum(map(bench.words, told)) if isinstance(told, list) else told
        for space, told in expected.items()
    }
    assert sizes(watch.last) == whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ACT func=silu gated=1 dst=40 a=0 b=10 count=3", 3),
        ("ADD dst=40 a=0 b=10 rows=2 words=3 broadcast=1", 6),
    ],
)
def test_instructions_that_count_words(text: str, words: int) -> None:
    bench = Bench(KV260)
    watch = Watch(bench.machine.state)
    bench.machine.run(program(KV260, SET_UP + text), {}, on_retire=watch)
    assert watch.last is not None
    assert sizes(watch.last) == {Space.VECTOR: 4 * bench.lanes * words}


@pytest.mark.parametrize(("fmt", "stride"), [("W4", 0), ("W8", 0), ("V8", 0), ("V8", 80)])
def test_products_and_their_beats(fmt: str, stride: int) -> None:
    blocks, groups, rows = 5, 3, 2
    bench = Bench(TINY)
    machine = bench.machine
    machine.write(0, np.random.default_rng(1).standard_normal(4096).astype(np.float32))
    packed = pack(random_weights(fmt, TINY, blocks, groups), TINY)
    machine.write(2000, packed)
    outputs = blocks * TINY.rows - 1
    text = (
        SET_UP
        + f"LI rd=r5 value={stride}\nLD.W to=MV fmt={fmt} addr=2000 blocks={blocks} "
        + f"groups={groups} stride=r5\nMV fmt={fmt} src=2 dst=90 rows={rows} groups={groups} "
        + f"outputs={outputs} stride=15"
    )
    seen: dict[str, Writes] = {}
    watch = Watch(machine.state)

    def both(retired: Retired) -> None:
        watch(retired)
        seen[retired.op.name] = written(machine.state, retired)

    machine.run(program(TINY, text), {}, on_retire=both)
    assert sizes(seen["MV"]) == {Space.VECTOR: rows * bench.words(outputs) * 4 * bench.lanes}
    beats, width = packed.size // TINY.bytes_per_cycle, TINY.bytes_per_cycle
    assert sizes(seen["LD.W"]) == {Space.STREAM: beats * width}
    data = np.ascontiguousarray(seen["LD.W"].data).view(np.uint8)
    if stride:
        part = beats // blocks * width
        expected = [read_bytes(machine, 2000 + block * stride, part) for block in range(blocks)]
        assert np.array_equal(data, np.concatenate(expected))
    else:
        assert np.array_equal(data, packed.reshape(-1))
    assert np.array_equal(seen["LD.W"].byte, np.arange(beats * width // WORD) * WORD)


def by_hand(place: int, data: int, mask: int) -> int:
    def mix(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    return mix(mix(mix(place) ^ data) ^ mask)


def test_the_checksum() -> None:
    columns = np.random.default_rng(3).integers(0, 2**63, (3, 20)).astype(np.uint64)
    writes = Writes(*columns)
    assert writes.checksum == sum(by_hand(*map(int, word)) for word in columns.T) % 2**64
    assert Writes(*columns[:, ::-1]).checksum == writes.checksum
    for column in range(3):
        other = columns.copy()
        other[column, 7] ^= np.uint64(1)
        assert Writes(*other).checksum != writes.checksum
    assert Writes(*columns[:, :0]).checksum == 0


LISTING = """
LI rd=r1 value=2
LD.V type=fp32 addr=0 dst=0 count=64 signal=MISC
ADD dst=8 a=0 b=4 rows=1 words=1 broadcast=0 wait=LD signal=ST
LOOP count=3 body=2
ST.V src=8 addr=r1+600 count=16
SADD rd=r1 a=r1 b=2
"""


def test_a_run_is_recorded_and_one_retirement_found_again() -> None:
    machine = Machine(KV260)
    machine.write(0, np.random.default_rng(1).standard_normal(64).astype(np.float32))
    code = program(
        KV260,
        LISTING.replace("count=16", "count=16", 1).replace(
            "signal=ST\n", "signal=ST\nST.SYNC wait=MISC\n"
        ),
    )
    recorder = RetirementRecorder(machine.state)
    machine.run(code, {}, on_retire=recorder)
    addresses = {engine: list(found.addresses) for engine, found in recorder.engines.items()}
    assert addresses == {
        Engine.LD: [1],
        Engine.ST: [3, 5, 5, 5],
        Engine.MM: [],
        Engine.MV: [],
        Engine.MISC: [2],
        Engine.SYS: [0, 4, 6, 6, 6, 7],
    }
    assert recorder.stored == {602, 604, 606}
    stores = recorder.engines[Engine.ST].checksums[0]
    assert stores[0] == 0
    assert len(set(stores)) == 4
    seeker = Seeker(machine.state, Engine.ST, 2)
    machine.run(code, {}, on_retire=seeker)
    assert seeker.found is not None
    retired, writes = seeker.found
    assert retired.iterations == (1,)
    assert writes.checksum == stores[2]
