"""`alula explain`: what bounds a design, and what to change first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.explore.explain import Change, Explanation


@guarded
def explain(
    design: options.DesignArgument,
    model: options.AskedModel,
    recipe: options.AskedRecipe = None,
    context: options.AskedContext = 512,
    prompt: options.AskedPrompt = 128,
    json: options.Json = False,
) -> None:
    """Say what bounds a design with a model, what to change first, and what that would bring.

    Each change is one step of one field, asked of the models. Exits with 2 if the model does not
    fit.

    [bold]Examples[/bold]

    alula explain kv260 --model smollm2-135m

    alula explain u280 --model llama2-7b --context 2048 --json
    """
    from alula.explore.explain import explain as explained

    with progress_bar() as progress:
        found = explained(
            design, model, recipe=recipe, context=context, prompt=prompt, progress=progress
        )
    if found.row.shortfall is not None:
        tell(f"{design} must hold {model}: {found.row.shortfall.line}")
        raise typer.Exit(USER_ERROR)
    if json:
        print_json(_as_dict(found))
    else:
        _print(found, model)


def _print(found: "Explanation", model: str) -> None:
    from alula.cost.energy import basis
    from alula.explore.report.tables import with_error

    row, question = found.row, found.question
    assert row.decode_cycles
    assert row.prefill_cycles
    assert row.bound_cycles
    clock = f"{row.mhz:,.0f} MHz ({row.clock})"
    print(f"{question.design.name} with {model}, {question.context} tokens, at {clock}\n")
    over = row.decode_cycles / row.bound_cycles
    print(
        f"a token    {row.decode_cycles:,.0f} cycles, {with_error(row, 'tokens_per_s')} tokens/s, "
        f"{over:.2f} times the bound of this size; waits for {_waits(row.accounts)}"
    )
    print(
        f"a prompt   {row.prefill_cycles:,.0f} cycles, {with_error(row, 'ttft_s')} s for "
        f"{question.prompt} tokens; waits for {_waits(found.prompt_accounts)}"
    )
    taken = ("lut", "dsp", "bram36", "uram")
    part = question.design.part
    shares = (
        f"{with_error(row, name)} {name.upper()}{_share(getattr(row, name), getattr(part, name))}"
        for name in taken
    )
    print(f"the part   {', '.join(shares)}")
    if row.watts is not None:
        print(
            f"power      {row.watts:.1f} W, {1e3 * (row.energy_j or 0):.1f} mJ a token "
            f"(modelled, by {basis(question.design)} coefficients)"
        )
    print(f"\nbound by {found.bound_by} in decode, by {found.prompt_bound_by} in prefill")
    if found.first is not None:
        print(f"change first: {_brings(found.first)}")
    for change in found.spare:
        print(f"not needed: {change.name} is as fast, and takes less")
    print()
    head = ("change", "tokens/s", "first token", "LUT", "")
    print_table(head, [_cells(change) for change in found.changes])
    print("\nmodelled and estimated; percentages are changes, +: faster, sooner, more LUT")


def _cells(change: "Change") -> tuple[str, ...]:
    numbers = (change.faster, change.sooner, change.lut)
    why = f"cannot be: {change.row.reason}" if change.row.reason else ""
    return (change.name, *("-" if one is None else f"{one:+.1%}" for one in numbers), why)


def _brings(change: "Change") -> str:
    return (
        f"{change.name}, which brings {change.faster or 0:+.1%} tokens/s and a first token "
        f"{change.sooner or 0:+.1%} sooner for {change.lut or 0:+.1%} LUT"
    )


def _waits(accounts: Mapping[str, float]) -> str:
    total = sum(accounts.values())
    ordered = sorted(accounts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {cycles / total:.1%}" for name, cycles in ordered)


def _share(value: float, most: int) -> str:
    return f" ({value / most:.0%})" if most else ""


def _as_dict(found: "Explanation") -> dict[str, object]:
    changes = [
        {"change": dict(one.fields), "faster": one.faster, "sooner": one.sooner, "lut": one.lut}
        | {"row": one.row.results(), "reason": one.row.reason}
        for one in found.changes
    ]
    return {
        "design": found.question.design.name,
        "context": found.question.context,
        "prompt": found.question.prompt,
        "row": found.row.results(),
        "prompt_accounts": dict(found.prompt_accounts),
        "bound_by": found.bound_by,
        "prompt_bound_by": found.prompt_bound_by,
        "change_first": dict(found.first.fields) if found.first else None,
        "not_needed": [dict(one.fields) for one in found.spare],
        "changes": changes,
    }
