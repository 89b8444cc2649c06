"""`alula calibrate`: how long a model's units take on this machine or in RTL, as a file."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar


@guarded
def calibrate(
    model: options.Model,
    target: Annotated[
        str,
        typer.Option(
            help="What is measured, as a map names it: torch-bf16:cuda; accel is simulated in RTL."
        ),
    ] = "torch-fp32:cpu",
    lengths: Annotated[
        str | None,
        typer.Option(
            help="Tokens of a prompt, and tokens held when one is decoded, such as 32,128,512;"
            " by default these, and where a GPU's steps change their shapes."
        ),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(
            help="With accel: a design file, or the name of one that ships.",
            show_default="kv260",
            autocompletion=options.designs,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A file, as YAML: a device with its profile; with accel the cycles, which a"
            " device's rtl_cycles names."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure embedding, layers and head of a model on a torch device, at several lengths.

    With --target accel their cycles are simulated in the gateware of a design, which takes no
    weights.

    [bold]Examples[/bold]

    alula calibrate smollm2-135m --target torch-bf16:cuda --out gpu.yaml

    alula calibrate smollm2-135m --target accel --design kv260 --lengths 8,64 --out cycles.yaml
    """
    from alula.runtime.errors import RunError

    try:
        asked = None if lengths is None else [int(word) for word in lengths.split(",")]
    except ValueError:
        raise RunError(f"--lengths must be numbers such as 32,128, not {lengths!r}") from None
    if target == "accel":
        _simulate(model, design, asked, out, json)
        return
    if design is not None:
        raise RunError(f"--design must be left out, except with --target accel, not {design}")
    _measure(model, target, asked, out, json)


def _measure(
    model: str, target: str, lengths: list[int] | None, out: Path | None, json: bool
) -> None:
    from alula.folders import new_file
    from alula.runtime.calibration import calibrate as measure

    with progress_bar() as progress:
        found = measure(model, target, lengths, progress=progress)
    values = found.model_dump(exclude_defaults=True)
    if out is not None:
        with new_file(out) as file:
            file.write(yaml.safe_dump(values, sort_keys=False).encode())
    if json:
        print_json(values)
        return
    (device,) = found.devices.values()
    assert device.profile is not None
    rows = [
        (
            one.phase,
            one.unit,
            f"{one.length:g}",
            f"{1e3 * one.seconds:.4g}",
            f"{1e3 * one.spread:.2g}",
        )
        for one in device.profile.points
    ]
    print_table(("phase", "unit", "length", "ms", "spread ms"), rows)
    print(f"\n{device.target}: {device.profile.about}, measured")


def _simulate(
    model: str, design: str | None, lengths: list[int] | None, out: Path | None, json: bool
) -> None:
    from alula.runtime.loading import DEFAULT_DESIGN
    from alula.runtime.rtl_calibration import simulate_cycles

    with progress_bar() as progress:
        found = simulate_cycles(model, design or DEFAULT_DESIGN, lengths, progress=progress)
    if out is not None:
        found.save(out)
    if json:
        print_json(found.model_dump())
        return
    rows = [(one.phase, one.unit, f"{one.length:g}", f"{one.cycles:,.0f}") for one in found.points]
    print_table(("phase", "unit", "length", "cycles"), rows)
    print(f"\n{found.model}: {found.about}, simulated")
