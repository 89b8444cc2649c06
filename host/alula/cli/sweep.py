"""`alula sweep`: a grid of designs, simulated and synthesised."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.explore.row import Row


@guarded
def sweep(
    file: options.Sweep,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the rows, each as it comes, and at the end for table (JSON, CSV) and "
            "plot (PNG). A second start with the same folder goes on where the first one was."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Points at once.", show_default="the processors there are"),
    ] = None,
    json: options.Json = False,
) -> None:
    """Run one decoder layer in RTL on every design of a grid, and synthesise each.

    A point that cannot be built is a row with its reason. Exits with 2 if that is so for all.

    [bold]Example[/bold]

    alula sweep quick --out build/quick
    """
    from alula.explore.saving import save
    from alula.explore.space import load_sweep
    from alula.explore.store import opened
    from alula.explore.sweep import run_sweep

    space = load_sweep(file)
    with ExitStack() as stack:
        store = stack.enter_context(opened(out)) if out is not None else None
        try:
            with progress_bar() as progress:
                rows = run_sweep(space, processes=processes, store=store, progress=progress)
        except KeyboardInterrupt:
            kept = f"; {out} has the rows so far, and the same command goes on" if out else ""
            tell(f"interrupted{kept}")
            raise typer.Exit(USER_ERROR) from None
        if out is not None:
            save(rows, space.name, out)
    failed = [row for row in rows if row.reason is not None]
    if json:
        plain = [row.as_dict() for row in rows]
        print_json({"sweep": space.name, "failed": len(failed), "rows": plain})
    else:
        _print(rows, failed, out)
    if len(failed) == len(rows):
        tell(f"all {len(rows)} points of {space.name} failed")
        raise typer.Exit(USER_ERROR)


def _print(rows: "list[Row]", failed: "list[Row]", out: Path | None) -> None:
    """Print what a person reads: the table, and how many rows have no result."""
    from alula.explore.table import in_one_line, summary

    print_table(*summary(rows))
    if failed:
        print(f"\n{len(failed)} of {len(rows)} points failed")
    if any(row.reason != in_one_line(row.reason or "") for row in failed):
        print(f"the whole reasons are in {out}" if out else "--json gives the whole reasons")
