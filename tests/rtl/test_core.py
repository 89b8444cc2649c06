from collections.abc import Iterator

import numpy as np
import pytest
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import NANO, Pair

from alula.isa import FORMATS
from alula.rtl.checked import MemoryMismatch
from alula.rtl.device import RtlError, Timing

MEMORIES = {
    "dram": Timing(),
    "stalls": Timing(stalls=60, seed=1),
    "fixed": Timing(read_latency=20),
}


@pytest.fixture(scope="module", params=MEMORIES.values(), ids=MEMORIES)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    both = Pair(timing=request.param)
    both.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    yield both
    both.device.close()


def test_end(pair: Pair) -> None:
    assert pair.listing("END").cycles < 100


@pytest.mark.parametrize("count", [1, 4, 30, 256])
def test_round_trip(pair: Pair, count: int) -> None:
    pair.listing(
        f"LD.V type=fp32 addr=3 dst=5 count={count} signal=ST\n"
        f"ST.V src=5 addr=1000 count={count} wait=LD"
    )


def test_word_and_registers(pair: Pair) -> None:
    pair.listing(
        "LI rd=r2 value=7\nLI rd=r3 value=3\nLOOP count=r3 body=3\nSMUL rd=r2 a=r2 b=r3\n"
        "SADD rd=r4 a=r4 b=r0+1\nST.W value=r2 addr=r4+1100 skip=1\nSDIV rd=r5 a=r2 b=r3\n"
        "ST.W value=r5 addr=1110 skip=0"
    )


def test_gather(pair: Pair) -> None:
    pair.write(1200, np.array([3, 0, 17, 5, 3, 1], np.uint32))
    pair.listing(
        "LD.G type=bf16 table=8 ids=1200 count=6 len=21 dst=40 signal=ST\n"
        "ST.V src=40 addr=1210 count=144 wait=LD"
    )


@pytest.mark.parametrize(
    "text",
    [
        "ADD a=0 b=16 dst=32 rows=1 words=16 broadcast=0",
        "ACT func=silu gated=1 a=0 b=16 dst=32 count=16",
        "RMSNORM src=0 dst=32 gain=16 rows=1 len=64 inv=r1 eps=r2",
        "ARGMAX src=0 count=64 base=0 first=1",
    ],
    ids=lambda text: text.split()[0],
)
def test_misc(pair: Pair, text: str) -> None:
    pair.listing(
        "LD.V type=fp32 addr=0 dst=0 count=128 signal=MISC\n"
        f"{text} wait=LD\nMISC.SYNC signal=ST,SYS\n"
        "ST.V src=32 addr=1300 count=64 wait=MISC\n"
        "ARG rd=r9 wait=MISC\nST.W value=r9 addr=1320 skip=0",
        r1=0x3C800000,
        r2=0x3727C5AC,
    )


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("engine", ["MV", "MM"])
def test_product(pair: Pair, fmt: str, engine: str) -> None:
    blocks, groups, rows = 9, 3, 2 if engine == "MV" else 5
    pair.write(2000, pack(random_weights(fmt, NANO, blocks, groups), NANO))
    pair.listing(
        f"LD.W to={engine} fmt={fmt} addr=2000 blocks={blocks} groups={groups}\n"
        "LD.V type=fp32 addr=0 dst=0 count=480 signal=MISC\n"
        f"QUANT src=0 dst=4 slot=0 rows={rows} len=96 stride=24 wait=LD signal={engine}\n"
        f"{engine} fmt={fmt} src=4 dst=200 rows={rows} blocks={blocks} groups={groups} stride=5"
        f" wait=MISC signal=ST\n"
        f"ST.V src=200 addr=1400 count={rows * 20} wait={engine}"
    )


def test_who_waits_is_told(pair: Pair) -> None:
    pair.device.patience = 500
    with pytest.raises(RtlError, match=r"makes no progress after .*ST at 0 waits for a token"):
        pair.device.run(program(NANO, "ST.SYNC wait=LD"), {})
    pair.device.patience = 50_000
    pair.listing("END")


def test_a_difference_is_placed(pair: Pair) -> None:
    words = r"^memory after test must be .* in 1 bytes, the first at beat 40, byte 3: must be "
    pair.device.memory[16 * 40 + 3] ^= 1
    with pytest.raises(MemoryMismatch, match=words):
        pair.listing("END")
    pair.device.memory[16 * 40 + 3] ^= 1
    pair.listing("END")


def test_a_run_is_watched_and_may_be_broken_off(pair: Pair) -> None:
    text = "LOOP count=1000 body=1\nLD.V type=fp32 addr=0 dst=0 count=256"
    told: list[int] = []

    def stop(cycles: int) -> None:
        told.append(cycles)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pair.device.run(program(NANO, text), {}, stop)
    assert told == [20_000, 40_000]
    pair.device.limit = 1000
    with pytest.raises(RtlError, match=r"^test is at its limit after 1000 cycles: .*LD at 1"):
        pair.device.run(program(NANO, text), {})
    pair.device.limit = 0
    assert pair.listing(text).cycles > 40_000
