"""Check the import directions with import-linter, over all source roots.

What is installed has an `alula/__init__.py` that joins the roots: it must run before import-linter
asks where the package is.
"""

import alula  # noqa: F401  # isort: skip
from importlinter.cli import lint_imports_command

if __name__ == "__main__":
    lint_imports_command()
