"""Each module of a design as a netlist of its part's cells, by Yosys; kept by content."""

import gzip
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alula.kept import kept
from alula.processes import in_threads
from alula.synth.tools import Tool

__all__ = ["Netlists", "Progress", "cells_of", "netlists"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""
Netlists = Mapping[str, Mapping[str, Any]]
"""By module name what Yosys writes of it: ports, cells, netnames. The first is the top."""

LIMIT_S = 3600
_NETLIST = "netlist.json"
_KEPT = "netlist.json.gz"
_PARTS = {"ports": None, "cells": ("type", "parameters", "connections"), "netnames": None}
_PORT = re.compile(r"^  (?:input|output) .*;$", re.MULTILINE)


def netlists(
    modules: Mapping[str, str],
    script: str,
    tool: Tool,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the netlist of each module; what is placed in it is a cell of the other's name.

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

    def netlist(name: str) -> dict[str, Any]:
        text = modules[name]
        used = {other: stub for other, stub in stubs.items() if other in text and other != name}
        return _netlist(name, text, used, script, tool)

    found: dict[str, dict[str, Any]] = {}
    progress("synthesis", 0, len(modules))
    for name, text in zip(modules, in_threads(netlist, modules, workers), strict=True):
        found[name] = text
        progress("synthesis", len(found), len(modules))
    return found


def cells_of(netlist: Mapping[str, Any]) -> dict[str, int]:
    """Return a module's cells by kind, those placed in it among them as they are named."""
    return dict(Counter(cell["type"] for cell in netlist["cells"].values()))


def _stub(name: str, text: str) -> str:
    """Return a module's ports alone."""
    text = text[text.index(f"module {name}(") :]
    ports = _PORT.findall(text[: text.index("\nendmodule")])
    head = text[: text.index(";") + 1]
    return "\n".join(["(* blackbox *)", head, *ports, "endmodule", ""])


def _netlist(
    name: str, text: str, stubs: Mapping[str, str], script: str, tool: Tool
) -> dict[str, Any]:
    """Return a synthesised module, from the cache if it is there."""
    sources = {"stubs.v": "".join(stubs.values()), "module.v": text}
    digest = hashlib.sha256(f"{tool.name} {tool.version}\n{script}\n{sources}".encode())

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-synth-") as temporary:
            scratch = Path(temporary)
            for file, content in sources.items():
                (scratch / file).write_text(content, encoding="utf-8")
            steps = [f"read_verilog {' '.join(sources)}", f"{script} -top {name}"]
            steps.append(f"write_json {_NETLIST}")
            tool.run(["-q", "-p", "; ".join(steps)], folder=scratch, limit_s=LIMIT_S)
            written = json.loads((scratch / _NETLIST).read_text(encoding="utf-8"))
        whole = written["modules"][name]
        netlist = {part: whole.get(part, {}) for part in _PARTS}
        for part, keys in _PARTS.items():
            if keys:
                for key, value in netlist[part].items():
                    netlist[part][key] = {wanted: value[wanted] for wanted in keys}
        packed = gzip.compress(json.dumps(netlist).encode(), compresslevel=3, mtime=0)
        (folder / _KEPT).write_bytes(packed)

    folder = kept("netlists", digest.hexdigest()[:32], make)
    return json.loads(gzip.decompress((folder / _KEPT).read_bytes()))
