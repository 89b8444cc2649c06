"""What is said of a divergence, with writes changed by hand."""

import numpy as np
import pytest
from tests.model.bench import program
from tests.rtl.programs import NANO

from alula.isa import Engine, Program, Region
from alula.model import Machine
from alula.model.retirement import RetirementRecorder, Seeker
from alula.model.writes import Writes
from alula.rtl.lockstep import Divergence
from alula.rtl.report import OutOfStep, first_difference

pytestmark = pytest.mark.smoke

SET_UP = """
LI rd=r1 value=5
LI rd=r2 value=90
LI rd=r3 value=36
LI rd=r4 value=0x3C800000
LD.V type=fp32 addr=0 dst=0 count=640 signal=MISC
LOOP count=3 body=1
NOP
QUANT src=0 dst=2 rows=2 len=96 stride=24 wait=LD
QUANTKV src=0 dst=1 rows=2 heads=2 dim=32 stride=16
"""
REGIONS = {"kv": Region(400, 200)}


def last_of(engine: Engine, text: str) -> tuple[Machine, Program, Seeker]:
    """Run the listing; find the last that the engine retired."""
    machine = Machine(NANO)
    machine.write(0, np.arange(1, 1025, dtype=np.float32))
    listing = program(NANO, SET_UP + text, origins=())
    recorder = RetirementRecorder(machine.state)
    machine.run(listing, {}, on_retire=recorder)
    last = len(recorder.engines[engine]) - 1 - (engine is Engine.SYS)
    seeker = Seeker(machine.state, engine, last)
    machine.run(listing, {}, on_retire=seeker)
    return machine, listing, seeker


def said(engine: Engine, text: str, place: int, flip: int) -> dict[str, str]:
    """What is said if bits `flip` of word number `place` of the writes are found inverted."""
    _, listing, seeker = last_of(engine, text)
    assert seeker.found is not None
    retired, writes = seeker.found
    data = writes.data.copy()
    data[place] ^= np.uint64(flip)
    order = np.random.default_rng(1).permutation(data.size)
    found = Writes(writes.place[order], data[order], writes.mask[order])
    divergence = Divergence(engine, 0, 7, retired.address, 123, 0, found)
    return OutOfStep(NANO, listing, divergence, seeker.found, REGIONS).lines


MATRIX = "fmt=W8 blocks=2 groups=1"
CASES = {
    "LD.V": (
        Engine.LD, "LD.V type=fp32 addr=0 dst=8 count=9", 3, 1 << 32,
        "element 7", "vector buffer word 9, lane 3", "0x41000000 (8.0)", "0x41000001 (8.000001)",
    ),
    "LD.W": (
        Engine.LD,
        f"LD.W to=MV {MATRIX} addr=3\nMV {MATRIX} src=2 dst=90 rows=1 stride=2", 11, 1,
        "row block 1, from memory beat 8", "weight stream, beat 5 of this LD.W, byte 8",
        "0x00", "0x01",
    ),
    "ST.V": (
        Engine.ST, "ST.V src=0 addr=410 count=7", 1, 1 << 63,
        "element 3", "memory beat 410, byte 12 (kv)", "0x40800000 (4.0)", "0xc0800000 (-4.0)",
    ),
    "ST.KEY": (
        Engine.ST, "ST.KEY src=1 addr=420 heads=2 rows=2 groups=1 stride=r2 position=r1", 5, 255,
        "token 1, head 0, value 0", "memory beat 433, byte 0 (kv)", "0x56", "0xa9",
    ),
    "ST.VALUE": (
        Engine.ST,
        "ST.VALUE src=1 addr=420 heads=2 rows=2 groups=1 stride=r2 position=r1 pitch=r1 scales=r3",
        0, 255 << 40,
        "token 0, head 0, value 0", "memory beat 420, byte 5 (kv)", "0x04", "0xfb",
    ),
    "RMSNORM": (
        Engine.MISC, "RMSNORM dst=40 src=0 gain=8 rows=2 len=30 inv=r4 eps=r4", 17, 1,
        "row 1, element 2", "vector buffer word 48, lane 2",
        "0x42143aee (37.05755)", "0x42143aef (37.057552)",
    ),
    "SOFTMAX": (
        Engine.MISC, "SOFTMAX src=0 rows=2 len=31 step=1 stride=9 scale=20", 18, 1,
        "row 1, element 4", "vector buffer word 10, lane 0",
        "0x2ede12cc (1.009873e-10)", "0x2ede12cd (1.0098731e-10)",
    ),
    "ROPE": (
        Engine.MISC, "ROPE src=0 table=30 rows=2 heads=2 dim=32 stride=20", 33, 1 << 40,
        "token 1, head 0, element 3", "vector buffer word 20, lane 3",
        "0xc5800000 (-4096.0)", "0xc5800100 (-4096.125)",
    ),
    "QUANT values": (
        Engine.MISC, "QUANT src=0 dst=4 slot=1 rows=3 len=70 stride=20", 13, 128,
        "row 1, input 8", "activation buffer group 7, slot 0, value 8", "0x65 (101)", "0xe5 (-27)",
    ),
    "QUANT side": (
        Engine.MISC, "QUANT src=0 dst=4 slot=1 rows=3 len=70 stride=20", 37, 1 << 22,
        "row 0, scale, sum and exponent of group 1", "activation buffer group 5, slot 1, side",
        "0xfe0bf082 (scale 130, sum 3056, exponent -8)",
        "0xfe4bf082 (scale 130, sum 3056, exponent -7)",
    ),
    "QUANTKV": (
        Engine.MISC, "QUANTKV src=0 dst=6 rows=2 heads=1 dim=48 stride=12", 9, 1 << 8,
        "token 1, head 0, value 9", "staging row 7, value 9", "0x4d (77)", "0x4c (76)",
    ),
    "ARGMAX": (
        Engine.MISC, "ARGMAX src=0 count=80 base=3 first=1", 0, 1,
        None, "index found by ARGMAX", "0x00000052 (82)", "0x00000053 (83)",
    ),
    "SMUL": (
        Engine.SYS, "SMUL rd=r9 a=r1 b=r2", 0, 4,
        None, "register r9", "0x000001c2 (450)", "0x000001c6 (454)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_place_is_named(case: tuple) -> None:
    engine, text, place, flip, tile, address, expected, found = case
    lines = said(engine, text, place, flip)
    assert lines["instruction"].startswith(text.splitlines()[0].split()[0])
    assert lines.get("tile") == tile
    assert lines["address"] == address
    assert lines["expected"] == expected
    assert lines["found"] == found
    assert lines["differ"].startswith("1 of ")


def test_the_block() -> None:
    _, listing, seeker = last_of(Engine.ST, "ST.W value=r4 addr=1 skip=0")
    assert seeker.found is not None
    nothing = Writes(*(np.empty(0, np.uint64) for _ in range(3)))
    divergence = Divergence(Engine.ST, 0, 0, seeker.found[0].address, 99, 0, nothing)
    text = str(OutOfStep(NANO, listing, divergence, seeker.found, {}))
    assert text.splitlines() == [
        "test must go in step with the machine model, not diverge:",
        "  unit         none",
        "  instruction  ST.W value=r4 addr=1 skip=0 (address 9)",
        "  operands     value=1015021568 addr=1 skip=0",
        "  address      memory beat 1, byte 0",
        "  expected     0x3c800000 (0.015625)",
        "  found        not written",
        "  differ       1 of 1 elements",
        "  retirement   0 of ST, in cycle 99",
    ]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (8, "QUANTKV src=0 dst=1 rows=2 heads=2 dim=32 stride=16 (address 8)"),
        (4000, "address 4000, outside the program"),
        (None, "the end of the run"),
    ],
)
def test_another_instruction(address: int | None, found: str) -> None:
    _, listing, seeker = last_of(Engine.MISC, "MISC.SYNC")
    nothing = Writes(*(np.empty(0, np.uint64) for _ in range(3)))
    divergence = Divergence(Engine.MISC, 0, 1, address, 99, 0, nothing)
    lines = OutOfStep(NANO, listing, divergence, seeker.found, {}).lines
    assert lines["expected"] == "this instruction"
    assert lines["found"] == found
    lines = OutOfStep(NANO, listing, divergence, None, {}).lines
    assert lines["expected"] == "nothing more"


def test_nothing_differs() -> None:
    columns = (np.arange(3, dtype=np.uint64),) * 3
    assert first_difference(Writes(*columns), Writes(*(item[::-1] for item in columns))) is None
