"""Waves of a window of cycles, read back by a reader that is not Verilator's."""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pywellen
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, Out
from tests.model.bench import program
from tests.rtl.programs import NANO

import alula.rtl
from alula.gateware.hdl.repeat import emit
from alula.rtl import BuildOptions, verilate
from alula.rtl.device import RtlDevice, Waves

SLOW, WIDE = 500, 600
"""Cycles of a step of `slow`, bits of `wide`."""


class Counters(Component):
    """What changes in each cycle, seldom, never, and is wide."""

    def __init__(self) -> None:
        widths = {"fast": 16, "slow": 16, "wide": WIDE, "still": 8}
        pair = data.StructLayout({"low": 4, "high": data.ArrayLayout(6, 2)})
        super().__init__({name: Out(width) for name, width in widths.items()} | {"pair": Out(pair)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.fast.eq(self.fast + 1)
        step = Signal(range(SLOW))
        m.d.sync += step.eq(step + 1)
        with m.If(step == SLOW - 1):
            m.d.sync += [step.eq(0), self.slow.eq(self.slow + 1)]
        m.d.comb += self.pair.as_value().eq(self.fast)
        m.d.comb += [self.wide.eq(Const(1, WIDE) << self.fast[:9]), self.still.eq(0x5A)]
        return m


@cache
def library() -> ctypes.CDLL:
    folder = Path(alula.rtl.__file__).parent
    places = (folder / "harness.h", folder / "waves.h", Path(__file__).with_name("waves.cpp"))
    texts = {place.name: place.read_text() for place in places}
    modules = emit(Counters())
    options = BuildOptions(texts=texts, shared=True, trace=True)
    found = ctypes.CDLL(str(verilate(modules, next(iter(modules)), options)))
    found.run.argtypes = [ctypes.c_char_p, *[ctypes.c_uint64] * 3]
    return found


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (7, 2100), (1990, 2000), (1990, 5000)])
def test_a_window_holds_every_value(tmp_path: Path, start: int, stop: int) -> None:
    path = tmp_path / "waves.fst"
    library().run(bytes(path), 2500, start, stop)
    waves = pywellen.Waveform(str(path))
    signals = {variable.name: variable.signal for variable in waves.all_vars()}
    fields = {one.full_name.partition(".")[2]: one.signal for one in waves.all_vars()}
    last = min(stop, 2500) - 1
    assert signals["clk"][0] == (2 * start, 0)
    assert signals["clk"][-1] == (2 * last + 1, 1)
    for cycle in range(start, last + 1):
        # Behind the edge stands what the next cycle begins with.
        for time, fast in ((2 * cycle, cycle), (2 * cycle + 1, cycle + 1)):
            assert signals["fast"].value_at(time) == fast
            assert signals["slow"].value_at(time) == fast // SLOW
            assert signals["wide"].value_at(time) == 1 << fast % 512
            assert signals["still"].value_at(time) == 0x5A
            assert fields["pair.low"].value_at(time) == fast % 16
            assert fields["pair.high.[1]"].value_at(time) == fast >> 10


def test_no_cycle_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "waves.fst"
    library().run(bytes(path), 10, 20, 30)
    assert not path.exists()


@pytest.mark.slow
def test_a_device_writes_the_waves_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "waves.fst"
    device = RtlDevice(NANO, waves=Waves(path, 50, 5000))
    device.write(3, np.arange(64, dtype=np.float32))
    copy = "LD.V type=fp32 addr=3 dst=5 count=64 signal=ST\nST.V src=5 addr=99 count=64 wait=LD"
    device.run(program(NANO, copy), {})
    device.close()
    waves = pywellen.Waveform(str(path))
    ports = {variable.full_name: variable.signal for variable in waves.all_vars()}
    valid, data = (ports[f"top.write__0__{name}"] for name in ("wvalid", "wdata"))
    ready = ports["top.write__0__wready"]
    last = ports["top.clk"][-1][0]
    assert ports["top.clk"][0][0] == 100
    seen = [
        data.value_at(time)
        for time in range(100, last, 2)
        if valid.value_at(time) and ready.value_at(time)
    ]
    stored = np.array([list(beat.to_bytes(16, "little")) for beat in seen], np.uint8)
    assert np.array_equal(stored.view(np.float32).ravel(), np.arange(64, dtype=np.float32))


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (-1, 5), (0, 1 << 64)])
def test_a_window_is_of_cycles(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="a window must be of cycles"):
        Waves(Path("waves.fst"), start, stop)
