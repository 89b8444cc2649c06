"""Which version of Alula's own code made something: part of the name of whatever is kept."""

import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path

_KINDS = (".py", ".json")
"""Of files: code, and the data that it reads."""
_OWN = __name__.partition(".")[0]


def sources_id(*packages: str) -> str:
    """Return a hash of some packages' files of Python and JSON, subpackages included, or modules.

    Alula's own are read once a process, which runs what it has loaded though files be edited.
    ModuleNotFoundError if there is no such package.
    """
    own = all(package.partition(".")[0] == _OWN for package in packages)
    return _read_once(*packages) if own else _read(*packages)


def _read(*packages: str) -> str:
    digest = hashlib.sha256()
    for package in packages:
        spec = find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(package)
        if spec.submodule_search_locations is None and spec.origin:
            digest.update(f"{package}\n".encode() + Path(spec.origin).read_bytes())
        for folder in spec.submodule_search_locations or ():
            files = (path for path in Path(folder).rglob("*") if path.suffix in _KINDS)
            for path in sorted(files):
                name = f"{package}/{path.relative_to(folder)}\n"
                digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()


_read_once = functools.cache(_read)
