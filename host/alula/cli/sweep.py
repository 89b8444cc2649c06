"""`alula sweep`: a grid of designs, simulated and synthesised."""

from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar


@guarded
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table (JSON, CSV) and plot (PNG); must be new."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Points at once.", show_default="the processors there are"),
    ] = None,
    json: options.Json = False,
) -> None:
    """Run one decoder layer in RTL on every design of a grid, and synthesise each.

    A point that cannot be built is a row with its reason.

    [bold]Example[/bold]

    alula sweep designs/sweeps/quick.yaml --out build/quick
    """
    from alula.explore.saving import save
    from alula.explore.space import load_sweep
    from alula.explore.sweep import run_sweep
    from alula.explore.table import summary
    from alula.runtime.errors import RunError

    space = load_sweep(file)
    if out is not None and out.exists():
        raise RunError(f"--out must be a folder that does not exist yet, not {out}")
    with progress_bar() as progress:
        rows = run_sweep(space, processes=processes, progress=progress)
    if out is not None:
        save(rows, space.name, out)
    if json:
        print_json({"sweep": space.name, "rows": [row.as_dict() for row in rows]})
        return
    print_table(*summary(rows))
