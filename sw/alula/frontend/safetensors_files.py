"""The safetensors files of a Hugging Face folder."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from alula import files
from alula.frontend.pickles import SUFFIXES, refuse_pickle
from alula.frontend.refusal import FrontendError

DTYPES = ("F64", "F32", "F16", "BF16")
"""The number types that are read."""

_ROWS = 4096
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. FrontendError if it is anything else."""
    try:
        value = json.loads(files.read_text(path))
    except OSError as error:
        raise FrontendError(f"{path} must be readable, not {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise FrontendError(f"{path} must be JSON, not {error}") from error
    if not isinstance(value, dict):
        raise FrontendError(f"{path} must be a JSON object, not {type(value).__name__}")
    return value


class SafetensorsFiles:
    """The tensors of a folder, in one file or in shards under an index.

    Attributes:
        shapes: Shape by tensor name.
        dtypes: Number type (``"BF16"``) by tensor name.

    Raises:
        FrontendError: There are no safetensors, a shard is missing or corrupt, or the weights are
            pickled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        self._digest = sha256()
        index = read_json(folder / _INDEX) if (folder / _INDEX).is_file() else None
        for path in self._paths(index):
            self._add(path)
        listed = set() if index is None else set(index["weight_map"])
        missing = sorted(listed - self.shapes.keys())
        if missing:
            raise FrontendError(
                f"the shards must hold {missing[0]}, not lack it ({folder / _INDEX})"
            )

    def _paths(self, index: dict[str, Any] | None) -> list[Path]:
        if index is None:
            path = self.folder / _SINGLE
            if path.is_file():
                return [path]
            for other in sorted(self.folder.iterdir()):
                if other.suffix.lower() in SUFFIXES:
                    refuse_pickle(other)
            raise FrontendError(
                f"the folder must hold {_SINGLE} or {_INDEX}, not neither ({self.folder})"
            )
        names = index.get("weight_map")
        if not isinstance(names, dict) or not names or not all(map(_plain_name, names.values())):
            raise FrontendError(
                f"weight_map must be tensors to file names, not otherwise ({self.folder / _INDEX})"
            )
        return [self.folder / name for name in sorted(set(names.values()))]

    def _add(self, path: Path) -> None:
        try:
            refuse_pickle(path)
            status = path.stat()
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    if name in self._files:
                        raise FrontendError(f"{name} must be in one file, not also in {path}")
                    part = file.get_slice(name)
                    self.shapes[name] = tuple(part.get_shape())
                    self.dtypes[name] = part.get_dtype()
                    self._files[name] = path
                    self._digest.update(f"{name} {part.get_dtype()} {part.get_shape()}\n".encode())
        except OSError as error:
            raise FrontendError(
                f"{path} must be readable, not {error.strerror or error}"
            ) from error
        except SafetensorError as error:
            raise FrontendError(
                f"{path} must be safetensors, not truncated or corrupt: {error}"
            ) from error
        self._digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())

    @property
    def table_id(self) -> bytes:
        """A hash of the tensor table with the files' sizes and modification times."""
        return self._digest.digest()

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32. KeyError if there is no such tensor."""
        path = self._files[name]
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name).float().numpy()
        except SafetensorError as error:
            raise FrontendError(f"{name} must be readable, not lost: {error} ({path})") from error

    def equal(self, first: str, second: str) -> bool:
        """Whether two tensors of one shape have equal values, compared some rows at a time.

        Raises:
            KeyError: There is no such tensor.
            FrontendError: A tensor cannot be read.
        """
        import torch

        try:
            with (
                safe_open(self._files[first], framework="pt") as one_file,
                safe_open(self._files[second], framework="pt") as other_file,
            ):
                one, other = one_file.get_slice(first), other_file.get_slice(second)
                return all(
                    torch.equal(one[row : row + _ROWS].float(), other[row : row + _ROWS].float())
                    for row in range(0, self.shapes[first][0], _ROWS)
                )
        except SafetensorError as error:
            raise FrontendError(
                f"{first} must be readable, not lost: {error} ({self.folder})"
            ) from error


def _plain_name(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")
