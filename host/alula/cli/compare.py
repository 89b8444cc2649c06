"""`alula compare`: two designs side by side."""

from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.explore.compare import SweepComparison


@guarded
def compare(
    one: options.DesignArgument,
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            help="The design to set beside it.",
            show_default=False,
            autocompletion=options.designs,
        ),
    ],
    model: options.AskedModel,
    recipe: options.AskedRecipe = None,
    context: options.AskedContext = 512,
    prompt: options.AskedPrompt = 128,
    json: options.Json = False,
) -> None:
    """Compare two designs with a model: what differs, and what follows from it.

    Exits with 2 if the model fits neither.

    [bold]Example[/bold]

    alula compare kv260 u280 --model smollm2-135m
    """
    from alula.explore.compare import compare as compared

    with progress_bar() as progress:
        found = compared(
            one, other, model, recipe=recipe, context=context, prompt=prompt, progress=progress
        )
    if not any(row.found for row in found.rows):
        tell(f"{one} or {other} must hold {model}: {found.rows[0].reason}")
        raise typer.Exit(USER_ERROR)
    if json:
        print_json(_as_dict(found))
    else:
        _print(found)


def _print(found: "SweepComparison") -> None:
    from alula.explore.objectives import OBJECTIVES
    from alula.explore.report.tables import shown, with_error

    names = [design.name for design in found.designs]
    if found.fields:
        cells = [(key, *map(shown, values)) for key, values in found.fields.items()]
        print_table(("what differs", *names), cells)
        print()
    rows = []
    for name, objective in OBJECTIVES.items():
        if all(getattr(row, name) is None for row in found.rows):
            continue
        better = found.better(name)
        ratio = found.ratios.get(name)
        rows.append(
            (
                f"{objective.title} ({objective.unit})" if objective.unit else objective.title,
                *(with_error(row, name) for row in found.rows),
                f"{ratio:.3g} times" if ratio is not None else "",
                "" if better is None else f"{names[better]} is better",
            )
        )
    for what in ("compute", "memory", "issue", "dependency"):
        cells = (f"{row.accounts.get(what, 0):,.0f}" if row.found else "-" for row in found.rows)
        rows.append((f"a token's cycles: {what}", *cells, "", ""))
    print_table(("", *names, f"{names[1]} over {names[0]}", ""), rows)
    for name, row in zip(names, found.rows, strict=True):
        if row.shortfall is not None:
            print(f"\n{name} cannot: {row.reason}")
        else:
            resources = f"resources {row.resources}, clock {row.clock}"
            print(f"\n{name}: cycles {row.how}, {resources}")


def _as_dict(found: "SweepComparison") -> dict[str, object]:
    return {
        "designs": [design.name for design in found.designs],
        "fields": {key: list(values) for key, values in found.fields.items()},
        "rows": [row.results() | {"reason": row.reason} for row in found.rows],
        "ratios": found.ratios,
    }
