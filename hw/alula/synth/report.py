"""What a design takes of its part, module by module, as Yosys finds it."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from alula.chips import ChipFamily, Use
from alula.design import Design
from alula.kept import kept
from alula.processes import in_threads
from alula.synth.tools import SynthError, Tool, yosys
from alula.synth.verilog import instances, verilog

__all__ = ["ModuleUse", "Progress", "Report", "declared", "module_cells", "synthesise"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""

LIMIT_S = 3600
_CELLS = "cells.json"
_PORT = re.compile(r"^  (?:input|output) .*;$", re.MULTILINE)


@dataclass(frozen=True)
class ModuleUse:
    """What a module takes, without the modules placed in it, and how often it is there."""

    module: str
    instances: int
    use: Use

    @property
    def total(self) -> Use:
        """All its instances."""
        return self.use * self.instances


@dataclass(frozen=True)
class Report:
    """A design, synthesised for its part.

    Every module is synthesised once, so that nothing is optimised across its ports: the sum is an
    upper bound of what the whole takes.
    """

    design: Design
    tool: str
    modules: tuple[ModuleUse, ...]

    @property
    def total(self) -> Use:
        """All modules."""
        return sum((module.total for module in self.modules), Use())

    @property
    def shares(self) -> dict[str, float]:
        """Each resource's share of the part."""
        return self.total.shares(self.design.part)

    @property
    def fits(self) -> bool:
        """Whether the part has all of it."""
        return self.total.fits(self.design.part)

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain values."""
        return {
            "design": self.design.name,
            "design_hash": self.design.hash,
            "part": self.design.part.model_dump(),
            "tool": self.tool,
            "total": asdict(self.total),
            "share": self.shares,
            "fits": self.fits,
            "declared": asdict(declared(self.design)),
            "modules": [
                {"module": item.module, "instances": item.instances, "each": asdict(item.use)}
                for item in self.modules
            ],
        }


def declared(design: Design) -> Use:
    """Return what the design file declares; LUTs and flip-flops it does not."""
    blocks = design.blocks
    return Use(dsp=design.dsps, bram36=blocks.bram36, uram=blocks.uram)


def synthesise(
    design: Design,
    progress: Progress = lambda stage, done, total: None,
    *,
    workers: int | None = None,
) -> Report:
    """Synthesise every module of a design for its part's family, UltraScale+ in place of Versal.

    Args:
        design: what to synthesise.
        progress: told of each module.
        workers: modules at once; as many as there are processors if not given.

    Raises:
        SynthError: Yosys is missing, or refuses a module.
    """
    family = design.family
    tool = yosys()
    progress("verilog", 0, 1)
    modules = verilog(design)
    progress("verilog", 1, 1)
    found = module_cells(modules, family.synthesis, tool, progress, workers)
    return Report(design, tool.version, module_uses(modules, found, family))


def module_cells(
    modules: Mapping[str, str],
    script: str,
    tool: Tool,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> dict[str, dict[str, int]]:
    """Return the cells of each module by kind, those placed in it among them as they are named.

    Args:
        modules: Verilog by module name, the first the top.
        script: what Yosys runs on each; ``-top`` and the module's name are added.
        tool: Yosys.
        progress: told of each module.
        workers: modules at once; as many as there are processors if not given.

    Raises:
        SynthError: Yosys refuses a module.
    """
    stubs = {name: _stub(name, text) for name, text in modules.items()}

    def cells(name: str) -> dict[str, int]:
        text = modules[name]
        used = {other: stub for other, stub in stubs.items() if other in text and other != name}
        return _cells(name, text, used, script, tool)

    found: dict[str, dict[str, int]] = {}
    progress("synthesis", 0, len(modules))
    for name, kinds in zip(modules, in_threads(cells, modules, workers), strict=True):
        found[name] = kinds
        progress("synthesis", len(found), len(modules))
    return found


def module_uses(
    modules: Mapping[str, str], found: Mapping[str, Mapping[str, int]], family: ChipFamily
) -> tuple[ModuleUse, ...]:
    """Return what modules take of a part, from their cells by kind."""
    counts = instances(modules)
    uses = []
    for name, kinds in found.items():
        own = {kind: count for kind, count in kinds.items() if kind not in modules}
        try:
            uses.append(ModuleUse(name, counts[name], family.use_of(own)))
        except KeyError as error:
            raise SynthError(f"cells of {name} must be of {family.name}, not {error}") from None
    return tuple(uses)


def _stub(name: str, text: str) -> str:
    """Return a module's ports alone."""
    text = text[text.index(f"module {name}(") :]
    ports = _PORT.findall(text[: text.index("\nendmodule")])
    head = text[: text.index(";") + 1]
    return "\n".join(["(* blackbox *)", head, *ports, "endmodule", ""])


def _cells(
    name: str, text: str, stubs: Mapping[str, str], script: str, tool: Tool
) -> dict[str, int]:
    """Return a synthesised module's cells by kind, from the cache if they are there."""
    sources = {"stubs.v": "".join(stubs.values()), "module.v": text}
    digest = hashlib.sha256(f"{tool.name} {tool.version}\n{script}\n{sources}".encode())

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-synth-") as temporary:
            scratch = Path(temporary)
            for file, content in sources.items():
                (scratch / file).write_text(content, encoding="utf-8")
            steps = [f"read_verilog {' '.join(sources)}", f"{script} -top {name}"]
            steps.append(f"tee -q -o {_CELLS} stat -json")
            tool.run(["-q", "-p", "; ".join(steps)], folder=scratch, limit_s=LIMIT_S)
            counts = json.loads((scratch / _CELLS).read_text(encoding="utf-8"))
        cells = counts["modules"][f"\\{name}"].get("num_cells_by_type", {})
        (folder / _CELLS).write_text(json.dumps(cells), encoding="utf-8")

    return json.loads(
        (kept("synth", digest.hexdigest()[:32], make) / _CELLS).read_text(encoding="utf-8")
    )
