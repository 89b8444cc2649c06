"""`alula plan`: which unit of a model runs where, why, and what that takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table, print_text
from alula.plan_options import LEAST_GAIN, Objective

if TYPE_CHECKING:
    from alula.runtime.planning.plan import Plan


@guarded
def plan(
    model: options.PlannedModel,
    devices: options.DeviceFile,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    new: Annotated[int, typer.Option(help="Tokens that are decoded.")] = 128,
    context: Annotated[
        int | None,
        typer.Option(
            help="Most tokens of a sequence, for which memory is kept.",
            show_default="prompt and new",
        ),
    ] = None,
    objective: Annotated[
        Objective,
        typer.Option(help="What is made least; throughput is of many requests."),
    ] = "latency",
    pin: Annotated[
        str,
        typer.Option(
            help="What is not left to choose: [PHASE:]UNITS=DEVICE,... such as decode:head=accel.",
            show_default=False,
        ),
    ] = "",
    least_gain: Annotated[
        float, typer.Option(help="What share a split must save of the best single device's.")
    ] = LEAST_GAIN,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Go beyond the lengths of a profile.")
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(metavar="UNIT", help="Tell what this unit would cost on every other device."),
    ] = None,
    front: Annotated[
        bool,
        typer.Option("--front", help="The Pareto front of latency and throughput, too."),
    ] = False,
    slow_links: Annotated[
        float, typer.Option(help="Plan with links that are slower by this factor.")
    ] = 1.0,
    out: Annotated[
        Path | None, typer.Option(help="A file for the plan, as YAML for alula run --plan.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="A file for the picture, as PNG.")] = None,
    json: options.Json = False,
) -> None:
    """Choose which unit of a model runs on which device, in prefill and in decode.

    The choice is the best there is by the devices' file. Known shapes need no weights.

    [bold]Examples[/bold]

    alula plan llama2-7b --devices flightllm --prompt 128 --new 512

    alula plan smollm2-135m --devices lab --pin decode:head=accel --out plan.yaml

    alula plan llama2-7b --devices flightllm --explain layers.3 --front --json
    """
    from alula.runtime.planning.devices import load_devices
    from alula.runtime.planning.planner import planner
    from alula.runtime.planning.routes import slowed

    asked = planner(
        model,
        slowed(load_devices(devices), slow_links),
        prompt=prompt,
        new=new,
        context=context,
        objective=objective,
        pin=pin,
        least_gain=least_gain,
        extrapolate=extrapolate,
    )
    found = asked.plan()
    lines = asked.explain(explain, found) if explain is not None else []
    plans = asked.front() if front else []
    if out is not None:
        found.save(out)
    if plot is not None:
        found.plot(plot)
    if json:
        more: dict[str, object] = {}
        if explain is not None:
            more["explain"] = lines
        if front:
            more["front"] = [_point(one) for one in plans]
        print_json(found.as_dict() | more)
        return
    print_text(str(found))
    if lines:
        print_text("\n" + "\n".join(lines))
    if plans:
        print()
        rows = [(f"{one.total_s:.4g}", f"{1 / one.interval_s:.4g}", one.names) for one in plans]
        print_table(("latency s", "requests/s", "map"), rows)
        for line in dict.fromkeys(note for one in plans for note in one.notes):
            print_text(f"note: {line}")


def _point(one: "Plan") -> dict[str, object]:
    return {
        "total_s": one.total_s,
        "requests_per_s": 1 / one.interval_s,
        "map": one.names,
        "notes": list(one.notes),
    }
