"""Several channels, several cores: the same memory as the machine model's, which knows neither."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import CORES, NANO, Runs
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import compile_model
from alula.quant import QuantizedModel
from alula.rtl.device import Defect, RtlError, Timing

CHANNELS = NANO.replace({"memory.channels": 2, "part.dsp": 400, "buffers.stream_kib": 16})
PROMPT = [int(token) for token in np.random.default_rng(5).integers(0, 160, 5)]


@pytest.fixture(scope="module", params=[CHANNELS, CORES], ids=["channels", "cores"])
def pair(request: pytest.FixtureRequest) -> Iterator[Runs]:
    both = Runs(request.param, timing=Timing(stalls=40, seed=2))
    yield both
    both.device.close()


@pytest.mark.parametrize("fmt", ["W4", "W8", "V8"])
@pytest.mark.parametrize("engine", ["MV", "MM"])
@pytest.mark.parametrize("outputs", [33, 36])
def test_product(pair: Runs, fmt: str, engine: str, outputs: int) -> None:
    """With 33 outputs the last row block has one row: one core has none of it."""
    rows = 2 if engine == "MV" else 5
    blocks = -(-outputs // pair.design.rows)
    pair.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    pair.write(2000, pack(random_weights(fmt, pair.design, blocks, 3), pair.design))
    pair.listing(
        f"LD.W to={engine} fmt={fmt} addr=2000 blocks={blocks} groups=3\n"
        "LD.V type=fp32 addr=0 dst=0 count=480 signal=MISC\n"
        f"QUANT src=0 dst=4 slot=0 rows={rows} len=96 stride=24 wait=LD signal={engine}\n"
        f"{engine} fmt={fmt} src=4 dst=200 rows={rows} outputs={outputs} groups=3 stride=10"
        f" wait=MISC signal=ST\n"
        f"ST.V src=200 addr=1400 count={rows * 40} wait={engine}"
    )


def test_gather_and_argmax(pair: Runs) -> None:
    pair.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    pair.write(1200, np.array([3, 0, 17, 5, 3, 1, 9, 2, 2], np.uint32))
    pair.listing(
        "LD.G type=bf16 table=8 ids=1200 count=9 len=21 dst=40 signal=ST,MISC\n"
        "ARGMAX src=40 count=200 base=0 first=1 wait=LD signal=SYS\n"
        "ST.V src=40 addr=1210 count=215 wait=LD\n"
        "ARG rd=r9 wait=MISC\nST.W value=r9 addr=1320 skip=5"
    )


@pytest.mark.parametrize("last", ["LD.V type=fp32 addr=64 dst=80 count=300 wait=ST", ""])
def test_bytes_of_many_ports_are_counted_at_the_end(last: str) -> None:
    """The sums of eight ports take two cycles."""
    many = Runs(
        CORES.replace(
            {"memory.channels": 8, "part.dsp": 1500, "part.bram36": 200, "buffers.stream_kib": 64}
        )
    )
    many.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    many.listing(
        "LD.V type=fp32 addr=0 dst=0 count=300 signal=ST\n"
        f"ST.V src=0 addr=1400 count=299 wait=LD signal=LD\n{last}"
    )
    many.device.close()


def test_a_fault_in_one_channel(pair: Runs) -> None:
    pair.device.break_memory(range(30, 31), Defect.SLVERR)
    with pytest.raises(RtlError, match=r"LD at 0 must be given beat 30 by memory, not SLVERR"):
        pair.device.run(program(pair.design, "LD.V type=fp32 addr=3 dst=5 count=1024"), {})
    pair.device.break_memory(range(0), Defect.NONE)
    test_gather_and_argmax(pair)


def test_a_fault_in_the_core_that_is_ahead(pair: Runs) -> None:
    """Each core loads weights in its own time; the instruction that its beat is of is blamed."""
    text = "\n".join(f"LD.W to=MV fmt=V8 addr={100 * i} blocks=1 groups=1" for i in range(16))
    whole = program(pair.design, text)
    for number in range(16):
        beat = 100 * number
        pair.device.break_memory(range(beat, beat + 1), Defect.DECERR)
        message = rf"LD at {number} must be given beat {beat} by memory, not DECERR .* addr={beat} "
        with pytest.raises(RtlError, match=message):
            pair.device.run(whole, {})
    pair.device.break_memory(range(0), Defect.NONE)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_prefill_and_decode(pair: Runs, family: str) -> None:
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES[family])), pair.design, 96)
    pair.prefill_and_decode(build, PROMPT)
