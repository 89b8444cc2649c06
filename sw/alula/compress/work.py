"""What is done of a compression: a folder that the next start goes on from.

Each finished unit's matrices are a file, which appears whole; ``work.json`` says whose work it is.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from alula import files
from alula.compress.saving import matrix_tensors
from alula.folders import new_file
from alula.frontend.compressed import arrays_of, unit_file
from alula.ir.bands import bands_of
from alula.quant.banded import WeightMatrix
from alula.quant.stored import from_arrays

Matrices = dict[str, WeightMatrix]
_FILE = "work.json"
_DONE = "units"
_MOST_BYTES = 1 << 34


class WorkError(ValueError):
    """A folder that holds other work. Its text is one line."""


class UnitStore(Protocol):
    """Keeps the matrices of finished units."""

    def find(self, unit: str, wanted: Mapping[str, tuple[str, tuple[int, int]]]) -> Matrices | None:
        """Return the matrices of a unit, None if it is not done.

        `wanted`: the title of each matrix's format and its ``(N, K)``, by name.
        """
        ...

    def add(self, unit: str, matrices: Matrices) -> None:
        """Keep the matrices of a unit."""
        ...


class NoWork:
    """Keeps nothing."""

    def find(self, unit: str, wanted: Mapping[str, tuple[str, tuple[int, int]]]) -> Matrices | None:
        """Return None."""
        return None

    def add(self, unit: str, matrices: Matrices) -> None:
        """Forget the matrices of a unit."""


NO_WORK = NoWork()


class WorkFolder:
    """A folder of work; it is made where there is none.

    Args:
        folder: where.
        identity: whose work it is: everything that the matrices depend on, plain JSON values.

    Raises:
        WorkError: the folder holds something else, or the work of another identity.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = json.loads(json.dumps(identity))
        self._digests: dict[str, str] = {}
        if not folder.exists():
            folder.mkdir(parents=True)
            self._write()
            return
        self._read()

    @property
    def done(self) -> int:
        """Units that are finished."""
        return len(self._digests)

    def find(self, unit: str, wanted: Mapping[str, tuple[str, tuple[int, int]]]) -> Matrices | None:
        """Return the matrices of a unit; None if it is not done, or its file is damaged."""
        if unit not in self._digests:
            return None
        try:
            content = files.read_bytes(self._folder / unit_file(unit), _MOST_BYTES)
            if hashlib.sha256(content).hexdigest() != self._digests[unit]:
                return None
            tensors = load_tensors(content)
            found = Matrices()
            for name, (title, (rows, inputs)) in wanted.items():
                bands = bands_of(title, rows)
                arrays = arrays_of(name, bands, inputs, tensors.__getitem__)
                found[name] = from_arrays(bands, inputs, arrays)
            return found
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def add(self, unit: str, matrices: Matrices) -> None:
        """Keep the matrices of a unit: they are in the folder when this returns."""
        tensors = {}
        for name, matrix in matrices.items():
            tensors |= matrix_tensors(name, matrix)
        content = save_tensors(tensors)
        with new_file(self._folder / unit_file(unit)) as file:
            file.write(content)
        self._digests[unit] = hashlib.sha256(content).hexdigest()
        self._write()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)

    def _write(self) -> None:
        text = json.dumps({"identity": self._identity, _DONE: self._digests}, indent=1)
        with new_file(self._folder / _FILE) as file:
            file.write(text.encode() + b"\n")

    def _read(self) -> None:
        place = self._folder / _FILE
        try:
            content = json.loads(files.read_text(place))
            identity, digests = content["identity"], dict(content[_DONE])
        except (OSError, ValueError, KeyError, TypeError):
            raise WorkError(
                f"{self._folder} must be the folder of an unfinished compression, not something "
                "else"
            ) from None
        if identity != self._identity:
            keys = sorted(identity.keys() | self._identity.keys())
            other = [key for key in keys if identity.get(key) != self._identity.get(key)]
            raise WorkError(
                f"{self._folder} must be the work of this recipe, not of another "
                f"({', '.join(other)}): remove it to begin anew"
            )
        self._digests = digests
