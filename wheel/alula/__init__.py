"""Alula, as installed: its version, and one package where its source roots are several folders.

This file lies in no source root: there `alula` is a namespace of four, and tools that read sources
see it as one. Only installed packages have it; see docs/architecture.md.
"""

from pkgutil import extend_path

# In place, so that the package's spec tells the same folders as the package.
__path__[:] = extend_path(__path__, __name__)


def __getattr__(name: str) -> str:
    """Return `alula.__version__`, read when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
