"""What designs declare is what Yosys finds in their Verilog."""

import pytest

from alula.design import load_design
from alula.gateware.hdl.repeat import emit
from alula.gateware.matrix.chain import Chain
from alula.synth.netlists import cells_of, netlists
from alula.synth.tools import SynthError, Tool, yosys
from alula.synth.verilog import instances, verilog

pytestmark = [pytest.mark.rtl, pytest.mark.slow]

# As far as multipliers are in DSP blocks.
_XILINX = "synth_xilinx -family xcup -flatten -run begin:map_memory"
SCRIPTS = {
    "kv260": _XILINX,
    "u280": _XILINX,
    "vhk158": _XILINX,
    "tiny": "synth_ecp5 -run begin:map_ram",
}


@pytest.fixture(scope="module")
def tool() -> Tool:
    try:
        return yosys()
    except SynthError as error:
        pytest.skip(str(error))


def dsps(modules: dict[str, str], block: str, script: str, tool: Tool) -> int:
    counts = instances(modules)
    found = netlists(modules, script, tool)
    return sum(counts[name] * cells_of(one).get(block, 0) for name, one in found.items())


@pytest.mark.parametrize("name", SCRIPTS)
def test_dsp_blocks(name: str, tool: Tool) -> None:
    design = load_design(name)
    block = design.family.dsp.name.replace("DSP58", "DSP48E2")  # which Yosys has in its place
    assert dsps(verilog(design), block, SCRIPTS[name], tool) == design.dsps


def test_a_chain_of_dsp48e2_makes_two_products_in_each(tool: Tool) -> None:
    modules = emit(Chain(target="dsp48e2"))
    assert dsps(modules, "DSP48E2", _XILINX, tool) == 2 * 16 // 2
