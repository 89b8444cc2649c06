"""The commands, put together."""

from typing import Annotated

import typer

from alula.cli.assembly import asm, disasm
from alula.cli.bench import bench
from alula.cli.calibrate import calibrate
from alula.cli.compare import compare
from alula.cli.compile import compile
from alula.cli.compress import compress
from alula.cli.doctor_command import doctor
from alula.cli.evaluate import evaluate
from alula.cli.explain import explain
from alula.cli.export import export
from alula.cli.fuzz import fuzz
from alula.cli.models import models
from alula.cli.plan import plan
from alula.cli.profile import profile
from alula.cli.run import run
from alula.cli.sweep import sweep
from alula.cli.synth import synth

app = typer.Typer(
    name="alula",
    help="Language models on an accelerator: compile, run, evaluate.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command("eval")(evaluate)
app.command()(plan)
app.command()(bench)
app.command()(calibrate)
app.command()(compile)
app.command()(compress)
app.command()(profile)
app.command()(export)
app.command()(synth)
app.command()(sweep)
app.command()(explain)
app.command()(compare)
app.command()(asm)
app.command()(disasm)
app.command()(fuzz)
app.add_typer(models, name="models")
app.command()(doctor)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"alula {version('alula')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_tell_version
        ),
    ] = False,
) -> None:
    """Language models on an accelerator: compile, run, evaluate."""
