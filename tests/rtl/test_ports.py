"""A channel behind several AXI ports: the same memory, registers and bytes as behind one."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import NANO, Runs
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import compile_model
from alula.quant import QuantizedModel
from alula.rtl.device import Defect, RtlError, Timing

ONE = NANO.replace({"memory.beat_bytes": 64, "part.dsp": 800, "buffers.stream_kib": 32})
"""A row block of eight rows."""
FOUR = ONE.replace(
    {
        "memory.ports": 4,
        "memory.switch": "zynq-ultrascale+",
        "memory.address_bits": 40,
        "memory.windows": [{"address": 3 << 20, "mib": 1}, {"address": 0x8_0000_0000, "mib": 15}],
    }
)
TIMINGS = {
    "dram": Timing(),
    "stalls": Timing(stalls=60, seed=3),
    "fixed": Timing(read_latency=30, stalls=100, seed=5),
}
PROMPT = [int(token) for token in np.random.default_rng(5).integers(0, 160, 5)]


@pytest.fixture(scope="module", params=TIMINGS.values(), ids=list(TIMINGS))
def both(request: pytest.FixtureRequest) -> Iterator[Runs]:
    pair = Runs(FOUR, timing=request.param)
    yield pair
    pair.device.close()


def test_ports_are_no_part_of_a_program() -> None:
    assert FOUR.hash == ONE.hash


@pytest.mark.parametrize(("fmt", "engine"), [("W4", "MV"), ("W8", "MM"), ("V8", "MV")])
def test_product(both: Runs, fmt: str, engine: str) -> None:
    """Weights, vectors and results across the border of the two windows."""
    rows, border = 2 if engine == "MV" else 5, (1 << 20) // 64
    blocks = -(-33 // both.design.rows)
    weights = pack(random_weights(fmt, both.design, blocks, 3), both.design)
    place = border - len(weights) // 64 // 2
    both.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    both.write(place, weights)
    both.listing(
        f"LD.W to={engine} fmt={fmt} addr={place} blocks={blocks} groups=3\n"
        "LD.V type=fp32 addr=0 dst=0 count=480 signal=MISC\n"
        f"QUANT src=0 dst=4 slot=0 rows={rows} len=96 stride=24 wait=LD signal={engine}\n"
        f"{engine} fmt={fmt} src=4 dst=200 rows={rows} outputs=33 groups=3 stride=10"
        f" wait=MISC signal=ST\n"
        f"ST.V src=200 addr={border - 1} count={rows * 40} wait={engine}"
    )


def test_gather_and_argmax(both: Runs) -> None:
    both.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    both.write(1200, np.array([3, 0, 17, 5, 3, 1, 9, 2, 2], np.uint32))
    both.listing(
        "LD.G type=bf16 table=8 ids=1200 count=9 len=21 dst=40 signal=ST,MISC\n"
        "ARGMAX src=40 count=200 base=0 first=1 wait=LD signal=SYS\n"
        "ST.V src=40 addr=1210 count=215 wait=LD\n"
        "ARG rd=r9 wait=MISC\nST.W value=r9 addr=1320 skip=5"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LD.V type=fp32 addr={} dst=5 count=500", "LD at 0 must be given beat {} by memory, not"),
        (
            "ST.V src=0 addr={} count=500",
            "ST at 0 must have memory accept the burst at beat {}, not",
        ),
    ],
    ids=["read", "write"],
)
def test_a_refused_beat_is_named(both: Runs, text: str, message: str) -> None:
    """The run behind it is whole again."""
    border = (1 << 20) // 64
    both.device.break_memory(range(border, border + 1), Defect.SLVERR)
    with pytest.raises(RtlError, match=message.format(border)):
        both.device.run(program(both.design, text.format(border - 3)), {})
    both.device.break_memory(range(0), Defect.NONE)
    both.write(border - 3, np.zeros(2048, np.uint8))
    test_gather_and_argmax(both)


def test_memory_that_never_answers(both: Runs) -> None:
    """A reset ends what ports owe; they count anew from then on."""
    both.device.patience = 3000
    both.device.break_memory(range(1300, 1301), Defect.SILENT)
    with pytest.raises(RtlError, match="makes no progress"):
        both.device.run(program(both.design, "LD.V type=fp32 addr=1200 dst=5 count=4000"), {})
    both.device.break_memory(range(0), Defect.NONE)
    test_gather_and_argmax(both)


def test_prefill_and_decode(both: Runs) -> None:
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES["llama"])), both.design, 96)
    both.prefill_and_decode(build, PROMPT)
