"""`alula synth`: what a design takes of its part."""

from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar


@guarded
def synth(
    design: options.DesignArgument,
    place: Annotated[
        bool, typer.Option("--place", help="Place and route too, with nextpnr on ECP5.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Synthesise a design module by module with Yosys, and compare with its part.

    Exits with 2 if the part does not have all of it.

    [bold]Examples[/bold]

    alula synth kv260

    alula synth tiny --place --json
    """
    from alula.design import load_design
    from alula.synth import place_and_route, synthesise

    chosen = load_design(design)
    with progress_bar() as progress:
        report = synthesise(chosen, progress)
        placement = place_and_route(chosen, progress) if place else None
    if json:
        print_json(report.as_dict() | ({"placement": placement.as_dict()} if placement else {}))
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
        if placement:
            print(f"\n{placement.fmax_mhz:.1f} MHz of {placement.clock_mhz} MHz by nextpnr")
    if not report.fits:
        tell(f"{chosen.name} must fit {chosen.part.name}, and takes more than it has")
        raise typer.Exit(USER_ERROR)
