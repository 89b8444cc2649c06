"""What Vivado found of a design, read from its reports of utilisation and of timing."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from alula.chips import Use
from alula.design import Design
from alula.design.error import listed
from alula.files import read_text
from alula.synth.order import order_number
from alula.synth.tools import SynthError
from alula.synth.verilog import TOP

Source = Literal["estimated", "placed"]
"""Of a number: by Vivado's synthesis alone, or with every cell at its place."""

_HEAD = re.compile(r"^\| (Tool Version|Command|Design|Device|Design State)\s*: (.*?)\s*$", re.M)
_PLACED = ("Fully Placed", "Physopt postPlace", "Routed", "Physopt postRoute")
_FLAT = {
    "lut": (Use(lut=1), "CLB LUTs", "Slice LUTs"),
    "ff": (Use(ff=1), "CLB Registers", "Slice Registers", "Registers"),
    "dsp": (Use(dsp=1), "DSPs", "DSP Slices"),
    "bram36": (Use(bram36=1), "Block RAM Tile"),
    "uram": (Use(uram=1), "URAM"),
}
"""By resource one of it, and what the rows of a report of the whole call it.

A chip has no row of what it lacks.
"""
_NEEDED = ("lut", "ff")
_LEVELS = {
    "Total LUTs": Use(lut=1),
    "FFs": Use(ff=1),
    "RAMB36": Use(bram36=1),
    "RAMB18": Use(bram36=0.5),
    "URAM": Use(uram=1),
    "DSP Blocks": Use(dsp=1),
    "DSP48 Blocks": Use(dsp=1),
    "DSP Slices": Use(dsp=1),
}
"""Columns of a report by hierarchy."""
_SETUP = 8
"""Columns behind a clock's name, of setup and hold; a clock without such paths has fewer."""
_CELL = "accelerator"
"""What the script of `alula export` calls the accelerator beside a processing system."""


@dataclass(frozen=True)
class VivadoReport:
    """What Vivado's reports say of a design.

    Attributes:
        tool: Vivado with its version.
        use: what is taken of the part; None without a report of utilisation.
        use_source: how that is known.
        period_ns, slack_ns: of the design's clock, and the worst slack of its paths; None without
            a report of timing.
        clock_source: how the slack is known.
    """

    tool: str
    use: Use | None = None
    use_source: Source | None = None
    period_ns: float | None = None
    slack_ns: float | None = None
    clock_source: Source | None = None

    @property
    def mhz(self) -> float | None:
        """The clock that the worst path allows."""
        if self.period_ns is None or self.slack_ns is None:
            return None
        return 1000 / (self.period_ns - self.slack_ns)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self) | {"mhz": self.mhz}


def read_reports(design: Design, paths: Iterable[Path]) -> VivadoReport:
    """Read what `report_utilization` and `report_timing_summary` wrote of a design.

    Args:
        design: what was built; its part's order number must be that of the reports.
        paths: of one report of utilisation, flat or ``-hierarchical``, of timing, or of both.

    Raises:
        SynthError: a report cannot be read, is of another kind, chip or design, or says nothing.
    """
    found: dict[str, VivadoReport] = {}
    for path in paths:
        kind, one = _read(design, path)
        if kind in found:
            raise SynthError(f"there must be one report of {kind}, not a second one ({path})")
        found[kind] = one
    if not found:
        raise SynthError("there must be a report to read, and there is none")
    whole = VivadoReport(listed(list(dict.fromkeys(one.tool for one in found.values())), "and"))
    for one in found.values():
        known = {
            field.name: value
            for field in fields(one)
            if field.name != "tool" and (value := getattr(one, field.name)) is not None
        }
        whole = replace(whole, **known)
    return whole


def _read(design: Design, path: Path) -> tuple[str, VivadoReport]:
    """Return what a report is of, and what it says."""
    try:
        text = read_text(path)
    except OSError as error:
        raise SynthError(f"a report must be a readable file: {error.strerror} ({path})") from None
    except UnicodeDecodeError:
        raise SynthError(f"a report must be UTF-8 text, not other bytes ({path})") from None
    head = dict(reversed(_HEAD.findall(text)))
    kinds: dict[str, tuple[str, Callable[..., VivadoReport]]] = {
        "report_utilization": ("utilisation", _utilisation),
        "report_timing_summary": ("timing", _timing),
    }
    command = head.get("Command", "").partition(" ")[0]
    if command not in kinds:
        wanted = f"a report must be what {listed(list(kinds))} of Vivado wrote"
        raise SynthError(f"{wanted}, not {command or 'another file'} ({path})")
    _check_device(design, head.get("Device", ""), path)
    kind, read = kinds[command]
    tool = re.sub(r"^Vivado v\.?(\S+).*", r"Vivado \1", head.get("Tool Version", "Vivado"))
    return kind, read(VivadoReport(tool), design, head, text, path)


def _check_device(design: Design, device: str, path: Path) -> None:
    """A report names the chip with its package, and its speed grade there or elsewhere."""
    wanted, given = (
        re.sub(r"[^a-z0-9]", "", name.lower()) for name in (order_number(design), device)
    )
    if not given or not wanted.startswith(re.sub(r"^(?=7|6)", "xc", given)):
        place = f"{design.name}, {path}"
        raise SynthError(
            f"a report must be of {order_number(design)}, not {device or 'no chip'} ({place})"
        )


def _source(head: dict[str, str]) -> Source:
    return "placed" if head.get("Design State") in _PLACED else "estimated"


def _utilisation(
    report: VivadoReport, design: Design, head: dict[str, str], text: str, path: Path
) -> VivadoReport:
    own = (TOP, f"{design.name.replace('-', '_')}_axi")
    table = [_cells(line) for line in text.splitlines() if line.startswith("|")]
    header = next((row for row in table if row[:1] == ["Instance"]), None)
    if header is not None:
        rows = [dict(zip(header, row, strict=True)) for row in table if len(row) == len(header)]
        row = next((row for row in rows if row["Instance"] in (*own, _CELL)), None)
        if row is not None:
            known = ((_LEVELS[name], value) for name, value in row.items() if name in _LEVELS)
            counts = (_times(one, value, path) for one, value in known)
            return replace(report, use=sum(counts, Use()), use_source=_source(head))
    elif head.get("Design") in own:
        return replace(report, use=_flat(table, path), use_source=_source(head))
    raise SynthError(
        f"a report of utilisation must be of {listed([*own])}, or have an instance {_CELL}, "
        f"not of {head.get('Design', 'nothing')} alone ({path})"
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _flat(table: list[list[str]], path: Path) -> Use:
    """Sum up the first row of each resource: later tables have some again."""
    found: dict[str, Use] = {}
    for row in table:
        for resource, (one, *names) in _FLAT.items():
            if row[0].rstrip("*") in names and len(row) > 2 and resource not in found:
                found[resource] = _times(one, row[1], path)
    if missing := [name for name in _NEEDED if name not in found]:
        names = listed([_FLAT[name][1] for name in missing], "and")
        raise SynthError(f"a report of utilisation must have a row of {names} ({path})")
    return sum(found.values(), Use())


def _times(one: Use, text: str, path: Path) -> Use:
    """Read a number of a table, behind which its share may stand; block RAMs may be halves."""
    match = re.fullmatch(r"(\d{1,9})(\.5)?(?:\(.*\))?", text.replace(" ", ""))
    if match is None or (match[2] and not one.bram36):
        raise SynthError(f"a report must have a number of each resource, not {text!r} ({path})")
    return one * int(match[1]) + (Use(bram36=0.5) if match[2] else Use())


def _timing(
    report: VivadoReport, design: Design, head: dict[str, str], text: str, path: Path
) -> VivadoReport:
    periods = {row[0]: row[-2] for row in _rows(text, "Clock Summary")}
    slacks = {row[0]: row[1] for row in _rows(text, "Intra Clock Table") if len(row) > _SETUP}
    timed = {name: slacks[name] for name in periods if _number(slacks.get(name))}
    clock = "clk" if "clk" in timed else next((name for name in timed if "pl_0" in name), None)
    if clock is None and len(timed) == 1:
        clock = next(iter(timed))
    if clock is None or not _number(periods[clock]):
        known = listed(list(periods)) if periods else "none"
        raise SynthError(
            f"a report of timing must have paths of one clock, or of one named clk, "
            f"not {known} ({path})"
        )
    period, slack = float(periods[clock]), float(timed[clock])
    if slack >= period:
        raise SynthError(
            f"the worst slack must be below the period, {period} ns, not {slack} ns ({path})"
        )
    return replace(report, period_ns=period, slack_ns=slack, clock_source=_source(head))


def _rows(text: str, title: str) -> Iterator[list[str]]:
    """Yield the words of each row of the first table under a title."""
    start = text.find(f"\n| {title}\n")
    lines = iter(text[start:].splitlines() if start >= 0 else ())
    for line in lines:
        if line.startswith("-----") and " " in line:
            break
    for line in lines:
        if not line.strip():
            return
        yield re.sub(r"\{.*?\}", "", line).split()


def _number(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
