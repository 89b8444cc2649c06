"""Constraints, project scripts, an IP's description and a README for Vivado."""

from collections.abc import Mapping, Sequence
from importlib import metadata

from alula.design import Design
from alula.design.error import listed
from alula.design.memory import Window
from alula.gateware.top.top import core_names
from alula.synth.axi_wrapper import CLOCK, CONTROL, INTERRUPT, RESET, Wrapper
from alula.synth.order import order_number
from alula.synth.verilog import TOP
from alula.synth.zynq import HP_BITS, HP_PORTS, block_design, has_processor

_CONSTRAINTS = """\
# One clock, {mhz} MHz. The memory's ports and the host's meet other logic on the chip.
create_clock -name clk -period {period} [get_ports clk]
"""
_REGION = """\

# A core stays on its die; what lies between cores may be anywhere.
create_pblock pblock_{core}
resize_pblock [get_pblocks pblock_{core}] -add {{SLR{region}}}
add_cells_to_pblock [get_pblocks pblock_{core}] [get_cells {core}]
"""
_PROJECT = """\
# Synthesises, places and routes {name}. vivado -mode batch -source vivado.tcl
# The ports meet a memory controller and a host on the chip, so the design is built out of context:
# no port becomes a pin. Reports are in ./reports, checkpoints and the project in ./project.
cd [file dirname [file normalize [info script]]]
file mkdir reports
create_project -force {name} project -part {part}
set_property target_language Verilog [current_project]

set files [open {name}.f]
foreach path [split [string trim [read $files]] "\\n"] {{
    add_files -norecurse $path
}}
close $files
add_files -fileset constrs_1 -norecurse {name}.xdc
set_property top {top} [current_fileset]
set_property -name {{STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS}} -value {{-mode out_of_context}} \\
    -objects [get_runs synth_1]

launch_runs synth_1 -jobs 4
wait_on_run synth_1
if {{[get_property PROGRESS [get_runs synth_1]] != "100%"}} {{
    error "synthesis did not end"
}}
open_run synth_1
report_utilization -hierarchical -file reports/synthesis_utilization.rpt
close_design

launch_runs impl_1 -to_step route_design -jobs 4
wait_on_run impl_1
if {{[get_property PROGRESS [get_runs impl_1]] != "100%"}} {{
    error "place and route did not end"
}}
open_run impl_1
report_utilization -hierarchical -file reports/utilization.rpt
report_timing_summary -file reports/timing.rpt
report_power -file reports/power.rpt
report_drc -file reports/drc.rpt
puts "worst slack: [get_property STATS.WNS [get_runs impl_1]] ns of {period} ns"
"""


_README = """\
# {name} for {part}

Written by Alula {version}. Vivado was not available to try it: no script here was run in it.

| file | what it is |
|---|---|
| `rtl/` | Verilog, a file a module; `component.xml` there makes an IP of it, its top `{module}` |
| `{name}.f` | the Verilog of the accelerator alone, its top `{top}` first |
| `{name}.xdc` | constraints of the accelerator alone: {constraints} |
| `vivado.tcl` | synthesises, places and routes the accelerator alone, out of context |
{zynq_file}| `design.json` | the design |

## Ports of the IP

`{clock}`, one clock, {mhz} MHz asked for; `{reset}`, low while it resets; `{interrupt}`, high from
the end of a run until it is cleared. `{control}`: AXI4-Lite, the control registers. Memory ports,
AXI4:

| port | bits a beat |
|---|--:|
{masters}
The design asks for {mhz} MHz and does not prove it: read the worst slack in `reports/`, and lower
`clock_mhz` in the design where it is negative. No multi-cycle or false paths are declared, so none
are in the constraints.
{zynq}"""
_WIDE = "The design's are wider, and slower than Alula predicts: a beat takes several of theirs."
_ZYNQ_FILE = "| `zynq.tcl` | makes a bitstream with the processing system, and an `.xsa` |\n"
_ZYNQ = """
## On the board

`vivado -mode batch -source zynq.tcl` makes a block design: the processing system, which gives clock
(PL0) and reset; a SmartConnect from its M_AXI_HPM0_FPD to the control registers; and ways from the
memory ports to {used} of its {ports} HP ports, which are {bits} bits wide. {note}

1. Run the script; it writes `{name}.xsa`, which has the bitstream. The address editor has the
   control registers' address.
2. In the device tree overlay ask for PL0 at {mhz} MHz (`assigned-clock-rates`): else it may stay at
   100 MHz.
3. Load the overlay, and reserve memory for the image: the accelerator reads physical addresses.
   Its memory is {where}. Give other `memory.windows` in the design for another place.
4. The host does what `alula.rtl.driver.HostDriver` does through the control registers.
"""


def scripts(design: Design, modules: Sequence[str]) -> dict[str, str]:
    """Return the texts of constraints, Tcl scripts, an IP's description and a README by name.

    On a chip of several dies each core has its own, or as many share one as must. A chip with a
    processing system has a script for a block design too.

    Args:
        design: what is exported.
        modules: names of its modules, each in a file in ``rtl``.

    Raises:
        SynthError: the design does not name its chip, or one of another family.
    """
    values = {
        "name": design.name,
        "mhz": design.clock_mhz,
        "period": f"{1000 / design.clock_mhz:.3f}",
        "part": order_number(design),
        "top": TOP,
    }
    wrapper = Wrapper(design)
    texts = {
        f"{design.name}.xdc": _CONSTRAINTS.format(**values) + _regions(design),
        "vivado.tcl": _PROJECT.format(**values),
        "README.md": _readme(design, wrapper, values),
        f"rtl/{wrapper.name}.v": wrapper.verilog(),
        "rtl/component.xml": wrapper.component(
            [f"{module}.v" for module in (wrapper.name, *modules)]
        ),
    }
    return texts | ({"zynq.tcl": block_design(design, wrapper)} if has_processor(design) else {})


def _readme(design: Design, wrapper: Wrapper, values: Mapping[str, object]) -> str:
    note = _WIDE if max(wrapper.widths.values()) > HP_BITS else "The design's are no wider."
    zynq = has_processor(design)
    return _README.format(
        **values,
        version=metadata.version("alula"),
        module=wrapper.name,
        clock=CLOCK,
        reset=RESET,
        interrupt=INTERRUPT,
        control=CONTROL,
        constraints="the clock" if not _regions(design) else "the clock, and a die for each core",
        masters="".join(f"| `{name}` | {bits:,} |\n" for name, bits in wrapper.widths.items()),
        zynq_file=_ZYNQ_FILE if zynq else "",
        zynq=_ZYNQ.format(
            **values,
            used=min(HP_PORTS, len(wrapper.masters)),
            ports=HP_PORTS,
            bits=HP_BITS,
            note=note,
            where=_where(design),
        )
        if zynq
        else "",
    )


def _where(design: Design) -> str:
    """Say where the chip finds the memory."""
    windows = design.memory.windows or (Window(address=0, mib=design.memory.capacity_mib),)
    return listed([f"{one.mib:,} MiB from {one.address:#x} on" for one in windows], "and")


def _regions(design: Design) -> str:
    """Return the constraints that deal cores out to dies."""
    if design.cores == 1 or design.part.slrs == 1:
        return ""
    return "".join(
        _REGION.format(core=name, region=number * design.part.slrs // design.cores)
        for number, name in enumerate(core_names(design))
    )
