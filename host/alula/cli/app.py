"""The commands, put together."""

import typer

from alula.cli.assembly import asm, disasm
from alula.cli.compile import compile
from alula.cli.doctor_command import doctor
from alula.cli.evaluate import evaluate
from alula.cli.export import export
from alula.cli.fuzz import fuzz
from alula.cli.models import models
from alula.cli.run import run
from alula.cli.sweep import sweep
from alula.cli.synth import synth

app = typer.Typer(
    name="alula",
    help="Language models on an accelerator: compile, run, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command("eval")(evaluate)
app.command()(compile)
app.command()(export)
app.command()(synth)
app.command()(sweep)
app.command()(asm)
app.command()(disasm)
app.command()(fuzz)
app.add_typer(models, name="models")
app.command()(doctor)
