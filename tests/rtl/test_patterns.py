"""Weights with N:M patterns, and products of chosen row blocks, against the machine model."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.model.bench import read_bytes
from tests.model.layout import pack, random_weights
from tests.rtl.programs import SPARSE, Pair

from alula.isa import WEIGHT_FORMATS
from alula.isa.formats import FORMATS, PATTERNS, BeatKind
from alula.rtl.device import Outcome, Timing

EACH = [(fmt, nm) for fmt, nm in WEIGHT_FORMATS if nm != "dense"]


@pytest.fixture(scope="module", params=[0, 60], ids=["smooth", "stalls"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    both = Pair(Timing(stalls=request.param, seed=1), SPARSE)
    both.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    yield both
    both.device.close()


@pytest.mark.parametrize(("fmt", "nm"), [*EACH, ("W4", "dense"), ("W8", "dense")])
@pytest.mark.parametrize("engine", ["MV", "MM"])
def test_product(pair: Pair, fmt: str, nm: str, engine: str) -> None:
    parts = PATTERNS[nm].segments
    blocks, groups, rows = 3 if parts > 2 else 5, 3, 2 if engine == "MV" else 5
    outputs = blocks * parts * SPARSE.rows - 1
    stride = -(-outputs // SPARSE.sfu.lanes) + 1
    pair.write(2000, pack(random_weights(fmt, SPARSE, blocks, groups, nm=nm), SPARSE))
    pair.listing(
        f"LD.W to={engine} fmt={fmt} nm={nm} addr=2000 blocks={blocks} groups={groups}\n"
        "LD.V type=fp32 addr=0 dst=0 count=480 signal=MISC\n"
        f"QUANT src=0 dst=4 slot=0 rows={rows} len=96 stride=24 wait=LD signal={engine}\n"
        f"{engine} fmt={fmt} nm={nm} src=4 dst=200 rows={rows} outputs={outputs} groups={groups}"
        f" stride={stride} wait=MISC signal=ST\n"
        f"ST.V src=200 addr=1400 count={rows * stride * SPARSE.sfu.lanes} wait={engine}"
    )


def test_patterns_follow_each_other(pair: Pair) -> None:
    """Formats change from product to product, none waiting for the one before."""
    names = [("W4", "2:16"), ("W4", "dense"), ("W2", "4:16"), ("W8", "2:4"), ("W3", "2:16")]
    loads, products, address = "", "", 2000
    for number, (fmt, nm) in enumerate(names):
        outputs = 2 * PATTERNS[nm].segments * SPARSE.rows
        beats = pack(random_weights(fmt, SPARSE, 2, 2, seed=number, nm=nm), SPARSE)
        pair.write(address, beats)
        loads += f"LD.W to=MV fmt={fmt} nm={nm} addr={address} blocks=2 groups=2\n"
        products += (
            f"MV fmt={fmt} nm={nm} src=4 dst={200 + 20 * number} rows=2 outputs={outputs} groups=2"
            " stride=10\n"
        )
        address += len(beats)
    pair.listing(
        "LD.V type=fp32 addr=0 dst=0 count=128 signal=MISC\n"
        "QUANT src=0 dst=4 slot=0 rows=2 len=64 stride=16 wait=LD signal=MV\n"
        f"{loads}MV.SYNC wait=MISC\n{products}MV.SYNC signal=ST\n"
        "ST.V src=200 addr=1400 count=400 wait=MV"
    )


def test_indices_that_fill_their_half_of_the_stream(pair: Pair) -> None:
    """MM shows a row block for two passes, so all of it is held."""
    item, groups = WEIGHT_FORMATS["W2", "8:16"], SPARSE.stream_beats // 4
    assert item.count(BeatKind.INDEX, 1, groups) == SPARSE.stream_beats // 2
    pair.write(2000, pack(random_weights("W2", SPARSE, 3, groups, nm="8:16"), SPARSE))
    shape = f"fmt=W2 nm=8:16 groups={groups}"
    # Rows overlap in the vector buffer, which has no room for three of them.
    length, outputs = 32 * groups, 3 * 2 * SPARSE.rows
    pair.listing(
        "LD.V type=fp32 addr=0 dst=0 count=2048\n"
        "LD.V type=fp32 addr=0 dst=512 count=2048 signal=MISC\n"
        f"LD.W to=MM {shape} addr=2000 blocks=3\n"
        f"QUANT src=0 dst=0 slot=0 rows=3 len={length} stride=13 wait=LD signal=MM\n"
        f"MM {shape} src=0 dst=2000 rows=3 outputs={outputs} stride=3 wait=MISC signal=ST\n"
        "ST.V src=2000 addr=1400 count=36 wait=MM"
    )


def test_scores_of_chosen_blocks_only(pair: Pair) -> None:
    """Block-skipped SDDMM: scores of every other 64 positions, at the cost of half of them.

    K is a W8 matrix whose rows are positions; LD.W begins at the scale beat of a block's first row
    block, which is a fourth, and MV puts the scores where the whole product would.
    """
    groups, positions, block = 2, 256, 64
    rows, lanes = SPARSE.rows, SPARSE.sfu.lanes
    keys = pack(random_weights("W8", SPARSE, positions // rows, groups), SPARSE)
    pair.write(2000, keys)
    query = (
        f"LD.V type=fp32 addr=0 dst=0 count={32 * groups} signal=MISC\n"
        f"QUANT src=0 dst=4 slot=0 rows=1 len={32 * groups} stride=16 wait=LD signal=MV\n"
        "MV.SYNC wait=MISC\n"
    )

    def scores(chosen: list[int]) -> str:
        text = ""
        for first in (64 * number for number in chosen):
            beat, _ = FORMATS["W8"].start(BeatKind.SCALE, first // rows, 0, groups)
            shape = f"fmt=W8 groups={groups}"
            text += f"LD.W to=MV addr={2000 + beat} blocks={block // rows} {shape}\n"
            text += (
                f"MV {shape} src=4 outputs={block} rows=1 dst={200 + first // lanes} stride=16\n"
            )
        return text

    def run(chosen: list[int]) -> tuple[Outcome, np.ndarray]:
        pair.write(1400, np.zeros(positions, np.float32))
        store = f"MV.SYNC signal=ST\nST.V src=200 addr=1400 count={positions} wait=MV"
        clear = f"LD.V type=fp32 addr=1400 dst=200 count={positions} signal=MV\nMV.SYNC wait=LD\n"
        outcome = pair.listing(clear + query + scores(chosen) + store)
        return outcome, read_bytes(pair.machine, 1400, 4 * positions).view(np.float32)

    nothing, _ = run([])
    whole, every = run([0, 1, 2, 3])
    half, some = run([1, 3])
    kept = np.arange(positions) // block % 2 == 1
    assert (some[kept] == every[kept]).all()
    assert not some[~kept].any()
    assert every.all()
    assert 2 * (half.bytes_read - nothing.bytes_read) == whole.bytes_read - nothing.bytes_read
    # Two blocks fewer take their multiplications less, of 16 inputs a cycle.
    skipped = 2 * block // rows * 2 * groups
    assert whole.counters["mv.busy"] - half.counters["mv.busy"] == skipped
