"""The Verilog of a design: of its hardware, kept and checked."""

import pytest

from alula.design import load_design
from alula.gateware.hdl.repeat import emit
from alula.gateware.top.top import Top
from alula.rtl import BuildOptions, device, emission
from alula.rtl.toolchain import toolchain

NANO = load_design("nano")
SLOW = NANO.replace(
    {"clock_mhz": 33, "name": "slow", "part.name": "a board", "part.ff": 90_000, "memory.dram": {}}
)


def test_the_clock_is_no_part_of_the_hardware() -> None:
    """Nor are the name, the part and the DRAM: the texts are the same, module names included."""
    assert SLOW.hash == NANO.hash
    assert emit(Top(design=SLOW), "top") == emission.emitted_top(NANO).modules


def test_ports_are_kept_apart(cache) -> None:
    """The hash leaves them out, what is kept does not."""
    wide = NANO.replace({"memory.beat_bytes": 32, "part.dsp": 400, "buffers.stream_kib": 16})
    ports = wide.replace({"memory.ports": 2})
    assert wide.hash == ports.hash
    one, two = (emission.emitted_top(design).widths for design in (wide, ports))
    assert [widths["read__0__rdata"] for widths in (one, two)] == [256, 128]


def test_kept_once_for_all_clocks(cache, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    first = emission.emitted_top(NANO)
    (place,) = (cache / "emission").iterdir()
    text = (place / "top.json").read_text()
    (place / "top.json").write_text(text.replace("endmodule", "endmodul", 1))
    assert emission.emitted_top(NANO) == first
    (record,) = caplog.records
    assert "was damaged (top.json is not what was written)" in record.getMessage()
    monkeypatch.setattr("alula.gateware.hdl.repeat.emit", None)
    assert emission.emitted_top(SLOW) == first
    assert list((cache / "emission").iterdir()) == [place]


def test_one_simulator_for_all_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DRAM's timing, which the clock enters, is given to a simulator when it starts."""
    keys: list[str] = []

    class Asked(Exception):
        pass

    def asked(modules: dict[str, str], top: str, options: BuildOptions, progress: object) -> None:
        keys.append(options.key({"": top, **modules}, toolchain()))
        raise Asked

    monkeypatch.setattr(device, "verilate", asked)
    for design in (NANO, SLOW):
        with pytest.raises(Asked):
            device.RtlDevice(design)
    assert len(set(keys)) == 1
