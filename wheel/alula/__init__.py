"""Alula, as installed: its version, and one package where its source roots are several folders.

This file lies in no source root: there `alula` is a namespace of four, and tools that read sources
see it as one. Only installed packages have it; see docs/explanation/packages.md.
"""

import os
import sys

# In place, so that the package's spec tells the same folders as the package. Not by pkgutil, which
# is slow to import and fails where the working directory is gone.
__path__ += [
    folder
    for folder in (os.path.join(entry, "alula") for entry in sys.path if entry)
    if folder not in __path__ and os.path.isdir(folder)
]


def __getattr__(name: str) -> str:
    """Return `alula.__version__`, read when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
