"""Which core wrote what: parts of it all, cut where the contract says."""

import numpy as np
import pytest
from tests.model.bench import NARROW, program
from tests.model.layout import pack, random_weights

from alula.design import Design, load_design
from alula.model import Machine
from alula.model.retirement import RetirementRecorder, Seeker
from alula.model.scheduler import Retired
from alula.model.shares import shares
from alula.model.writes import Space, Writes, written

pytestmark = pytest.mark.smoke

THREE = load_design("u280").replace({"memory.capacity_mib": 64})
"""Rows of a row block are 80 a core, five words of 16 results."""
ODD = NARROW.replace(
    {
        "cores": 2,
        "memory.channels": 2,
        "memory.capacity_mib": 2,
        "sfu.lanes": 4,
        "part.dsp": 400,
        "part.bram36": 200,
    }
)
"""A row a core: a word of 8 bytes has a result of each."""
LISTING = """
LI rd=r1 value=5
LD.V type=fp32 addr=0 dst=0 count=512 signal=MISC
QUANT src=0 dst=4 slot=0 rows=2 len=96 stride={pitch} wait=LD signal=MM
QUANTKV src=0 dst=1 rows=2 heads=2 dim=32 stride=16 signal=ST
LD.W to=MM fmt=W4 addr=2000 blocks={blocks} groups=3
MM fmt=W4 src=4 dst=200 rows=2 outputs={outputs} groups=3 stride={stride} wait=MISC
ST.KEY src=1 addr=3000 heads=2 rows=2 groups=1 stride=r1 position=r1 wait=MISC
ST.V src=0 addr=5000 count=99
"""


def run(design: Design, outputs: int) -> list[tuple[Retired, Writes, tuple[Writes, ...]]]:
    """What a listing retires: what was written, and by which core."""
    machine = Machine(design)
    blocks, lanes = -(-outputs // design.rows), design.sfu.lanes
    machine.write(0, np.random.default_rng(1).standard_normal(512).astype(np.float32))
    machine.write(2000, pack(random_weights("W4", design, blocks, 3), design))
    sizes = {"blocks": blocks, "outputs": outputs, "stride": -(-outputs // lanes)}
    text = LISTING.format(**sizes, pitch=-(-96 // lanes))
    found = []

    def keep(retired: Retired) -> None:
        writes = written(machine.state, retired)
        found.append((retired, writes, shares(machine.state, retired, writes)))

    machine.run(program(design, text), {}, on_retire=keep)
    return found


def whole_bytes(writes: Writes) -> dict[tuple[int, int], int]:
    """Bytes that count, by word and place in it."""
    return {
        (int(place), byte): int(data) >> 8 * byte & 255
        for place, data, mask in zip(*writes, strict=True)
        for byte in range(8)
        if int(mask) >> byte & 1
    }


@pytest.mark.parametrize(("design", "outputs"), [(THREE, 241), (ODD, 7)], ids=["three", "odd"])
def test_parts_make_the_whole(design: Design, outputs: int) -> None:
    names = set()
    for retired, writes, parts in run(design, outputs):
        name = retired.op.name
        names.add(name)
        if name in {"LI", "END"}:
            assert parts == (writes,)
        elif name in {"LD.V", "QUANT", "QUANTKV"}:
            assert parts == (writes,) * design.cores
        else:
            each = [whole_bytes(part) for part in parts]
            assert len(each) == design.cores
            joined = {place: value for part in each for place, value in part.items()}
            assert sum(map(len, each)) == len(joined)
            assert joined == whole_bytes(writes)
            assert all(part.mask.all() for part in parts)
    assert names == {"LI", "LD.V", "QUANT", "QUANTKV", "LD.W", "MM", "ST.KEY", "ST.V", "END"}


@pytest.mark.parametrize(("design", "outputs"), [(THREE, 241), (ODD, 7)], ids=["three", "odd"])
def test_where_the_cuts_are(design: Design, outputs: int) -> None:
    lane = design.bytes_per_cycle // design.cores
    pitch = -(-outputs // design.sfu.lanes) * design.sfu.lanes
    for retired, _, parts in run(design, outputs):
        for core, part in enumerate(parts):
            for place, byte in whole_bytes(part):
                space, first = Space(place >> 56), 8 * (place & (1 << 56) - 1) + byte
                if space in {Space.MEMORY, Space.STREAM}:
                    assert first // lane % design.cores == core
                elif retired.op.name == "MM":
                    # The zeros behind the last output are with it.
                    element = (first // 4 - 200 * design.sfu.lanes) % pitch
                    row = min(element, outputs - 1) % design.rows
                    assert row // design.chains_per_core == core


def test_a_record_has_each_core_s_checksums() -> None:
    machine = Machine(ODD)
    machine.write(0, np.random.default_rng(1).standard_normal(512).astype(np.float32))
    listing = program(
        ODD, "LD.V type=fp32 addr=0 dst=0 count=8 signal=ST\nST.V src=0 addr=80 count=8 wait=LD"
    )
    recorder = RetirementRecorder(machine.state)
    machine.run(listing, {}, on_retire=recorder)
    columns = {engine.name: found.checksums for engine, found in recorder.engines.items()}
    assert {name: len(column) for name, column in columns.items()} == {
        "LD": 2, "ST": 2, "MM": 2, "MV": 2, "MISC": 2, "SYS": 1,
    }  # fmt: skip
    assert columns["LD"][0] == columns["LD"][1]
    assert columns["ST"][0] != columns["ST"][1]
    for core in range(2):
        seeker = Seeker(machine.state, listing.ops[1].instruction.engine, 0, core)
        machine.run(listing, {}, on_retire=seeker)
        assert seeker.found is not None
        assert seeker.found[1].checksum == columns["ST"][core][0]
