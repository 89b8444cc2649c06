"""Lock step: what it compares, and what it finds when the two are not the same."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import CORES, NANO, Pair

from alula.design import Design
from alula.isa import Engine, Program
from alula.isa.formula import Formula
from alula.isa.instructions import BY_NAME
from alula.model.retirement import RetirementRecorder, Seeker
from alula.rtl.device import Timing
from alula.rtl.lockstep import Diverged
from alula.rtl.report import OutOfStep, first_difference

SET_UP = """
LI rd=r1 value=5
LI rd=r2 value=90
LI rd=r3 value=36
LI rd=r4 value=0x3C800000
LI rd=r5 value=80
LD.V type=fp32 addr=0 dst=0 count=512 signal=MISC
QUANT src=0 dst=4 slot=0 rows=5 len=96 stride=24 wait=LD signal=MM,MV
QUANTKV src=0 dst=1 rows=2 heads=2 dim=32 stride=16 signal=ST
"""
OUTPUTS = {"MM": 18, "MV": 5}
EVERYTHING = (
    SET_UP
    + """
LD.W to=MM fmt=W4 addr=2000 blocks={MM} groups=3
LD.W to=MV fmt=V8 addr=4000 blocks={MV} groups=3 stride=r5
LD.W to=MM fmt=W4 addr=2000 blocks={MM} groups=3
MM.SYNC wait=MISC
MV.SYNC wait=MISC
MM fmt=W4 src=4 dst=200 rows=5 outputs=18 groups=3 stride=5
MV fmt=V8 src=4 dst=300 rows=1 outputs=5 groups=3 stride=0 signal=MISC
MM fmt=W4 src=4 dst=400 rows=5 outputs=18 groups=3 stride=5 signal=MISC
ST.SYNC wait=MISC
LOOP count=3 body=3
ST.KEY src=1 addr=r2+5000 heads=2 rows=2 groups=1 stride=r2 position=r1
ST.VALUE src=1 addr=r2+6000 heads=2 rows=2 groups=1 stride=r2 position=r1 pitch=r1 scales=r3
SADD rd=r2 a=r2 b=400
LD.G type=bf16 table=8 ids=1200 count=6 len=21 dst=340 signal=MISC
MISC.SYNC wait=MM,MV,LD
RMSNORM dst=500 src=0 gain=8 rows=2 len=30 inv=r4 eps=r4
LAYERNORM dst=520 src=0 gain=8 rows=2 len=32 inv=r4 eps=r4
SOFTMAX src=64 rows=5 len=9 step=1 stride=8 scale=20
SOFTMAX src=500 rows=1 len=33 step=0 stride=0 scale=20
ROPE src=340 table=30 rows=2 heads=2 dim=16 stride=18
ACT func=silu gated=1 dst=560 a=0 b=10 count=7
ADD dst=580 a=400 b=420 rows=2 words=3 broadcast=1
QUANT src=500 dst=60 slot=1 rows=2 len=13 stride=7
QUANTKV src=500 dst=9 rows=1 heads=3 dim=16 stride=16
ARGMAX src=0 count=77 base=3 first=1 signal=SYS,ST
ARG rd=r9 wait=MISC
SDIV rd=r8 a=r9 b=r1
ST.V src=500 addr=9000 count=31 wait=MISC
ST.W value=r9 addr=9100 skip=1
"""
)
"""Every instruction once at least, engines overlapping; nothing is read that was not written."""
SETTINGS = {"smooth": (NANO, 0), "stalls": (NANO, 60), "cores": (CORES, 60)}


@pytest.fixture(scope="module", params=SETTINGS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    design, stalls = SETTINGS[request.param]
    both = Pair(timing=Timing(stalls=stalls, seed=1), design=design)
    random = np.random.default_rng(1)
    blocks = row_blocks(design)
    both.write(0, random.standard_normal(8192).astype(np.float32))
    both.write(1200, np.array([3, 0, 17, 5, 3, 1], np.uint32))
    both.write(2000, pack(random_weights("W4", design, blocks["MM"], 3), design))
    both.write(4000, random.integers(0, 256, 300 * design.bytes_per_cycle).astype(np.uint8))
    yield both
    both.close()


def row_blocks(design: Design) -> dict[str, int]:
    """Row blocks of the listing's products."""
    return {engine: -(-outputs // design.rows) for engine, outputs in OUTPUTS.items()}


def everything(design: Design) -> Program:
    return program(design, EVERYTHING.format(**row_blocks(design)), origins=())


def test_every_instruction_goes_in_step(pair: Pair) -> None:
    listing = everything(pair.design)
    names = {op.name for op in listing.ops}
    assert {"LD.G", "ST.VALUE", "MM", "MV", "LAYERNORM", "ROPE", "QUANTKV", "ARGMAX"} <= names
    pair.run(listing, {})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("LD.W", "first"),
        *product(
            ("LD.V", "LD.G", "ST.V", "MM", "SOFTMAX", "ROPE", "QUANT", "QUANTKV"),
            ("count", "first"),
        ),
    ],
)
def test_a_wrong_declaration_is_out_of_step(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str, change: str
) -> None:
    """What is declared as written is a place too long, or a place further on."""
    instruction = BY_NAME[name]
    kind = "reads" if name == "LD.W" else "writes"  # the stream has what is read
    (one,) = getattr(instruction.effects, kind)
    wrong = replace(one, **{change: Formula(f"{getattr(one, change)} + 1")})
    effects = replace(instruction.effects, **{kind: (wrong,)})
    monkeypatch.setitem(BY_NAME, name, replace(instruction, effects=effects))
    with pytest.raises(OutOfStep) as caught:
        pair.run(everything(pair.design), {})
    assert caught.value.lines["instruction"].startswith(f"{name} ")


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("what", ["checksum", "address", "missing", "surplus"])
def test_the_first_divergence_stops_the_run(pair: Pair, engine: Engine, what: str) -> None:
    """The last core's record is falsified in one place: it must be found just there."""
    listing = everything(pair.design)
    recorder = RetirementRecorder(pair.machine.state)
    pair.machine.run(listing, {}, on_retire=recorder)
    expected = recorder.engines[engine]
    core = len(expected.checksums) - 1
    index = int(np.random.default_rng(engine).integers(len(expected)))
    if what == "checksum":
        expected.checksums[core][index] ^= 1 << 40
    elif what == "address":
        expected.addresses[index] += 1
    elif what == "missing":
        index = len(expected)
        expected.addresses.append(0)
        for checksums in expected.checksums:
            checksums.append(0)
    else:
        index = len(expected) - 1
        expected.addresses.pop()
        for checksums in expected.checksums:
            checksums.pop()
    with pytest.raises(Diverged) as caught:
        pair.device.run(listing, {}, retirements=recorder.engines)
    found = caught.value.divergence
    assert (found.engine, found.index) == (engine, index)
    if what == "checksum":
        assert found.core == core
    seeker = Seeker(pair.machine.state, engine, index, found.core)
    pair.machine.run(listing, {}, on_retire=seeker)
    if what == "missing":
        assert seeker.found is None
        assert found.address is None
        return
    assert seeker.found is not None
    retired, writes = seeker.found
    assert found.address == retired.address
    assert first_difference(writes, found.writes) is None
    assert found.writes.checksum == writes.checksum


def test_weights_behind_the_model_s_back(pair: Pair) -> None:
    """A bit of memory that the gateware alone sees: the LD.W that brings it is named."""
    width = pair.design.bytes_per_cycle
    place = width - 3  # in the last core's part of a beat
    listing = everything(pair.design)
    pair.device.memory[4080 * width + place] ^= 0x10
    with pytest.raises(OutOfStep) as caught:
        pair.run(listing, {})
    lines = caught.value.lines
    assert lines["instruction"].startswith("LD.W to=MV fmt=V8")
    assert lines["tile"] == "row block 1, from memory beat 4080"
    assert lines["address"] == f"weight stream, beat 12 of this LD.W, byte {place}"
    assert int(lines["expected"], 16) ^ int(lines["found"], 16) == 0x10
    cores = pair.design.cores
    assert lines.get("core") == (f"{cores - 1} of {cores}" if cores > 1 else None)
    blocks = row_blocks(pair.design)["MV"]
    assert lines["differ"] == f"1 of {blocks * 12 * width // cores} elements"
    pair.run(listing, {})
