"""One core of two, broken on purpose: lock step names it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import CORES
from tests.rtl.test_broken import broken

from alula.gateware.matrix.engine import Mpe
from alula.rtl import device
from alula.rtl.device import Timing
from alula.rtl.lockstep_device import LockstepDevice
from alula.rtl.report import OutOfStep


def stuck(original: Any) -> Any:
    """`Mpe.elaborate` whose lowest bit of the third result of each word is stuck, in core 1."""

    def elaborate(self: Mpe, platform: object) -> Module:
        m = original(self, platform)
        with m.If(self.first == self.sizes.rows):
            m.d.comb += self.write.payload.data[2][0].eq(1)
        return m

    return elaborate


@pytest.mark.slow
def test_a_bit_that_is_stuck_in_the_second_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs 2 and 3 of each four are core 1's."""
    monkeypatch.setattr(Mpe, "elaborate", stuck(Mpe.elaborate))
    monkeypatch.setattr(device, "emitted_top", broken)
    both = LockstepDevice(CORES, timing=Timing(stalls=20, seed=3), waves=tmp_path / "core.fst")
    both.write(0, np.random.default_rng(1).standard_normal(512).astype(np.float32))
    both.write(100, pack(random_weights("W8", CORES, 5, 2), CORES))
    listing = program(
        CORES,
        "LD.W to=MV fmt=W8 addr=100 blocks=5 groups=2\n"
        "LD.V type=fp32 addr=0 dst=0 count=64 signal=MISC\n"
        "QUANT src=0 dst=4 slot=0 rows=1 len=64 stride=0 wait=LD signal=MV\n"
        "MV fmt=W8 src=4 dst=200 rows=1 outputs=20 groups=2 stride=0 wait=MISC",
        origins=(),
    )
    with pytest.raises(OutOfStep) as caught:
        both.run(listing, {})
    both.close()
    lines = caught.value.lines
    assert lines["instruction"].startswith("MV ")
    assert lines["core"] == "1 of 2"
    place = re.fullmatch(r"vector buffer word (\d+), lane 2", lines["address"])
    assert place is not None
    word = int(place[1])
    assert lines["tile"] == f"row 0, output {4 * (word - 200) + 2} (row block {word - 200})"
    expected, found = (int(lines[name].split()[0], 16) for name in ("expected", "found"))
    assert found == expected + 1
    assert expected % 2 == 0
    assert re.fullmatch(r"[1-5] of 10 elements", lines["differ"])
    assert Path(lines["waves"]).is_file()
