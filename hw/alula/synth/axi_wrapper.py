"""The top with the port names that Vivado knows AXI by, and what IP-XACT says of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree as Xml

from alula.design import Design
from alula.synth.verilog import TOP, top_ports

CLOCK, RESET, INTERRUPT, CONTROL = "aclk", "aresetn", "interrupt", "s_axi_control"
_MEMORY = re.compile(r"(read|write)__(\d+)__(\w+)")
_FIXED = {"cache": (4, 0b0011), "prot": (3, 0)}
"""AXI signals of an address that the gateware does without: modifiable and bufferable."""
_FAMILIES = ("zynquplus", "artixuplus", "kintexuplus", "virtexuplus", "virtexuplusHBM", "versal")
_SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_XILINX = "http://www.xilinx.com"


@dataclass(frozen=True)
class _Port:
    """A port of the wrapper: direction, "input" or "output", bits, and what it is tied to."""

    way: str
    width: int
    value: str
    """The top's port, or the constant of an output that the top does without."""
    constant: bool = False


class Wrapper:
    """A module around a design's top, with AXI names: `s_axi_control_*`, `m00_axi_*`.

    Reads and writes of a memory port are one AXI4 master, which may only read. Everything follows
    from the top's ports.

    Attributes:
        name: the module's.
        masters: names of the memory ports.
        widths: bits of a beat of each.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.name = f"{design.name.replace('-', '_')}_axi"
        self._ports = dict(_renamed(design))
        found = (re.fullmatch(r"(m\d+_axi)_[rw]data", port) for port in self._ports)
        self.masters = sorted({match[1] for match in found if match})
        self.widths = {
            master: max(self._ports[f"{master}_{way}data"].width for way in self._ways(master))
            for master in self.masters
        }

    def _ways(self, master: str) -> str:
        return "".join(way for way in "rw" if f"{master}_{way}data" in self._ports)

    @cached_property
    def _buses(self) -> dict[str, dict[str, str]]:
        """By bus the standard's names of its signals, and the wrapper's."""
        return {
            bus: {
                port.removeprefix(f"{bus}_").upper(): port
                for port in self._ports
                if port.startswith(f"{bus}_")
            }
            for bus in (CONTROL, *self.masters)
        }

    def verilog(self) -> str:
        """Return the module's text."""
        clock = {CLOCK: ("input", 1), RESET: ("input", 1)}
        named = clock | {name: (port.way, port.width) for name, port in self._ports.items()}
        declared = (f"  {way} wire {_range(width)}{name}" for name, (way, width) in named.items())
        fixed = [
            f"  assign {name} = {port.value};"
            for name, port in self._ports.items()
            if port.constant
        ]
        inner = [f"    .clk({CLOCK})", f"    .rst(~{RESET})"] + [
            f"    .{port.value}({name})" for name, port in self._ports.items() if not port.constant
        ]
        return "\n".join(
            [
                f"// {self.design.name} with AXI's usual names; its reset is low while it is held.",
                f"module {self.name} (",
                ",\n".join(declared),
                ");",
                *fixed,
                f"  {TOP} accelerator (",
                ",\n".join(inner),
                "  );",
                "endmodule",
                "",
            ]
        )

    def component(self, files: list[str]) -> str:
        """Return IP-XACT's description, with the names of its Verilog files beside it."""
        for prefix, uri in (("spirit", _SPIRIT), ("xilinx", _XILINX)):
            Xml.register_namespace(prefix, uri)
        root = _element("component")
        for tag, text in (("vendor", "alula"), ("library", "user"), ("name", self.name)):
            _element(tag, root, text)
        _element("version", root, "1.0")
        buses = _element("busInterfaces", root)
        self._axi_buses(buses)
        self._signals(buses)
        spaces = _element("addressSpaces", root)
        for master in self.masters:
            space = _element("addressSpace", spaces)
            _element("name", space, master)
            _element("range", space, str(1 << self._address_bits(master)))
            _element("width", space, str(self.widths[master]))
        self._registers(_element("memoryMaps", root))
        self._model(_element("model", root))
        self._files(_element("fileSets", root), files)
        _element("description", root, f"Alula's accelerator, design {self.design.name}")
        _parameters(root, "PARAM_VALUE", {"Component_Name": self.name})
        core = Xml.SubElement(_element("vendorExtensions", root), f"{{{_XILINX}}}coreExtensions")
        families = Xml.SubElement(core, f"{{{_XILINX}}}supportedFamilies")
        for family in _FAMILIES:
            one = Xml.SubElement(families, f"{{{_XILINX}}}family")
            one.set(f"{{{_XILINX}}}lifeCycle", "Production")
            one.text = family
        Xml.indent(root)
        return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def _address_bits(self, bus: str) -> int:
        return max(
            port.width
            for name, port in self._ports.items()
            if name in (f"{bus}_araddr", f"{bus}_awaddr")
        )

    def _axi_buses(self, buses: Xml.Element) -> None:
        for bus, signals in self._buses.items():
            master = bus != CONTROL
            one = _bus(buses, bus, "aximm", signals)
            side = _element("master" if master else "slave")
            one.insert(3, side)
            reference = "addressSpaceRef" if master else "memoryMapRef"
            _element(reference, side).set(f"{{{_SPIRIT}}}{reference}", bus)

    def _signals(self, buses: Xml.Element) -> None:
        """Clock, reset and interrupt."""
        for name, kind, pin, side, parameters in (
            (CLOCK, "clock", "CLK", "slave",
             {"ASSOCIATED_BUSIF": ":".join(self._buses), "ASSOCIATED_RESET": RESET}),
            (RESET, "reset", "RST", "slave", {"POLARITY": "ACTIVE_LOW"}),
            (INTERRUPT, "interrupt", "INTERRUPT", "master", {"SENSITIVITY": "LEVEL_HIGH"}),
        ):  # fmt: skip
            one = _bus(buses, name, kind, {pin: name}, "signal")
            one.insert(3, _element(side))
            _parameters(one, f"BUSIFPARAM_VALUE.{name.upper()}", parameters)

    def _registers(self, maps: Xml.Element) -> None:
        one = _element("memoryMap", maps)
        _element("name", one, CONTROL)
        block = _element("addressBlock", one)
        # Address editors map whole pages.
        size = max(1 << self._address_bits(CONTROL), 4096)
        for tag, text in (("name", "registers"), ("baseAddress", "0"), ("range", str(size))):
            _element(tag, block, text)
        _element("width", block, "32")
        _element("usage", block, "register")

    def _model(self, model: Xml.Element) -> None:
        views = _element("views", model)
        for view, use in (("synthesis", "synthesis"), ("simulation", "simulation")):
            one = _element("view", views)
            _element("name", one, f"xilinx_anylanguage{view}")
            _element("envIdentifier", one, f":vivado.xilinx.com:{use}")
            _element("language", one, "verilog")
            _element("modelName", one, self.name)
            _element("localName", _element("fileSetRef", one), "verilog")
        every = _element("ports", model)
        clock = {name: _Port("input", 1, "") for name in (CLOCK, RESET)}
        for name, port in (clock | self._ports).items():
            one = _element("port", every)
            _element("name", one, name)
            wire = _element("wire", one)
            _element("direction", wire, {"input": "in", "output": "out"}[port.way])
            if port.width > 1:
                vector = _element("vector", wire)
                _element("left", vector, str(port.width - 1))
                _element("right", vector, "0")

    def _files(self, sets: Xml.Element, files: list[str]) -> None:
        one = _element("fileSet", sets)
        _element("name", one, "verilog")
        for name in files:
            file = _element("file", one)
            _element("name", file, name)
            _element("fileType", file, "verilogSource")


def _renamed(design: Design) -> Iterator[tuple[str, _Port]]:
    """Yield the wrapper's ports by name."""
    addresses: dict[str, None] = {}
    for port, (value, way) in top_ports(design).items():
        if match := _MEMORY.fullmatch(port):
            # A channel that is read through several ports is written through the first.
            first = design.memory.ports if match[1] == "write" else 1
            name = f"m{int(match[2]) * first:02}_axi_{match[3]}"
            if name.endswith(("araddr", "awaddr")):
                addresses[name.removesuffix("addr")] = None
        elif port == "irq":
            name = INTERRUPT
        else:
            name = port.replace("control__", f"{CONTROL}_")
        yield name, _Port(way, len(value), port)
    for address in addresses:
        for name, (width, value) in _FIXED.items():
            yield f"{address}{name}", _Port("output", width, f"{width}'d{value}", constant=True)


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _element(tag: str, parent: Xml.Element | None = None, text: str | None = None) -> Xml.Element:
    name = f"{{{_SPIRIT}}}{tag}"
    one = Xml.Element(name) if parent is None else Xml.SubElement(parent, name)
    one.text = text
    return one


def _bus(
    parent: Xml.Element, name: str, kind: str, pins: Mapping[str, str], library: str = "interface"
) -> Xml.Element:
    """A bus of one of Vivado's kinds; which side it is goes before its pins."""
    one = _element("busInterface", parent)
    _element("name", one, name)
    for tag, suffix in (("busType", ""), ("abstractionType", "_rtl")):
        values = {"vendor": "xilinx.com", "library": library, "name": kind + suffix}
        found = _element(tag, one)
        for key, value in (values | {"version": "1.0"}).items():
            found.set(f"{{{_SPIRIT}}}{key}", value)
    maps = _element("portMaps", one)
    for logical, physical in pins.items():
        pair = _element("portMap", maps)
        _element("name", _element("logicalPort", pair), logical)
        _element("name", _element("physicalPort", pair), physical)
    return one


def _parameters(parent: Xml.Element, prefix: str, values: Mapping[str, str]) -> None:
    every = _element("parameters", parent)
    for name, value in values.items():
        one = _element("parameter", every)
        _element("name", one, name)
        text = _element("value", one, value)
        text.set(f"{{{_SPIRIT}}}id", f"{prefix}.{name}")
