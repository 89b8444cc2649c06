"""`alula doctor`: what this machine has and lacks."""

from dataclasses import asdict

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table


@guarded
def doctor(json: options.Json = False) -> None:
    """Check this machine, and print the command that fixes what is missing.

    Exits with 1 if something is missing that everyone needs.
    """
    from alula.cli.doctor import run_checks

    checks = run_checks()
    if json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [
            (
                "ok" if check.ok else "MISSING" if check.required else "optional",
                check.name,
                check.found or "-",
                check.needed,
                check.needed_for,
                check.fix,
            )
            for check in checks
        ]
        print_table(("", "name", "found", "needed", "for", "to fix it"), rows)
    if any(check.required and not check.ok for check in checks):
        raise typer.Exit(1)
