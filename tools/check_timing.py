"""Check LUT levels and combinational paths between ports of shipped designs against their limits.

`timing_limits.json` has the limits, by design and by Yosys, whose versions map logic differently.
What cannot be checked is said. Limits only fall: with `--write` they become what is found, where
that is less; with `--anew` all limits of the designs and this Yosys are what is found.
"""

import argparse
import json
import sys
from pathlib import Path

from alula.cli.progress import progress_bar
from alula.design import Design, load_design
from alula.synth import SynthError, synthesise, yosys
from alula.synth.limits import Limits
from alula.synth.netlists import missing
from alula.synth.tools import Tool
from alula.synth.verilog import verilog

LIMITS = Path(__file__).with_name("timing_limits.json")
ALWAYS = "nano"
COMMAND = "python tools/check_timing.py"


def not_checked(design: Design, tool: Tool, known: dict[str, dict], asked: bool) -> str | None:
    """Return why a design is not checked; None if it is."""
    if tool.version not in known:
        others = ", ".join(known) or "no Yosys"
        return f"its limits are of {others}, not of {tool.version}"
    if asked or design.name == ALWAYS:
        return None
    waiting = missing(verilog(design), design.family.synthesis, tool)
    if waiting:
        return f"{len(waiting)} modules are to be synthesised ({COMMAND} {design.name})"
    return None


def check(design: Design, known: dict[str, dict], tool: Tool, write: bool, anew: bool) -> list[str]:
    """Return what is more than a design's limits; write them if that is asked for."""
    with progress_bar() as progress:
        found = Limits.found(synthesise(design, progress).timing)
    limits = found if anew else Limits.read(known[tool.version])
    lines = list(limits.excess(found))
    tighter = limits.tightened(found)
    if write or anew:
        known[tool.version] = tighter.as_dict()
    elif tighter != limits and not lines:
        print(f"timing of {design.name}: limits can fall ({COMMAND} --write)")
    return [f"timing of {design.name}: {line} ({tool.version})" for line in lines]


def main() -> int:
    """Check the designs, or write their limits; return 1 if there is more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("designs", nargs="*", help="designs to check; else those with limits")
    parser.add_argument("--write", action="store_true", help="let limits fall")
    parser.add_argument("--anew", action="store_true", help="replace the limits by what is found")
    given = parser.parse_args()
    known = json.loads(LIMITS.read_text(encoding="utf-8"))
    try:
        tool = yosys()
    except SynthError as error:
        print(f"timing: not checked: {error}")
        return 0
    wrong = []
    for name in given.designs or known:
        design, limits = load_design(name), known.setdefault(name, {})
        asked = name in given.designs
        reason = None if given.anew else not_checked(design, tool, limits, asked)
        if reason:
            print(f"timing of {name}: not checked: {reason}")
            continue
        lines = check(design, limits, tool, given.write, given.anew)
        print("\n".join(lines) or f"timing of {name}: within its limits ({tool.version})")
        wrong += lines
    if given.write or given.anew:
        LIMITS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
