"""`alula fuzz`: random programs on the gateware and on the machine model."""

from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded, tell
from alula.cli.output import print_json
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.fuzz import Failure, Findings


@guarded
def fuzz(
    programs: Annotated[int, typer.Option(help="Programs to run.")] = 100,
    seed: Annotated[
        int | None, typer.Option(help="Makes them repeatable.", show_default="chosen, and printed")
    ] = None,
    first: Annotated[int, typer.Option(help="Number of the first program of the seed.")] = 0,
    design: options.Design = "nano",
    out: Annotated[Path, typer.Option(help="Where a failing program goes.")] = Path("fuzz"),
    replay: Annotated[
        Path | None, typer.Option(help="Run a failing program again, from its folder.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Run random legal programs in Verilator and on the machine model; all of memory must agree.

    A program on which they do not is made as small as it can be and kept with its memory. Exits
    with 1 if there is one. Weights have N:M patterns where the design has them, as nano-sparse.

    [bold]Examples[/bold]

    alula fuzz --programs 500 --seed 7

    alula fuzz --programs 500 --design nano-sparse

    alula fuzz --replay fuzz/fuzz-7-132
    """
    from alula.design import load_design
    from alula.fuzz import Campaign
    from alula.runtime.errors import RunError

    if replay is not None:
        _replay(replay, json)
        return
    for name, value, least in (("programs", programs, 1), ("first", first, 0)):
        if value < least:
            raise RunError(f"--{name} must be at least {least}, not {value}")
    chosen = SystemRandom().getrandbits(32) if seed is None else seed
    with progress_bar() as progress:
        campaign = Campaign(load_design(design), chosen, out, progress)
        result = campaign.run(programs, first)
        campaign.close()
    if json:
        print_json(
            {
                "design": design,
                "seed": chosen,
                "programs": result.programs,
                "agree": result.programs - len(result.failures),
                "cycles": result.cycles,
                "sim_cycles_per_s": result.cycles / result.seconds if result.seconds else None,
                "instructions": dict(sorted(result.instructions.items())),
                "failures": [
                    {
                        "program": failure.number,
                        "found": failure.reason,
                        "instructions": failure.instructions[0],
                        "folder": str(failure.folder),
                        "replay": _command(failure),
                    }
                    for failure in result.failures
                ],
            }
        )
    else:
        _tell(result, chosen, design)
    if result.failures:
        raise typer.Exit(1)


def _tell(result: "Findings", seed: int, design: str) -> None:
    agree = result.programs - len(result.failures)
    print(f"seed {seed}: {agree} of {result.programs} programs agree on {design}")
    kinds, total = len(result.instructions), result.instructions.total()
    print(f"{total:,} instructions of {kinds} kinds, {result.cycles:,} cycles in Verilator")
    for failure in result.failures:
        small, large = failure.instructions
        print(f"program {failure.number}: {failure.reason}")
        print(f"  {small} of its {large} instructions do the same; {_command(failure)}")


def _command(failure: "Failure") -> str:
    return f"alula fuzz --replay {failure.folder}"


def _replay(folder: Path, json: bool) -> None:
    from alula.fuzz import replay
    from alula.model import MachineError
    from alula.rtl.checked import MemoryMismatch
    from alula.rtl.device import RtlError
    from alula.rtl.report import OutOfStep

    try:
        with progress_bar() as progress:
            outcome = replay(folder, progress)
    except (OutOfStep, MemoryMismatch, MachineError, RtlError) as error:
        if json:
            print_json({"agree": False, "found": str(error)})
        tell(str(error))
        raise typer.Exit(1) from None
    if json:
        print_json({"agree": True, "cycles": outcome.cycles})
    else:
        print(f"gateware and machine model agree, in {outcome.cycles:,} cycles")
