"""The `alula` command."""

from alula.cli.entry import main

__all__ = ["main"]
