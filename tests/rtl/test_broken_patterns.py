"""What only patterns need, broken on purpose: lock step names the product, and where it differs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Value
from tests.model.layout import pack, random_weights
from tests.rtl.programs import SPARSE, Pair
from tests.rtl.test_broken import broken

from alula.gateware.matrix.chain import cuts_of
from alula.gateware.matrix.sparse import sums as mpe_sparse
from alula.gateware.matrix.sparse.accumulator import SparseAccumulatorControl, slot_scales
from alula.isa.formats import PATTERNS
from alula.rtl import device
from alula.rtl.report import OutOfStep


def uncut(parts: int) -> int:
    """`cuts_of` that forgets a cut of 2:16."""
    return cuts_of(parts) & ~(2 if parts == 8 else 0)


def unsigned_above(m: Module, control: SparseAccumulatorControl, metas: list[Value]) -> Any:
    """`slot_scales` that loses the sign of the upper half's scales."""
    return Cat(slot_scales(m, control, metas)[:-1], 0)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Both faults in one build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpe_sparse, "cuts_of", uncut)
        patch.setattr(mpe_sparse, "slot_scales", unsigned_above)
        patch.setattr(device, "emitted_top", broken)
        both = Pair(design=SPARSE)
        both.write(0, np.random.default_rng(1).standard_normal(256).astype(np.float32))
        yield both
        both.close()


def product(pair: Pair, nm: str) -> None:
    outputs = 2 * PATTERNS[nm].segments * SPARSE.rows
    pair.write(2000, pack(random_weights("W4", SPARSE, 2, 2, nm=nm), SPARSE))
    pair.listing(
        f"LD.W to=MV fmt=W4 nm={nm} addr=2000 blocks=2 groups=2\n"
        "LD.V type=fp32 addr=0 dst=0 count=64 signal=MISC\n"
        "QUANT src=0 dst=0 slot=0 rows=1 len=64 stride=0 wait=LD signal=MV\n"
        f"MV fmt=W4 nm={nm} src=0 dst=200 rows=1 outputs={outputs} groups=2 stride=8 wait=MISC"
    )


@pytest.mark.slow
def test_a_cut_that_is_missing(pair: Pair) -> None:
    """The third row of a chain has the second's products too; the first two are as they were."""
    with pytest.raises(OutOfStep) as caught:
        product(pair, "2:16")
    lines = caught.value.lines
    assert lines["instruction"].startswith("MV fmt=W4 nm=2:16 ")
    assert lines["tile"] == f"row 0, output {2 * SPARSE.rows} (row block 0)"


@pytest.mark.slow
def test_a_sign_that_is_lost(pair: Pair) -> None:
    """A scale of the second part that is negative counts 256 too much; the first part is right."""
    with pytest.raises(OutOfStep) as caught:
        product(pair, "8:16")
    lines = caught.value.lines
    assert lines["instruction"].startswith("MV fmt=W4 nm=8:16 ")
    row = int(lines["tile"].split()[3])
    assert row // SPARSE.rows % 2 == 1
