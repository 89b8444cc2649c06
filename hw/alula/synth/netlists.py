"""Each module of a design as a netlist of its part's cells, by Yosys; kept by content."""

import gzip
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from alula.folders import cache_folder
from alula.kept import kept
from alula.processes import in_threads
from alula.synth.tools import Tool
from alula.synth.verilog import inside

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""
Netlists = Mapping[str, Mapping[str, Any]]
"""By module name what Yosys writes of it: ports, cells, netnames. The first is the top."""

LIMIT_S = 3600
_KIND = "netlists"
_NETLIST = "netlist.json"
_KEPT = "netlist.json.gz"
_PARTS = {"ports": None, "cells": ("type", "parameters", "connections"), "netnames": None}
_NUMBERED = re.compile(r"dump_module\$\d+")
"""A helper of Yosys' Verilog, numbered on from one module of a design to the next."""
_PORT = re.compile(r"^  (?:input|output) .*;$", re.MULTILINE)


def netlists(
    modules: Mapping[str, str],
    script: str,
    tool: Tool,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
    *,
    only: Collection[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the netlist of each module; a shared module in it is a cell of that module's name.

    Args:
        modules: Verilog by module name, the first the top.
        script: what Yosys runs on each; ``-top`` and the module's name are added.
        tool: Yosys.
        progress: called for each module.
        workers: modules at once; as many as there are processors if not given.
        only: names of the modules that are wanted; all if not given.

    Raises:
        SynthError: Yosys refuses a module.
    """
    wanted = [name for name in modules if only is None or name in only]

    def netlist(name: str) -> dict[str, Any]:
        return _netlist(name, sources(name, modules), script, tool)

    found: dict[str, dict[str, Any]] = {}
    progress("synthesis", 0, len(wanted))
    for name, text in zip(wanted, in_threads(netlist, wanted, workers), strict=True):
        found[name] = text
        progress("synthesis", len(found), len(wanted))
    return found


def missing(modules: Mapping[str, str], script: str, tool: Tool) -> list[str]:
    """Return the modules whose netlists are not kept yet; arguments as for `netlists`."""
    keys = {name: _key(sources(name, modules), script, tool) for name in modules}
    return [name for name, key in keys.items() if not (cache_folder() / _KIND / key).is_dir()]


def cells_of(netlist: Mapping[str, Any]) -> dict[str, int]:
    """Return a module's cells by kind, shared modules among them by name."""
    return dict(Counter(cell["type"] for cell in netlist["cells"].values()))


def _stub(name: str, text: str) -> str:
    """Return a module's ports alone."""
    text = text[text.index(f"module {name}(") :]
    ports = _PORT.findall(text[: text.index("\nendmodule")])
    head = text[: text.index(";") + 1]
    return "\n".join(["(* blackbox *)", head, *ports, "endmodule", ""])


def sources(name: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Return the files that Yosys reads for a module: itself, and stubs of those in it."""
    used = dict.fromkeys(inside(name, modules))
    stubs = "".join(_stub(other, modules[other]) for other in used)
    return {"stubs.v": stubs, "module.v": modules[name]}


def _key(texts: Mapping[str, str], script: str, tool: Tool) -> str:
    text = _NUMBERED.sub("", f"{tool.name} {tool.version}\n{script}\n{texts}")
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _netlist(name: str, texts: Mapping[str, str], script: str, tool: Tool) -> dict[str, Any]:
    """Return a synthesised module, from the cache if it is there."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-synth-") as temporary:
            scratch = Path(temporary)
            for file, content in texts.items():
                (scratch / file).write_text(content, encoding="utf-8")
            steps = [f"read_verilog {' '.join(texts)}", f"{script} -top {name}"]
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

    folder = kept(_KIND, _key(texts, script, tool), make)
    return json.loads(gzip.decompress((folder / _KEPT).read_bytes()))
