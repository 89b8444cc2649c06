"""Place and route of an ECP5 design by nextpnr: what it takes, and how fast it is."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alula.chips import FAMILIES
from alula.design import Design
from alula.design.error import listed
from alula.kept import kept
from alula.synth import floorplan
from alula.synth.clock import remember
from alula.synth.nextpnr_flow import chip, nextpnr_options, synthesis
from alula.synth.report import Progress
from alula.synth.tools import SynthError, nextpnr, yosys
from alula.synth.verilog import scanned

LIMIT_S = 4 * 3600
SEEDS = 4
"""Placements of a design that are made at most, unless something else is asked for."""
_NETLIST = "netlist.json"
_REPORT = "report.json"
_STAGES = (
    ("Logic utilisation", "pack"),
    ("Creating initial analytic placement", "place"),
    ("Running simulated annealing", "refine the placement"),
    ("Routing globals", "route"),
)
"""What nextpnr prints when it begins something that takes minutes, and what that is."""


@dataclass(frozen=True)
class Placement:
    """A design on its chip.

    Attributes:
        tool: Yosys and nextpnr with their versions.
        clock_mhz: The clock that was asked for.
        fmax_mhz: The fastest that all paths allow.
        seed: Where the placer began.
        used: Cells of each kind, `Scan`'s included.
        available: What the chip has of them.
    """

    tool: str
    clock_mhz: int
    fmax_mhz: float
    seed: int
    used: dict[str, int]
    available: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        """Return the placement as plain values."""
        return asdict(self)


def place_and_route(
    design: Design,
    progress: Progress = lambda stage, done, total: None,
    *,
    seeds: int = SEEDS,
) -> Placement:
    """Place and route a design behind scan registers; from the cache what was done before.

    The placer begins somewhere else with each seed, and clocks differ by a tenth: seeds are tried
    in turn until one reaches the clock that was asked for. The fastest counts.

    Args:
        design: what is placed.
        progress: called for each stage.
        seeds: placements that are made at most, at least 1.

    Raises:
        SynthError: the part is no ECP5, a tool is missing, or the design does not fit.
    """
    if seeds < 1:
        raise SynthError(f"seeds must be at least 1, not {seeds}")
    check_flow(design)
    progress("verilog", 0, 1)
    texts = scanned(design)
    progress("verilog", 1, 1)
    seed, report = _fastest(design, texts, progress, seeds)
    remember(design, "placed", fmax_mhz(report))
    use = {kind: cells for kind, cells in report["utilization"].items() if cells["used"]}
    return Placement(
        tool=tools_used(),
        clock_mhz=design.clock_mhz,
        fmax_mhz=fmax_mhz(report),
        seed=seed,
        used={kind: cells["used"] for kind, cells in use.items()},
        available={kind: cells["available"] for kind, cells in use.items()},
    )


def _fastest(
    design: Design, texts: Mapping[str, str], progress: Progress, seeds: int
) -> tuple[int, Mapping[str, Any]]:
    """Return the seed and the report of the fastest placement, the first that is fast enough."""
    found: dict[int, Mapping[str, Any]] = {}
    for seed in range(1, seeds + 1):
        found[seed] = routed(design, texts, progress, seed=seed)
        if fmax_mhz(found[seed]) >= design.clock_mhz:
            break
    return max(found.items(), key=lambda item: fmax_mhz(item[1]))


def check_flow(design: Design) -> None:
    """Refuse a design whose chip nextpnr does not place. SynthError: it is such a one."""
    if design.family.flow != "nextpnr":
        known = listed([name for name, family in FAMILIES.items() if family.flow == "nextpnr"])
        raise SynthError(
            f"part.family must be {known} for nextpnr, not {design.part.family} ({design.name})"
        )


def tools_used() -> str:
    """Return the versions of Yosys and nextpnr. SynthError: one is missing."""
    return f"{yosys().version}, {nextpnr().version}"


def routed(
    design: Design, texts: Mapping[str, str], progress: Progress, *, seed: int = 1
) -> Mapping[str, Any]:
    """Return nextpnr's report of a top, from the cache if that was done before.

    Args:
        design: its chip and clock.
        texts: Verilog by module name, the top `SCAN` among them.
        progress: called for each stage.
        seed: where the placer begins.

    Raises:
        SynthError: a tool is missing, or the top does not fit.
    """
    options = nextpnr_options(design, _NETLIST, _REPORT, seed)
    key = _netlist_key(design, texts)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-place-") as temporary:
            scratch = Path(temporary)
            shutil.copy(_netlist(design, texts, progress), scratch)
            stages = _Stages(progress)
            nextpnr().run(options, folder=scratch, limit_s=LIMIT_S, heard=stages.hear)
            stages.end()
            shutil.copy(scratch / _REPORT, folder / _REPORT)

    place = kept("placement", _key(key, nextpnr().version, options), make)
    return json.loads((place / _REPORT).read_text(encoding="utf-8"))


def _netlist(design: Design, texts: Mapping[str, str], progress: Progress) -> Path:
    """Return the netlist of a top, its multipliers placed, from the cache if it is there."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-netlist-") as temporary:
            scratch = Path(temporary)
            for name, text in texts.items():
                (scratch / f"{name}.v").write_text(text, encoding="utf-8")
            files = " ".join(f"{name}.v" for name in texts)
            progress("synthesis", 0, 1)
            command = ["-q", "-p", f"read_verilog {files}; {synthesis(_NETLIST)}"]
            yosys().run(command, folder=scratch, limit_s=LIMIT_S)
            floorplan.main(chip(design)[0], scratch / _NETLIST)
            shutil.copy(scratch / _NETLIST, folder / _NETLIST)
            progress("synthesis", 1, 1)

    return kept("scanned", _netlist_key(design, texts), make) / _NETLIST


def _netlist_key(design: Design, texts: Mapping[str, str]) -> str:
    planner = Path(floorplan.__file__).read_text(encoding="utf-8")
    return _key(yosys().version, synthesis(_NETLIST), planner, chip(design)[0], dict(texts))


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class _Stages:
    """What nextpnr is at, from what it prints: an hour is long for one step."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._at = progress, 0
        progress(_STAGES[0][1], 0, 1)

    def hear(self, line: str) -> None:
        """Go on to a later stage once a line begins it."""
        for number, (begins, _) in enumerate(_STAGES):
            if number > self._at and begins in line:
                self.end()
                self._at = number
                self._progress(_STAGES[number][1], 0, 1)

    def end(self) -> None:
        """The stage is over."""
        self._progress(_STAGES[self._at][1], 1, 1)


def fmax_mhz(report: Mapping[str, Any]) -> float:
    """Return the fastest clock of nextpnr's report.

    A gated clock is another clock to nextpnr, which leaves the paths between the two out of both
    clocks' figures; they must be as fast.
    """
    found = [clock["achieved"] for clock in report["fmax"].values()]
    for critical in report["critical_paths"]:
        if all(critical[end].startswith(("posedge", "negedge")) for end in ("from", "to")):
            found.append(1000 / sum(step["delay"] for step in critical["path"]))
    return round(min(found), 2)
