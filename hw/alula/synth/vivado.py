"""Constraints and a project script for Vivado."""

from alula.design import Design
from alula.gateware.top.top import core_names
from alula.synth.order import order_number
from alula.synth.verilog import TOP

__all__ = ["scripts"]

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


def scripts(design: Design) -> dict[str, str]:
    """Return the texts of an XDC file and a Tcl script by name.

    On a chip of several dies each core has its own, or as many share one as must.

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
    return {
        f"{design.name}.xdc": _CONSTRAINTS.format(**values) + _regions(design),
        "vivado.tcl": _PROJECT.format(**values),
    }


def _regions(design: Design) -> str:
    """Return the constraints that deal cores out to dies."""
    if design.cores == 1 or design.part.slrs == 1:
        return ""
    return "".join(
        _REGION.format(core=name, region=number * design.part.slrs // design.cores)
        for number, name in enumerate(core_names(design))
    )
