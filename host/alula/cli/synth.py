"""`alula synth`: what a design takes of its part."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.synth.timing import Estimate


@guarded
def synth(
    design: options.DesignArgument,
    place: Annotated[
        bool, typer.Option("--place", help="Place and route too, with nextpnr on ECP5.")
    ] = False,
    modules: Annotated[
        bool,
        typer.Option("--modules", help="Place and route each module alone too, on ECP5."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Synthesise a design module by module with Yosys: what it takes, and how fast it might be.

    Timing is an estimate from published cell delays and a model of nets: nothing is placed.

    Exits with 2 if the part does not have all of it.

    [bold]Examples[/bold]

    alula synth kv260

    alula synth tiny --place --json

    alula synth nano --modules
    """
    from alula.design import load_design
    from alula.synth import check_flow, place_and_route, place_modules, synthesise

    chosen = load_design(design)
    if place or modules:
        check_flow(chosen)
    with progress_bar() as progress:
        report = synthesise(chosen, progress)
        alone = place_modules(chosen, progress) if modules else None
        placement = place_and_route(chosen, progress) if place else None
    if json:
        placed = {"placement": placement, "placed_modules": alone}
        print_json(report.as_dict() | {name: one.as_dict() for name, one in placed.items() if one})
    else:
        names = ("lut", "ff", "dsp", "bram36", "uram")
        rows = [
            (item.module, str(item.instances), *(f"{getattr(item.total, n):,g}" for n in names))
            for item in report.modules
        ]
        rows.append(("all", "", *(f"{getattr(report.total, name):,g}" for name in names)))
        shares = (f"{report.shares[name]:.1%}" if name in report.shares else "" for name in names)
        rows.append((f"of {chosen.part.name}", "", *shares))
        print_table(("module", "times", "LUT", "FF", "DSP", "BRAM36", "URAM"), rows)
        _print_timing(report.timing, chosen.clock_mhz)
        if alone:
            print()
            slowest = sorted(alone.fmax_mhz.items(), key=lambda one: one[1])
            print_table(
                ("module, placed alone", "MHz"), [(name, f"{mhz:.1f}") for name, mhz in slowest]
            )
        if placement:
            print(f"\n{placement.fmax_mhz:.1f} MHz placed by nextpnr, of {placement.clock_mhz} MHz")
    if not report.fits:
        tell(f"{chosen.name} must fit {chosen.part.name}, and takes more than it has")
        raise typer.Exit(USER_ERROR)


def _print_timing(timing: "Estimate", clock_mhz: int) -> None:
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
