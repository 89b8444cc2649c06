"""Each module of an ECP5 design placed and routed alone, between registers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib.wiring import Component, In, Out

from alula.design import Design
from alula.gateware.hdl.repeat import emit
from alula.gateware.hdl.scan import Scan
from alula.processes import in_threads
from alula.synth.netlists import Progress
from alula.synth.place import check_flow, fmax_mhz, routed, tools_used
from alula.synth.verilog import SCAN, inside, ports_of, verilog

_PLACED = """\
module {name}({ports});
{declared}
  (* keep *) reg [{given_top}:0] given;
  (* keep *) reg [{taken_top}:0] taken;
  assign {outputs} = given;
  always @(posedge clk) begin
    given <= {{given, taken[0]}};
    taken <= {inputs};
  end
endmodule
"""


@dataclass(frozen=True)
class ModulePlacements:
    """How fast the modules of a design are on its chip, each alone.

    Attributes:
        tool: Yosys and nextpnr with their versions.
        fmax_mhz: by module name the fastest clock that all its paths allow.
    """

    tool: str
    fmax_mhz: Mapping[str, float]

    def as_dict(self) -> dict[str, object]:
        """Return the placements as plain values."""
        return asdict(self)


def place_modules(
    design: Design,
    progress: Progress = lambda stage, done, total: None,
    *,
    workers: int | None = None,
) -> ModulePlacements:
    """Place and route each module of a design alone; from the cache what was done before.

    A module's ports are behind scan registers, and in the place of shared modules inside it
    are registers: every path of its own is there, and none of another module.

    Args:
        design: whose modules.
        progress: called for each module.
        workers: modules at once; as many as there are processors if not given.

    Raises:
        SynthError: the part is no ECP5, a tool is missing, or a module does not fit.
    """
    check_flow(design)
    tool = tools_used()
    progress("verilog", 0, 1)
    modules = verilog(design)
    # One after the other: Amaranth keeps what it warned of for the whole process.
    tops = {name: between_registers(name, modules) for name in modules}
    progress("verilog", 1, 1)

    def placed(name: str) -> float:
        return fmax_mhz(routed(design, tops[name], lambda stage, done, total: None))

    found: dict[str, float] = {}
    progress("place and route", 0, len(tops))
    for name, mhz in zip(tops, in_threads(placed, tops, workers), strict=True):
        found[name] = mhz
        progress("place and route", len(found), len(tops))
    return ModulePlacements(tool, found)


def between_registers(name: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Return a module's Verilog with registers at its ports and in the place of its children.

    Args:
        name: the module.
        modules: Verilog by module name.
    """
    outline = _Outline(module=name, ports=ports_of(name, modules[name]))
    children = dict.fromkeys(inside(name, modules))
    texts = emit(Scan(component=outline), SCAN) | {name: modules[name]}
    return texts | {child: _registers(child, modules[child]) for child in children}


class _Outline(Component):
    """A module of which there is Verilog.

    Args:
        module: its name.
        ports: direction and width by name; `clk` and `rst` are left to the domain.
    """

    def __init__(self, *, module: str, ports: Mapping[str, tuple[str, int]]) -> None:
        self.module, self.ports = module, dict(ports)
        sides = {"input": In, "output": Out}
        super().__init__({port: sides[way](width) for port, (way, width) in ports.items()})

    def elaborate(self, platform: object) -> Module:
        """Make an instance of it."""
        m = Module()
        wires = {f"{way[0]}_{port}": getattr(self, port) for port, (way, _) in self.ports.items()}
        clock = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        m.submodules.inside = Instance(self.module, **wires, **clock)
        return m


def _registers(name: str, text: str) -> str:
    """A module of the same ports that is registers alone: they are kept, whatever they do."""
    ports = {"clk": ("input", 1), "rst": ("input", 1)} | ports_of(name, text)
    sides: dict[str, list[str]] = {"input": [], "output": []}
    widths = {"input": 0, "output": 0}
    for port, (way, width) in ports.items():
        if port != "clk":
            sides[way].append(f"\\{port} ")
            widths[way] += width
    return _PLACED.format(
        name=name,
        ports=", ".join(f"\\{port} " for port in ports),
        declared="\n".join(
            f"  {way} [{width - 1}:0] \\{port} ;" for port, (way, width) in ports.items()
        ),
        given_top=widths["output"] - 1,
        taken_top=widths["input"] - 1,
        outputs="{" + ", ".join(sides["output"]) + "}",
        inputs="{" + ", ".join(sides["input"]) + "}",
    )
