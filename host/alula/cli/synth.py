"""`alula synth`: what a design takes of its part."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.chips import Use
    from alula.cost.resources import Resources
    from alula.design import Design
    from alula.synth import VivadoReport
    from alula.synth.timing import TimingEstimate

_NAMES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM"}


@guarded
def synth(
    design: options.DesignArgument,
    place: Annotated[
        bool, typer.Option("--place", help="Place and route too, with nextpnr on ECP5.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default="4",
            help="With --place: placements that are made at most, until one reaches the design's "
            "clock; the fastest counts.",
        ),
    ] = None,
    modules: Annotated[
        bool,
        typer.Option("--modules", help="Place and route each module alone too, on ECP5."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Synthesise nothing: estimate at once from other designs."),
    ] = False,
    read: Annotated[
        list[Path] | None,
        typer.Option(
            "--read",
            metavar="REPORT",
            help="Synthesise nothing: read Vivado's report_utilization, report_timing_summary or "
            "both.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Synthesise a design module by module with Yosys: what it takes, and how fast it might be.

    Timing is an estimate from published cell delays and a model of nets: nothing is placed. With
    --estimate both are estimated in a moment, from fits to what was synthesised of other designs;
    with --read the same table has what Vivado found beside it.

    Exits with 2 if the part does not have all of it.

    [bold]Examples[/bold]

    alula synth kv260

    alula synth tiny --place --json

    alula synth nano --modules

    alula synth kv260 --read utilization.rpt --read timing.rpt
    """
    from alula.design import load_design
    from alula.synth import SynthError, check_flow, place_and_route, place_modules, synthesise
    from alula.synth.place import SEEDS

    chosen = load_design(design)
    if seeds is not None and not place:
        raise SynthError("--seeds must be given with --place")
    if estimate or read:
        if place or modules:
            raise SynthError("--estimate and --read must be given without --place and --modules")
        _without_synthesis(chosen, read or [], json)
        return
    if place or modules:
        check_flow(chosen)
    with progress_bar() as progress:
        report = synthesise(chosen, progress)
        alone = place_modules(chosen, progress) if modules else None
        placement = place_and_route(chosen, progress, seeds=seeds or SEEDS) if place else None
    if json:
        placed = {"placement": placement, "placed_modules": alone}
        print_json(report.as_dict() | {name: one.as_dict() for name, one in placed.items() if one})
    else:
        rows = [(item.module, str(item.instances), *_counts(item.total)) for item in report.modules]
        rows.append(("all", "", *_counts(report.total)))
        rows.append((f"of {chosen.part.name}", "", *_shares(chosen, report.total)))
        print_table(("module", "times", *_NAMES.values()), rows)
        _print_timing(report.timing, chosen.clock_mhz)
        if alone:
            print()
            slowest = sorted(alone.fmax_mhz.items(), key=lambda one: one[1])
            print_table(
                ("module, placed alone", "MHz"), [(name, f"{mhz:.1f}") for name, mhz in slowest]
            )
        if placement:
            print(f"\n{placement.fmax_mhz:.1f} MHz placed by nextpnr, of {placement.clock_mhz} MHz")
    _check_fit(chosen, report.total)


def _check_fit(design: "Design", use: "Use") -> None:
    if not use.fits(design.part):
        tell(f"{design.name} must fit {design.part.name}, and takes more than it has")
        raise typer.Exit(USER_ERROR)


def _counts(use: "Use") -> list[str]:
    """The columns of a table; see `_NAMES`."""
    return [f"{getattr(use, name):,g}" for name in _NAMES]


def _shares(design: "Design", use: "Use") -> list[str]:
    shares = use.shares(design.part)
    return [f"{shares[name]:.1%}" if name in shares else "" for name in _NAMES]


def _without_synthesis(design: "Design", paths: list[Path], json: bool) -> None:
    """Print what is estimated of a design, and what reports say of it."""
    from alula.cost.resources import estimate
    from alula.synth import read_reports

    report = read_reports(design, paths) if paths else None
    estimated = estimate(design)
    use = (report and report.use) or estimated.use
    if json:
        print_json(
            {
                "design": design.name,
                "design_hash": design.hash,
                "part": design.part.model_dump(),
                "share": use.shares(design.part),
                "fits": use.fits(design.part),
                "estimated": estimated.as_dict(),
                "report": report and report.as_dict(),
            }
        )
    else:
        rows = [*_estimated(estimated), *(_reported(report) if report else ())]
        rows.append((f"of {design.part.name}", *_shares(design, use), f"{design.clock_mhz}"))
        print_table((design.name, *_NAMES.values(), "MHz"), rows)
        if estimated.extrapolated:
            print(f"\nextrapolated in {', '.join(estimated.extrapolated)}: no error is known")
    _check_fit(design, use)


def _estimated(found: "Resources") -> Iterator[tuple[str, ...]]:
    yield ("estimated", *_counts(found.use), f"{found.mhz:.0f}")
    if found.errors and not found.extrapolated:
        title = f"largest error, {found.held_out} held out"
        yield (title, *(f"{found.errors[name]:.1%}" for name in (*_NAMES, "mhz")))


def _reported(report: "VivadoReport") -> Iterator[tuple[str, ...]]:
    """Yield a row of what is placed and one of what is estimated, as far as there is any."""
    for source in dict.fromkeys((report.use_source, report.clock_source)):
        if source is not None:
            use = report.use if source == report.use_source else None
            mhz = report.mhz if source == report.clock_source else None
            counts = _counts(use) if use else [""] * len(_NAMES)
            yield (f"{source} by {report.tool}", *counts, f"{mhz:.0f}" if mhz else "")


def _print_timing(timing: "TimingEstimate", clock_mhz: int) -> None:
    """Print each module's timing, then that of the whole with its worst paths."""

    def columns(one: Mapping[str, Any]) -> tuple[str, ...]:
        mhz = f"{one['mhz']:,.0f}" if one["mhz"] else "-"
        over = f"{one['endpoints_over']:,} of {one['endpoints']:,}"
        return str(one["levels"]), f"{one['ns']:.2f}", mhz, over

    late = f"ends above {1000 / clock_mhz:.2f} ns"
    rows: list[tuple[str, ...]] = [("module", "levels", "ns", "MHz", late, "port to port")]
    for name, one in timing.modules.items():
        through = one["combinational"]
        rows.append((name, *columns(one), str(through[0]["levels"]) if through else ""))
    rows.append(("all", *columns(timing.whole), ""))
    print()
    print_table(rows[0], rows[1:])
    whole = timing.whole
    print(
        f"\n{whole['mhz']:.0f} MHz estimated, not placed ({whole['mhz_slow']:.0f} to "
        f"{whole['mhz_fast']:.0f}), of {clock_mhz} MHz; the worst paths:"
    )
    for path in whole["paths"]:
        print(f"{path['ns']:6.2f} ns {path['levels']:3} levels  {path['start']} -> {path['end']}")
        lines = [line for line in path["source"] if line]
        if lines:
            print(f"{'':21}{' -> '.join(dict.fromkeys(lines))}")
