"""The `alula` command."""

from alula.cli.app import main

__all__ = ["main"]
