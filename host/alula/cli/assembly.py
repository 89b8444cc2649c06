"""`alula asm` and `alula disasm`: text to instruction words and back."""

from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json
from alula.printable import printable


@guarded
def asm(
    file: Annotated[Path, typer.Argument(help="The listing.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The program file to write.", show_default=False)
    ],
    design: options.Design = "kv260",
    json: options.Json = False,
) -> None:
    """Assemble a listing into a program file for a design.

    [bold]Example[/bold]

    alula asm copy.s -o copy.alula --design tiny
    """
    from alula.cli.run import read_text
    from alula.design import load_design
    from alula.isa import assemble_program

    chosen = load_design(design)
    program = assemble_program(read_text(file), chosen, file.stem, str(file))
    program.save(out)
    size = len(program.code)
    if json:
        print_json({"out": str(out), "bytes": size, "design_hash": chosen.hash})
    else:
        print(printable(f"{size:,} bytes written to {out}"))


@guarded
def disasm(
    program: Annotated[
        Path, typer.Argument(help="A program file.", metavar="PROGRAM", show_default=False)
    ],
    json: options.Json = False,
) -> None:
    """Print a program file as a listing that assembles to the same code.

    A comment behind an instruction names the unit of the model that it serves; {layer} in it is
    the iteration of the loop with the comment "layers".

    [bold]Example[/bold]

    alula disasm build/decode.alula
    """
    from alula.isa import Program, disassemble, format_op

    loaded = Program.load(program)
    if json:
        print_json(
            {
                "name": loaded.name,
                "design_hash": loaded.design_hash,
                "bytes": len(loaded.code),
                "constants": {f"r{number}": value for number, value in loaded.constants.items()},
                "inputs": {name: f"r{number}" for name, number in loaded.inputs.items()},
                "instructions": [format_op(op) for op in loaded.ops],
                "units": list(loaded.origins),
                "layer_loops": {str(at): first for at, first in loaded.layer_loops.items()},
            }
        )
        return
    print(printable(f"; {loaded.name}, design {loaded.design_hash}"))
    for name, number in loaded.inputs.items():
        print(printable(f"; r{number}: {name}"))
    for number, value in sorted(loaded.constants.items()):
        print(f"; r{number} = {value}")
    units = [
        "layers" if address in loaded.layer_loops else printable(unit)
        for address, unit in enumerate(loaded.origins)
    ]
    print(disassemble(loaded.ops, units), end="")
