"""Check the public names: every `__all__` holds, and `alula` itself stays a namespace package."""

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
