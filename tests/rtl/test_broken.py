"""Gateware that is broken on purpose: lock step names the instruction that shows it first."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pywellen
from amaranth.hdl import Module, Value
from tests.model.bench import program
from tests.rtl.programs import NANO
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import compile_model
from alula.design import Design
from alula.gateware.arithmetic import float_multiply
from alula.gateware.hdl.repeat import emit, ports
from alula.gateware.memory.store import Store
from alula.gateware.top.top import Top
from alula.isa import RunInputs
from alula.quant import QuantizedModel
from alula.rtl import device
from alula.rtl.device import Timing
from alula.rtl.emission import Emission
from alula.rtl.lockstep_device import LockstepDevice
from alula.rtl.report import OutOfStep

SCALE = 0b11
"""Strobes of a row's scale in the first bytes of a beat."""


def ties_up(half: Value, below: Value, odd: Value) -> Value:
    """`ties_to_even` that rounds a tie up in magnitude."""
    return half


def half_a_scale(original: Any) -> Any:
    """`Store.elaborate` that forgets a byte of the scales that lie at the start of a beat."""

    def elaborate(self: Store, platform: object) -> Module:
        m = original(self, platform)
        for number, port in enumerate(self.axi):
            with m.If(m.submodules.master.axi[number].wstrb == SCALE):
                m.d.comb += port.wstrb.eq(SCALE >> 1)
        return m

    return elaborate


def broken(design: Design) -> Emission:
    """`emitted_top`, of what the gateware is now."""
    top = Top(design=design)
    widths = {"clk": 1, "rst": 1}
    widths |= {name: len(value) for name, (value, _) in ports(top).items()}
    return Emission(emit(top, "top"), widths)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockstepDevice]:
    """Both faults in one build, and in one more for waves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(float_multiply, "ties_to_even", ties_up)
        patch.setattr(Store, "elaborate", half_a_scale(Store.elaborate))
        patch.setattr(device, "emitted_top", broken)
        waves = tmp_path_factory.mktemp("waves") / "lockstep.fst"
        both = LockstepDevice(NANO, timing=Timing(stalls=20, seed=3), waves=waves)
        yield both
        both.close()


@pytest.mark.slow
def test_a_byte_that_is_not_stored(pair: LockstepDevice) -> None:
    listing = program(
        NANO,
        "LI rd=r1 value=40\nLOOP count=2 body=1\n"
        "ST.KEY src=3 addr=900 heads=2 rows=1 groups=1 stride=r1 position=r2\nEND",
        constants={2: 8},
        origins=("", "", "layers.{layer}.attn.k", ""),
        layer_loops={1: 0},
    )
    pair.write(900, np.full(100 * NANO.bytes_per_cycle, 0x55, np.uint8))
    with pytest.raises(OutOfStep) as caught:
        pair.run(listing, {})
    lines = caught.value.lines
    assert lines["unit"] == "layers.0.attn.k"
    assert lines["instruction"].startswith("ST.KEY src=3 addr=900")
    assert lines["tile"] == "token 0, head 0, scale"
    assert lines["address"] == "memory beat 917, byte 1"
    assert (lines["expected"], lines["found"]) == ("0x00", "not written")
    assert lines["differ"] == "2 of 68 elements"
    assert lines["retirement"].startswith("0 of ST, in cycle ")
    waves = pywellen.Waveform(lines["waves"])
    signals = {variable.name: variable.signal for variable in waves.all_vars()}
    assert {"clk", "running", "oldest__1", "axi__0__wstrb"} <= set(signals)
    # From the run's first cycle to that of the divergence, two steps each.
    assert signals["clk"][0][0] == 0
    assert signals["clk"][-1][0] == 2 * caught.value.divergence.cycle + 1


@pytest.mark.slow
def test_a_product_rounded_the_other_way(pair: LockstepDevice) -> None:
    """In a decode: a step of the last bit, in the first layer, and both are left as they were."""
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES["llama"])), NANO, 96)
    pair.load(build.image)
    pair.write(build.image.regions["ids"].start, np.array([7], np.uint32))
    layers = build.architecture.layers
    inputs = RunInputs(position=0, tokens=1, layers=layers, logits=True, hidden_out=True)
    before = pair.device.memory.copy()
    for _ in range(2):
        with pytest.raises(OutOfStep) as caught:
            pair.run(build.decode, inputs.registers())
        error = caught.value
        assert error.expected is not None
        assert error.difference is not None
        assert error.expected.op.name in {"RMSNORM", "SOFTMAX", "ROPE", "ACT", "MM", "MV"}
        assert error.lines["unit"].startswith("layers.0.")
        expected, found = (
            int.from_bytes(raw or b"", "little")
            for raw in (error.difference.expected, error.difference.found)
        )
        # A tie that is broken upwards is one step larger than the even neighbour below.
        assert found == expected + 1
        assert expected % 2 == 0
        # Both are as they were, so the next run finds the same.
        assert np.array_equal(pair.device.memory, before)
        assert np.array_equal(pair.machine.state.memory.bytes, before)
