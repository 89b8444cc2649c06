"""`alula export`: a design's Verilog, constraints and scripts."""

from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json
from alula.cli.progress import progress_bar


@guarded
def export(
    design: options.DesignArgument,
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    json: options.Json = False,
) -> None:
    """Write a design as Verilog, with file list, constraints and a script for its part's tools.

    The script is a Vivado project for AMD's parts, and Yosys and nextpnr for ECP5.

    [bold]Example[/bold]

    alula export kv260 --out build/kv260
    """
    from alula.design import load_design
    from alula.synth import TOP
    from alula.synth import export as write

    chosen = load_design(design)
    with progress_bar() as progress:
        files = write(chosen, out, force=force, progress=progress)
    if json:
        info = {"out": str(out), "top": TOP, "part": chosen.part.number}
        print_json(info | {"design_hash": chosen.hash, "files": files})
        return
    print(f"{len(files)} files written to {out}, for {chosen.part.number}")
