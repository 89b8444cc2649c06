"""Build the documentation as a site, into build/docs; a warning is an error.

The package that gives an installed Alula its version is left out: the reader of docstrings would
look for everything in it.
"""

import os
import sys
from pathlib import Path

from mkdocs.__main__ import cli

WHEEL = str(Path(__file__).resolve().parent.parent / "wheel")


def main() -> None:
    """Run mkdocs."""
    sys.path = [path for path in sys.path if path != WHEEL]
    cli(["build", "--quiet", "--strict"])


if __name__ == "__main__":
    # mkdocs tells of its successor otherwise.
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    main()
