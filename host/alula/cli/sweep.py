"""`alula sweep`: the designs of a space that are worth building."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.explore import Found

_MOST_ROWS = 40


@guarded
def sweep(
    file: options.Sweep,
    points: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Points that the cycle model is asked about at most.",
            show_default="what the file says",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Another model than the file names.",
            show_default="what the file says",
            autocompletion=options.shapes,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="The file that keeps each point as it comes; sweeps may share one. The same "
            "command goes on where an earlier start was.",
            show_default="one in the cache",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results: a page (HTML), CSV, Parquet and JSON."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Points at once.", show_default="the processors there are"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Dask scheduler, such as tcp://node1:8786, whose workers are used instead.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Search a space of designs, models and lengths for the best, and say how wrong each may be.

    A point that cannot be is a row with what it lacks and what would fix it. Exits with 2 if that
    is so for all.

    [bold]Examples[/bold]

    alula sweep quick --out build/quick

    alula sweep kv260-smollm2 --points 500 --json

    alula sweep boards --model qwen3-0.6b --out build/boards
    """
    from alula.explore import load_sweep
    from alula.explore import sweep as search
    from alula.explore.report import save
    from alula.explore.report.saving import as_dict
    from alula.explore.store import default_store
    from alula.explore.why import why

    asked, place = load_sweep(file), store or default_store()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    try:
        with progress_bar() as progress:
            found = search(
                asked,
                model=model,
                points=points,
                store=place,
                processes=processes,
                scheduler=scheduler,
                progress=progress,
            )
    except KeyboardInterrupt:
        tell(f"interrupted; {place} has the points so far, and the same command goes on")
        raise typer.Exit(USER_ERROR) from None
    files = save(found, out) if out is not None else []
    if json:
        print_json(as_dict(found))
    elif found.best:
        _print(found, files)
    if not found.best:
        tell(why(found))
        raise typer.Exit(USER_ERROR)


def _print(found: "Found", files: list[Path]) -> None:
    """Print what a person reads: the front, what it rests on, and what is left out."""
    from alula.explore.report.tables import causes, summary

    print_table(*summary(found, found.front[:_MOST_ROWS]))
    more = len(found.best) - _MOST_ROWS
    if more > 0:
        print(f"and {more} more on the front")
    whole = "the whole front" if found.exact else "the best so far"
    kept = f", {found.kept:,} of them kept from before" if found.kept else ""
    print(f"\n{whole}: {found.asked:,} of {found.space.count:,} points by the cycle model{kept}")
    if found.left_out:
        print(f"{found.left_out:,} points left out, as even their bound is beaten")
    checked = [row.checked for row in found.rows.values() if row.checked is not None]
    if checked:
        worst = max(map(abs, checked))
        print(f"{_points(checked)} in RTL: the cycle model is off by {worst:.2%} at most")
    if found.impossible:
        print(f"{_points(found.impossible)} cannot be:")
        for what, count, row in causes(found.impossible)[:5]:
            print(f"  {count:,} for {what}; the nearest: {row.reason}")
    if found.failed:
        print(f"{_points(found.failed)} failed, such as: {found.failed[0].failed}")
    for one in found.space.sweep.references:
        values = ", ".join(f"{name} {value:g}" for name, value in one.values.items())
        print(f"published, {one.name}: {values} ({one.about})")
    for file in files:
        print(f"written: {file}")


def _points(some: Sequence[object]) -> str:
    return f"{len(some):,} point{'' if len(some) == 1 else 's'}"
