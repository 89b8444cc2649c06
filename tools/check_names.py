"""Check the public names, and that `alula` itself stays a namespace package.

A package says in `__all__` what it offers; in a module a name without an underscore is public.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("hw", "sw", "sim", "host")


def complaints() -> Iterator[str]:
    """Yield one line for each public name that does not hold."""
    for root in SOURCE_ROOTS:
        if (ROOT / root / "alula" / "__init__.py").exists():
            yield f"{root}/alula/__init__.py must not exist: alula is one namespace of four roots"
    paths = [str(ROOT / root / "alula") for root in SOURCE_ROOTS]
    for found in pkgutil.walk_packages(paths, "alula."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        names = getattr(module, "__all__", [])
        if names and not found.ispkg:
            yield f"{found.name} must not have __all__: an underscore says what is its own"
        if len(set(names)) != len(names):
            yield f"{found.name}.__all__ must name each thing once"
        for name in names:
            if not hasattr(module, name):
                yield f"{found.name}.__all__ names {name!r}, which is not defined"


def main() -> int:
    """Print the complaints; return 1 if there are any."""
    lines = list(complaints())
    print("\n".join(lines) if lines else "public names: all defined")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
