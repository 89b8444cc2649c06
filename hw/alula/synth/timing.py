"""How fast a design might be: an estimate from its netlists, where nothing is placed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alula.design import Design
from alula.kept import kept
from alula.sources import sources_id
from alula.synth.clock import remember
from alula.synth.netlists import Netlists, Progress
from alula.synth.tools import SynthError
from alula.timing import Module, Netlist, UnknownCell, analyse, through

Lines = Mapping[str, Mapping[str, str]]

SETTING = "typical"
_PATHS = 10
_FILE = "timing.json"


@dataclass(frozen=True)
class TimingEstimate:
    """Timing of a design and of its modules, estimated.

    Attributes:
        whole: levels, ns, mhz, mhz_fast, mhz_slow, endpoints, endpoints_over (of the design's
            period), loops, paths (start, end, ns, levels, source, through).
        modules: the same of each module alone, shared modules in it left out, and `combinational`:
            start, end and levels of paths from port to port through all that is in it.
    """

    whole: Mapping[str, Any]
    modules: Mapping[str, Mapping[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        return {**self.whole, "source": "estimated", "modules": dict(self.modules)}


def estimate(
    netlists: Netlists,
    design: Design,
    lines: Lines,
    progress: Progress = lambda stage, done, total: None,
) -> TimingEstimate:
    """Return the timing of a design from the netlists of its modules, the first the top.

    Args:
        netlists: of all modules.
        design: what they are of.
        lines: by module, and by name of a signal in it, the line of its source.
        progress: called for each module.

    Raises:
        SynthError: no delays are known of a cell.
    """
    made_by = sources_id("alula.timing", "alula.chips", __name__)
    texts = json.dumps([netlists, lines, design.family.name, design.clock_mhz, made_by])
    key = hashlib.sha256(texts.encode()).hexdigest()[:32]

    def make(folder: Path) -> None:
        found = asdict(_estimate(netlists, design, lines, progress))
        (folder / _FILE).write_text(json.dumps(found), encoding="utf-8")

    place = kept("timing", key, make)
    found = TimingEstimate(**json.loads((place / _FILE).read_text(encoding="utf-8")))
    remember(design, "estimated", found.whole["mhz"])
    return found


def _estimate(
    netlists: Netlists, design: Design, lines: Lines, progress: Progress
) -> TimingEstimate:
    family, period = design.family, 1000 / design.clock_mhz
    names = frozenset(netlists)
    try:
        modules = {
            name: Module(name, text, family.delays, names - {name}, lines.get(name, {}))
            for name, text in netlists.items()
        }
    except UnknownCell as error:
        raise SynthError(str(error)) from None
    top = next(iter(modules))
    found = {}
    for done, name in enumerate(modules):
        progress("timing", done, len(modules))
        found[name] = _timing(Netlist(modules, name, alone=True), design, period)
        ports = through(Netlist(modules, name)) if name != top else ()
        found[name]["combinational"] = [asdict(one) for one in ports]
    whole = _timing(Netlist(modules, top), design, period)
    progress("timing", len(modules), len(modules))
    return TimingEstimate(whole, found)


def _timing(netlist: Netlist, design: Design, period: float) -> dict[str, Any]:
    settings = {
        name: analyse(netlist, period, nets, _PATHS if name == SETTING else 0)
        for name, nets in design.family.nets.items()
    }
    chosen = settings[SETTING]
    mhz = {name: round(one.mhz, 3) if one.ns else None for name, one in settings.items()}
    return asdict(chosen) | {"mhz": mhz.pop(SETTING)} | {f"mhz_{name}": mhz[name] for name in mhz}
