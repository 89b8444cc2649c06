"""Synthesise designs and fit the resource model of `alula.cost.resources` to them.

`python -m benchmarks.fit_resources`: synthesises the designs that are planned and held-out ones
drawn by a seed, writes each to `synthesised.json` as it comes, then fits and writes `fitted.json`.
What the cache has is not synthesised again. With `--kept` nothing is synthesised: of each design
those modules are taken that the cache has.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alula.chips import Use
from alula.cost.resources.composition import FITTED, SYNTHESISED
from alula.cost.resources.fit import ModuleFit, Synthesised, fitted
from alula.cost.resources.modules import KINDS, Dimensions
from alula.design import Design
from alula.synth import yosys
from alula.synth.netlists import Netlists, Progress, cells_of, missing, netlists
from alula.synth.report import module_uses
from alula.synth.timing import SETTING, estimate
from alula.synth.verilog import described, instances
from alula.timing import Module as Timed
from alula.timing import Netlist, analyse
from benchmarks.report import progress_shown
from benchmarks.resource_designs import SEED, Chosen, drawn, planned
from benchmarks.rtl_sizes import rtl_sizes


def main() -> int:
    """Synthesise, fit, and write both files; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="draws the held-out designs")
    parser.add_argument("--kept", action="store_true", help="synthesise nothing")
    words = parser.parse_args()
    found: list[dict[str, Any]] = []
    for chosen in (*planned(), *drawn(words.seed)):
        with progress_shown() as progress:
            found.append(synthesised(chosen, progress, words.kept))
        _write(SYNTHESISED, {"seed": words.seed, "tool": yosys().version, "designs": found})
    designs = [Synthesised.read(one) for one in found]
    _write(FITTED, fitted(designs))
    return 0


def synthesised(chosen: Chosen, progress: Progress, kept: bool) -> dict[str, Any]:
    """Return a design's modules by class, as they stand in `synthesised.json`.

    Args:
        chosen: the design.
        progress: told of each module.
        kept: take only what need not be synthesised.
    """
    design, tool = chosen.design, yosys()
    written, script = described(design), design.family.synthesis
    modules = written.modules
    left_out = missing(modules, script, tool) if kept or chosen.emitted else []
    wanted = [name for name in modules if name not in left_out]
    found = netlists(modules, script, tool, progress, only=wanted)
    whole = None
    if left_out:
        ns = _alone(found, frozenset(modules), design)
    else:
        timing = estimate(found, design, written.sources, progress)
        whole = round(timing.whole["ns"], 3)
        ns = {name: one["ns"] for name, one in timing.modules.items()}
    return {
        "base": chosen.base,
        "changes": dict(chosen.changes),
        "held_out": chosen.held_out,
        "commit": commit(),
        "ns": whole,
        "modules": _by_kind(modules, found, ns, chosen),
    }


def _alone(found: Netlists, names: frozenset[str], design: Design) -> dict[str, float]:
    """The longest path in each module, of those whose instances are all of modules found."""
    family = design.family
    modules = {
        name: Timed(name, netlist, family.delays, names - {name}) for name, netlist in found.items()
    }
    return {
        name: analyse(Netlist(modules, name, alone=True), 1.0, family.nets[SETTING], 0).ns
        for name, module in modules.items()
        if {child.module for child in module.children} <= set(modules)
    }


def _by_kind(
    modules: Mapping[str, str], found: Netlists, ns: Mapping[str, float], chosen: Chosen
) -> list[dict[str, Any]]:
    """Join modules of one class; `KINDS` must know how many there are."""
    design = chosen.design
    cells = {name: cells_of(netlist) for name, netlist in found.items()}
    uses = {item.module: item.total for item in module_uses(modules, cells, design.family)}
    dimensions, times = Dimensions.of(design), instances(modules)
    known = {kind.name: kind for kind in KINDS}
    kinds: dict[str, list[str]] = {}
    for name in modules:
        kinds.setdefault(name.partition("_")[0], []).append(name)
    grow = [name for kind, names in kinds.items() if len(known[kind].size) > 1 for name in names]
    # Nothing is fitted to what a held-out design is before it is mapped, either.
    sizes = {} if chosen.held_out else rtl_sizes(modules, grow, yosys())
    rows = []
    for kind, names in kinds.items():
        count = sum(times[name] for name in names)
        if known[kind].count(dimensions) != count:
            raise SystemExit(f"{kind}: alula.cost.resources.modules must know of {count}")
        own = [(times[name], *sizes.get(name, (0, 0.0))) for name in names]
        whole, timed = set(names) <= set(uses), set(names) <= set(ns)
        item = ModuleFit(
            kind=kind,
            count=count,
            registers=sum(many * registers for many, registers, _ in own) // count,
            logic=round(sum(many * logic for many, _, logic in own) / count, 1),
            use=sum((uses[name] for name in names), Use()) if whole else None,
            ns=round(max(ns[name] for name in names), 3) if timed else None,
        )
        rows.append(asdict(item))
    return rows


def commit() -> str:
    """Of the gateware that is synthesised; "dirty" where it has changes that are in none."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    head = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "hw"], check=False).returncode
    return f"{head}-dirty" if changed else head


def _write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
