"""How deep the logic before kv260's memory ports is, and that registers stand at all of them."""

from collections import Counter
from collections.abc import Callable

import pytest
from amaranth.lib.wiring import Component

from alula.design import load_design
from alula.design.memory import MIB
from alula.gateware.hdl.repeat import emitted
from alula.gateware.memory.read_ports import ReadPorts
from alula.gateware.memory.write_port import WritePort
from alula.synth import SynthError, yosys
from alula.synth.netlists import netlists
from alula.timing import Module, Netlist, analyse, through

DESIGN = load_design("kv260")
MEMORY = DESIGN.memory
SHAPE = {
    "beat_bytes": MEMORY.beat_bytes,
    "address_bits": 32,
    "chip_bits": MEMORY.chip_bits,
    "windows": [(window.address, window.mib * MIB) for window in MEMORY.windows],
}
BLOCKS = sum(bank.brams for bank in DESIGN.banks if bank.buffer == "ports") / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "levels", "blocks"),
    [
        (lambda: ReadPorts(ports=MEMORY.ports, **SHAPE), 5, BLOCKS),
        (lambda: WritePort(parts=MEMORY.ports, **SHAPE), 2, 0),
    ],
    ids=["read", "write"],
)
def test_logic_is_shallow(make: Callable[[], Component], levels: int, blocks: int) -> None:
    try:
        tool = yosys()
    except SynthError as error:
        pytest.skip(str(error))
    family = DESIGN.family
    modules = emitted(make(), "unit", family.multiplier).modules
    (text,) = netlists(modules, family.synthesis, tool).values()
    uses = family.use_of(Counter(cell["type"] for cell in text["cells"].values()))
    assert uses.bram36 == blocks
    netlist = Netlist({"unit": Module("unit", text, family.delays, frozenset(), {})}, "unit")
    assert list(through(netlist)) == []
    found = analyse(netlist, 1000 / DESIGN.clock_mhz, family.nets["typical"], 1)
    assert (found.endpoints_over, found.levels <= levels) == (0, True)
