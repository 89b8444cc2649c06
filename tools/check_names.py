"""Check the public names, and that `alula` itself stays a namespace package.

A package says in `__all__` what it offers; in a module a name without an underscore is public. A
class name has one meaning in all of Alula.
"""

import importlib
import inspect
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("hw", "sw", "sim", "host")
IMPLEMENTATIONS = ("alula.design", "alula.gateware", "alula.model")
"""What describes, is and models the same machine: each has its `Sequencer`."""
BENCH = ("alula.bench",)
"""Benches are written against its names alone, which are words of verification."""


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
    yield from _homonyms()


def _homonyms() -> Iterator[str]:
    """Yield one line for each public class whose name another class has, too."""
    homes = defaultdict(list)
    for name, module in sorted(sys.modules.items()):
        if name.startswith("alula.") and not _within(name, BENCH):
            for word, item in vars(module).items():
                if inspect.isclass(item) and item.__module__ == name and word == item.__name__:
                    homes[word].append(name)
    for word, modules in homes.items():
        apart = [name for name in modules if not _within(name, IMPLEMENTATIONS)]
        if not word.startswith("_") and len(modules) > 1 and apart:
            yield f"{word} must be one class, not several ({', '.join(modules)})"


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{package}." for package in packages))


def main() -> int:
    """Print the complaints; return 1 if there are any."""
    lines = list(complaints())
    print("\n".join(lines) if lines else "public names: all defined")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
