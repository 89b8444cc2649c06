"""A component behind scan registers does what it does without them."""

from random import Random

import pytest

from alula.gateware.arithmetic.float_multiply import LATENCY, FloatMultiply
from alula.gateware.hdl.repeat import emit, ports
from alula.gateware.hdl.scan import Scan
from alula.rtl import simulate

CYCLES = 400


def test_shifted_in_and_out(monkeypatch: pytest.MonkeyPatch) -> None:
    component = FloatMultiply()
    inputs: dict[str, tuple[int, int]] = {}
    outputs: dict[str, tuple[int, int]] = {}
    for name, (value, way) in ports(component).items():
        found = inputs if way == "input" else outputs
        found[name] = (sum(width for _, width in found.values()), len(value))
    random = Random(5)
    bits = [random.getrandbits(1) for _ in range(CYCLES)]
    expected, given, taken = [], 0, 0
    size = sum(width for _, width in inputs.values())
    with simulate(component) as plain:
        plain.reset()
        for bit in bits:
            for name, (place, width) in inputs.items():
                plain.set(name, given >> place & (1 << width) - 1)
            taken >>= 1
            for name, (place, _) in outputs.items():
                taken ^= plain.get(name) << place
            plain.step()
            given = (given << 1 | bit) & (1 << size) - 1
            expected.append(taken & 1)
    # A component is no value that a module could be named after.
    monkeypatch.setattr("alula.rtl.simulation.emit", lambda top: emit(top, "scan"))
    with simulate(Scan(component=component)) as scan:
        scan.reset()
        seen = []
        for bit in bits:
            scan.set("scan_in", bit)
            scan.step()
            seen.append(scan.get("scan_out"))
    # What was there in the first cycles has been shifted out by then.
    settled = sum(width for _, width in outputs.values()) + 2 * LATENCY
    assert seen[settled:] == expected[settled:]
    assert 0 < sum(seen[settled:]) < len(seen[settled:])
