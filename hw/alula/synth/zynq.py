"""A block design for a Zynq UltraScale+: the accelerator beside the processing system."""

import re

from alula.design import Design
from alula.synth.axi_wrapper import CLOCK, CONTROL, INTERRUPT, RESET, Wrapper
from alula.synth.order import order_number

HP_PORTS, HP_BITS = 4, 128
"""Memory ports of the processing system, S_AXI_HP0_FPD and on, and their width (UG1085)."""
_FIRST_HP = 2
"""Vivado counts them as S_AXI_GP2 to S_AXI_GP5."""
_BOARDS = {"xck26": "kv260_som", "xck24": "kd240_som"}
"""Modules whose board files tell the processing system its memory."""

_SCRIPT = """\
# {name} beside the processing system of {part}, as a bitstream and a hardware platform:
# vivado -mode batch -source zynq.tcl
# Written without Vivado at hand: nothing here was run in it.
cd [file dirname [file normalize [info script]]]
create_project -force {name} zynq_project -part {part}
{board}
set_property ip_repo_paths rtl [current_project]
update_ip_catalog
create_bd_design system

# The processing system: a clock and a reset for the logic, a port to the control registers,
# {used} of its {ports} memory ports, and an interrupt.
create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e \\
    -config [list apply_board_preset {preset}] [get_bd_cells ps]
set_property -dict [list \\
    CONFIG.PSU__FPGA_PL0_ENABLE 1 \\
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {mhz} \\
    CONFIG.PSU__USE__M_AXI_GP0 1 \\
    CONFIG.PSU__USE__M_AXI_GP1 0 \\
    CONFIG.PSU__USE__M_AXI_GP2 0 \\
    CONFIG.PSU__USE__IRQ0 1 \\
{memory}] [get_bd_cells ps]

create_bd_cell -type ip -vlnv alula:user:{module} accelerator
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset
foreach {{cell inputs}} {{{switches}}} {{
    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $cell
    set_property -dict [list CONFIG.NUM_SI $inputs CONFIG.NUM_MI 1] [get_bd_cells $cell]
    connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins $cell/aclk]
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $cell/aresetn]
}}

# One clock and one reset for all.
foreach pin {{{clocked}}} {{
    connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins $pin]
}}
connect_bd_net [get_bd_pins ps/pl_resetn0] [get_bd_pins reset/ext_reset_in]
connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins accelerator/{reset}]
connect_bd_net [get_bd_pins accelerator/{interrupt}] [get_bd_pins ps/pl_ps_irq0]

foreach {{from to}} {{
{wires}}} {{
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}}
assign_bd_address
validate_bd_design
save_bd_design

add_files -norecurse [make_wrapper -files [get_files system.bd] -top]
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {{[get_property PROGRESS [get_runs impl_1]] != "100%"}} {{
    error "the bitstream was not made"
}}
file mkdir reports
open_run impl_1
report_utilization -hierarchical -file reports/system_utilization.rpt
report_timing_summary -file reports/system_timing.rpt
write_hw_platform -fixed -include_bit -force {name}.xsa
puts "worst slack: [get_property STATS.WNS [get_runs impl_1]] ns of {period} ns"
"""
_BOARD = """\
set board [lindex [lsort -dictionary [get_board_parts -quiet *:{board}:*]] end]
if {{$board eq ""}} {{
    error "the board files of {board} must be installed: they have the memory's settings"
}}
set_property board_part $board [current_project]"""
_NO_BOARD = "# The board is not known here: set the processing system's memory in the block design."


def has_processor(design: Design) -> bool:
    """Whether a design's chip is a Zynq UltraScale+, which has a processing system."""
    return bool(re.match(r"x([acq]zu|ck2)", order_number(design), re.IGNORECASE))


def block_design(design: Design, wrapper: Wrapper) -> str:
    """Return the script of a Vivado project with the processing system of a Zynq UltraScale+.

    Memory ports are dealt out to HP ports in turn. A memory port as wide as an HP port that has one
    to itself is wired to it; elsewhere a SmartConnect joins several, and makes a wider beat several
    narrower ones.

    Raises:
        SynthError: the design does not name its chip, or one of another family.
    """
    part = order_number(design)
    board = _BOARDS.get(part.partition("-")[0].lower())
    used = min(len(wrapper.masters), HP_PORTS)
    ways = [wrapper.masters[port::HP_PORTS] for port in range(used)]
    wires = [
        ("ps/M_AXI_HPM0_FPD", "registers/S00_AXI"),
        ("registers/M00_AXI", f"accelerator/{CONTROL}"),
    ]
    switches = ["registers 1"]
    for port, masters in enumerate(ways):
        if len(masters) == 1 and wrapper.widths[masters[0]] == HP_BITS:
            wires.append((f"accelerator/{masters[0]}", f"ps/S_AXI_HP{port}_FPD"))
            continue
        switches.append(f"memory_{port} {len(masters)}")
        wires += [
            (f"accelerator/{master}", f"memory_{port}/S{index:02}_AXI")
            for index, master in enumerate(masters)
        ]
        wires.append((f"memory_{port}/M00_AXI", f"ps/S_AXI_HP{port}_FPD"))
    clocked = ["ps/maxihpm0_fpd_aclk", *(f"ps/saxihp{port}_fpd_aclk" for port in range(used))]
    clocked += ["reset/slowest_sync_clk", f"accelerator/{CLOCK}"]
    return _SCRIPT.format(
        name=design.name,
        part=part,
        module=wrapper.name,
        mhz=design.clock_mhz,
        period=f"{1000 / design.clock_mhz:.3f}",
        board=_BOARD.format(board=board) if board else _NO_BOARD,
        preset=int(board is not None),
        used=used,
        ports=HP_PORTS,
        memory="".join(
            f"    CONFIG.PSU__USE__S_AXI_GP{port} 1 \\\n"
            f"    CONFIG.PSU__SAXIGP{port}__DATA_WIDTH {HP_BITS} \\\n"
            for port in range(_FIRST_HP, _FIRST_HP + used)
        ),
        switches=" ".join(switches),
        clocked=" ".join(clocked),
        reset=RESET,
        interrupt=INTERRUPT,
        wires="".join(f"    {start} {end}\n" for start, end in wires),
    )
