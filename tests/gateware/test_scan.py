"""A component behind scan registers does what it does without them."""

from random import Random

import pytest

from alula.gateware.arithmetic.float_multiply import LATENCY, FloatMultiply
from alula.gateware.hdl.repeat import emit, ports
from alula.gateware.hdl.scan import Scan
from alula.rtl import simulate


def test_shifted_in_and_out(monkeypatch: pytest.MonkeyPatch) -> None:
    component = FloatMultiply()
    sizes = {"input": 0, "output": 0}
    places = {}
    for name, (value, way) in ports(component).items():
        places[name] = (sizes[way], len(value))
        sizes[way] += len(value)
    random = Random(5)
    operands = {"valid": 1, "a": random.randrange(1 << 30), "b": random.randrange(1 << 30)}
    with simulate(component) as plain:
        plain.reset()
        for name, value in operands.items():
            plain.set(name, value)
        plain.step(LATENCY)
        expected = {name: plain.get(name) for name in ("result_valid", "result")}
    # A component is no value that a module could be named after.
    monkeypatch.setattr("alula.rtl.simulation.emit", lambda top: emit(top, "scan"))
    with simulate(Scan(component=component)) as scan:
        scan.reset()
        pattern = sum(value << places[name][0] for name, value in operands.items())
        for bit in reversed(range(sizes["input"])):
            scan.set("scan_in", pattern >> bit & 1)
            scan.step()
        # The next bits shift the operands on, so only the first cycle has them whole.
        scan.step(LATENCY)
        scan.set("capture", 1)
        scan.step()
        scan.set("capture", 0)
        taken = 0
        for bit in range(sizes["output"]):
            taken |= scan.get("scan_out") << bit
            scan.step()
    found = {name: taken >> places[name][0] & (1 << places[name][1]) - 1 for name in expected}
    assert found == expected
