"""What is written for Vivado: an IP's ports, its description, and a block design."""

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.ports import one_port

from alula.design import Design, load_design
from alula.synth import SynthError, vivado, yosys
from alula.synth.axi_wrapper import Wrapper
from alula.synth.verilog import top_ports
from alula.synth.zynq import HP_PORTS, has_processor

KV260 = load_design("kv260")
U280 = load_design("u280")
WIDE = one_port(KV260)
"""One port of 512 bits."""
DESIGNS = pytest.mark.parametrize("design", [KV260, U280], ids=["kv260", "u280"])
SPIRIT = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"
PORT = re.compile(r"^  (input|output) wire (?:\[(\d+):0\] )?(\w+),?$", re.MULTILINE)
STUBS = """
set told {}
proc unknown {args} {
    global told
    lappend told $args
    if {[lindex $args 0] eq "get_property"} { return "100%" }
    if {[lindex $args 0] eq "get_board_parts"} { return "xilinx.com:kv260_som:part0:1.4" }
    return [lindex $args end]
}
proc cd {args} {}
source [lindex $argv 0]
foreach one $told { puts [join $one " "] }
"""


def wrapper_ports(design: Design) -> dict[str, tuple[str, int]]:
    """Direction and width of the wrapper's ports, by its text."""
    text = Wrapper(design).verilog()
    return {name: (way, 1 + int(high or 0)) for way, high, name in PORT.findall(text)}


@DESIGNS
def test_every_port_of_the_top_has_a_name_of_axi(design: Design, tmp_path: Path) -> None:
    """Yosys finds each port that the wrapper names, as wide and in the same direction."""
    try:
        tool = yosys()
    except SynthError as error:
        pytest.skip(str(error))
    top = {"clk": ("input", 1), "rst": ("input", 1)} | {
        name: (way, len(value)) for name, (value, way) in top_ports(design).items()
    }
    declared = "\n".join(f"  {way} [{width - 1}:0] {name};" for name, (way, width) in top.items())
    stub = f"(* blackbox *)\nmodule top({', '.join(top)});\n{declared}\nendmodule\n"
    (tmp_path / "top.v").write_text(stub)
    (tmp_path / "axi.v").write_text(Wrapper(design).verilog())
    steps = f"read_verilog top.v axi.v; hierarchy -check -top {Wrapper(design).name}; check -assert"
    told = tool.run(["-p", steps], folder=tmp_path, limit_s=100)
    assert "Warning" not in told
    outer = wrapper_ports(design)
    fixed = [name for name in outer if name.endswith(("cache", "prot")) and name[0] == "m"]
    assert sorted(width for name, (_, width) in outer.items() if name not in fixed) == sorted(
        width for _, width in top.values()
    )


@DESIGNS
def test_the_description_is_of_the_wrapper(design: Design) -> None:
    wrapper = Wrapper(design)
    root = ElementTree.fromstring(wrapper.component(["top.v"]))
    found = {}
    for port in root.iter(f"{SPIRIT}port"):
        way = port.findtext(f".//{SPIRIT}direction")
        high = port.findtext(f".//{SPIRIT}left", "0")
        name = port.findtext(f"{SPIRIT}name")
        found[name] = ({"in": "input", "out": "output"}[way or ""], 1 + int(high))
    assert found == wrapper_ports(design)
    buses = {bus.findtext(f"{SPIRIT}name"): bus for bus in root.iter(f"{SPIRIT}busInterface")}
    reads = [name for name in top_ports(design) if re.fullmatch(r"read__\d+__rdata", name)]
    masters = [f"m{index:02}_axi" for index in range(len(reads))]
    assert wrapper.masters == masters
    assert set(buses) == {"aclk", "aresetn", "interrupt", "s_axi_control", *masters}
    mapped = [
        (pair.findtext(f"{SPIRIT}logicalPort/{SPIRIT}name"),
         pair.findtext(f"{SPIRIT}physicalPort/{SPIRIT}name"))
        for pair in root.iter(f"{SPIRIT}portMap")
    ]  # fmt: skip
    assert sorted(name or "" for _, name in mapped) == sorted(name or "" for name in found)
    assert ("ARADDR", "m00_axi_araddr") in mapped
    reference = f"{SPIRIT}addressSpaceRef"
    references = [one.get(reference) for one in root.iter(reference)]
    spaces = [one.findtext(f"{SPIRIT}name") for one in root.iter(f"{SPIRIT}addressSpace")]
    assert references == spaces == masters
    bits = found["m00_axi_araddr"][1]
    assert root.findtext(f".//{SPIRIT}addressSpace/{SPIRIT}range") == str(2**bits)


def told_to_vivado(design: Design, folder: Path) -> list[str]:
    """The commands of the block design, by a Tcl shell in which none of Vivado's does much."""
    shell = shutil.which("tclsh")
    if shell is None:
        pytest.skip("tclsh is not installed")
    (folder / "stubs.tcl").write_text(STUBS)
    (folder / "zynq.tcl").write_text(vivado.scripts(design, ["top"])["zynq.tcl"])
    words = [shell, "stubs.tcl", "zynq.tcl"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_block_design_connects_every_port(tmp_path: Path) -> None:
    told = told_to_vivado(KV260, tmp_path)
    wrapper = Wrapper(KV260)
    nets = [line.split()[1:] for line in told if line.startswith("connect_bd_")]
    pins = [pin for net in nets for pin in net]
    buses = {"aclk", "aresetn", "interrupt", "s_axi_control", *wrapper.masters}
    assert {pin.partition("/")[2] for pin in pins if pin.startswith("accelerator/")} == buses
    driven = [end for _, end in nets]
    assert len(driven) == len(set(driven))
    used = min(len(wrapper.masters), HP_PORTS)
    assert used == HP_PORTS
    for port, master in enumerate(wrapper.masters):
        assert [f"accelerator/{master}", f"ps/S_AXI_HP{port}_FPD"] in nets
        assert ["ps/pl_clk0", f"ps/saxihp{port}_fpd_aclk"] in nets
    assert not [pin for pin in pins if pin.startswith("memory_")]
    (settings,) = (line for line in told if "PSU__FPGA_PL0_ENABLE" in line)
    assert f"CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {KV260.clock_mhz} " in settings
    assert settings.count("DATA_WIDTH 128") == used
    assert "create_project -force kv260 zynq_project -part xck26-sfvc784-2LV-c" in told
    assert f"create_bd_cell -type ip -vlnv alula:user:{wrapper.name} accelerator" in told


def test_addresses_are_the_chip_s() -> None:
    """40 bits, in the processing system's two windows of DDR; the first port alone writes."""
    ports = wrapper_ports(KV260)
    for master in Wrapper(KV260).masters:
        assert ports[f"{master}_araddr"] == ("output", 40)
        assert ports[f"{master}_rdata"] == ("input", 128)
        assert (f"{master}_awaddr" in ports) == (master == "m00_axi")
    assert ports["m00_axi_awaddr"] == ("output", 40)
    readme = vivado.scripts(KV260, ["top"])["README.md"]
    assert "2,048 MiB from 0x0 on and 2,048 MiB from 0x800000000 on" in readme
    assert "Its memory is 4,096 MiB from 0x0 on." in vivado.scripts(WIDE, ["top"])["README.md"]


def test_a_wider_port_goes_through_a_switch(tmp_path: Path) -> None:
    told = told_to_vivado(WIDE, tmp_path)
    assert "connect_bd_intf_net accelerator/m00_axi memory_0/S00_AXI" in told
    assert "connect_bd_intf_net memory_0/M00_AXI ps/S_AXI_HP0_FPD" in told


@pytest.mark.parametrize("masters", [1, 3, 4, 6])
def test_memory_ports_are_dealt_out(
    masters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = Wrapper(KV260)
    wrapper.masters = [f"m{index:02}_axi" for index in range(masters)]
    wrapper.widths = dict.fromkeys(wrapper.masters, 128)
    monkeypatch.setattr(vivado, "Wrapper", lambda design: wrapper)
    monkeypatch.setattr(wrapper, "component", lambda files: "")
    told = told_to_vivado(KV260, tmp_path)
    joined = "connect_bd_intf_net accelerator/m"
    ends = [line.split()[2] for line in told if line.startswith(joined)]
    assert len(ends) == len(set(ends)) == masters
    # Who shares an HP port comes to it through a switch.
    shared = max(0, masters - HP_PORTS)
    assert sum(end.startswith("memory_") for end in ends) == 2 * shared
    assert sum("/M00_AXI ps/S_AXI_HP" in line for line in told) == shared
    nets = [line.split() for line in told if line.startswith("connect_bd_intf_net")]
    into = [end for _, _, end in nets if end.startswith("ps/S_AXI_HP")]
    assert len(into) == len(set(into)) == min(masters, HP_PORTS)


def test_only_a_zynq_has_a_block_design() -> None:
    assert has_processor(KV260)
    zynq = KV260.replace({"part.number": "xczu7ev-ffvc1156-2-e"})
    assert has_processor(zynq)
    assert not has_processor(U280)
    texts = vivado.scripts(U280, ["top"])
    assert "zynq.tcl" not in texts
    assert "zynq.tcl" not in texts["README.md"]
    # Only a module's board files say what memory there is.
    assert "get_board_parts" not in vivado.scripts(zynq, ["top"])["zynq.tcl"]


def test_the_readme_names_what_is_there() -> None:
    texts = vivado.scripts(KV260, ["top"])
    readme = texts["README.md"]
    assert "Vivado was not available to try it" in readme
    for name in ("kv260.xdc", "vivado.tcl", "zynq.tcl"):
        assert name in texts
        assert f"`{name}`" in readme
    for name, bits in Wrapper(KV260).widths.items():
        assert f"| `{name}` | {bits} |" in readme
