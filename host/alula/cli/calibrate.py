"""`alula calibrate`: how long a model's units take on this machine, as a file of devices."""

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
        str, typer.Option(help="What is measured, as a map names it: torch-bf16:cuda.")
    ] = "torch-fp32:cpu",
    lengths: Annotated[
        str | None,
        typer.Option(
            help="Tokens of a prompt, and tokens held when one is decoded, such as 32,128,512;"
            " by default these, and where a GPU's steps change their shapes."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A file for the device with its profile, as YAML.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure embedding, layers and head of a model on a torch device, at several lengths.

    [bold]Example[/bold]

    alula calibrate smollm2-135m --target torch-bf16:cuda --out gpu.yaml
    """
    from alula.folders import new_file
    from alula.runtime.calibration import calibrate as measure
    from alula.runtime.errors import RunError

    try:
        asked = None if lengths is None else [int(word) for word in lengths.split(",")]
    except ValueError:
        raise RunError(f"--lengths must be numbers such as 32,128, not {lengths!r}") from None
    with progress_bar() as progress:
        found = measure(model, target, asked, progress=progress)
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
