"""The safetensors files of a Hugging Face folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from alula import files
from alula.frontend.content import file_digests
from alula.frontend.kinds import refuse_pickle
from alula.frontend.refusal import FrontendError
from alula.progress import Progress, silent

DTYPES = ("F64", "F32", "F16", "BF16")
"""The number types that are read."""

MOST_JSON_BYTES = 32 << 20
"""Several times the largest index there is."""
MOST_HEADER_BYTES = 16 << 20
"""A tensor takes some hundred bytes of a file's header."""

_ROWS = 4096
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_END, _INDEX_END = ".safetensors", ".safetensors.index.json"
_ADAPTER = "adapter_config.json"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. FrontendError if it is anything else."""
    return parse_json(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """All bytes of a file. FrontendError if it cannot be read."""
    try:
        return files.read_bytes(path, MOST_JSON_BYTES)
    except OSError as error:
        raise FrontendError(f"{path} must be readable, not {error.strerror or error}") from error


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from the UTF-8 text of a file. FrontendError if it is anything else."""
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FrontendError(f"{path} must be JSON, not {error}") from error
    if not isinstance(value, dict):
        raise FrontendError(f"{path} must be a JSON object, not {type(value).__name__}")
    return value


class SafetensorsFiles:
    """The tensors of a folder, in one file or in shards under an index.

    Which files are read is transformers' choice: those that the configuration names, else
    ``model.safetensors``, else the shards of ``model.safetensors.index.json``.

    Args:
        folder: The folder.
        named: The configuration's ``transformers_weights``: a file or an index of the folder.

    Attributes:
        shapes: Shape by tensor name.
        dtypes: Number type (``"BF16"``) by tensor name.
        notes: A sentence for each file of the folder that looks like weights and is not read.

    Raises:
        FrontendError: There are no safetensors, a shard is missing or corrupt, the weights are
            pickled, or an adapter lies beside them.
    """

    def __init__(self, folder: Path, named: object = None) -> None:
        self.folder = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        if (folder / _ADAPTER).exists():
            raise FrontendError(
                f"an adapter must be merged into the weights, not lie beside them "
                f"({folder / _ADAPTER})"
            )
        main = self._main(named)
        index = read_json(main) if main.name.endswith(_INDEX_END) else None
        self._paths = [main] if index is None else self._shards(index, main)
        for path in self._paths:
            self._add(path)
        listed = set() if index is None else set(index["weight_map"])
        missing = sorted(listed - self.shapes.keys())
        if missing:
            raise FrontendError(f"the shards must hold {missing[0]}, not lack it ({main})")
        self.notes = tuple(self._notes({main, *self._paths}, main.name))

    def digests(self, progress: Progress = silent) -> dict[str, str]:
        """The SHA-256 of each file that is read, by name: all of its bytes."""
        found = file_digests(self._paths, progress)
        return dict(zip((path.name for path in self._paths), found, strict=True))

    def _main(self, named: object) -> Path:
        """The one file, or the index of the shards."""
        if named is not None:
            if not _plain_name(named) or not str(named).endswith((_END, _INDEX_END)):
                raise FrontendError(
                    f"transformers_weights must be safetensors of the folder or their index, "
                    f"not {named!r} ({self.folder / 'config.json'})"
                )
            return self.folder / str(named)
        for name in (_SINGLE, _INDEX):
            if (self.folder / name).is_file():
                return self.folder / name
        for other in sorted(self.folder.iterdir()):
            if other.is_file():
                refuse_pickle(other)
        raise FrontendError(
            f"the folder must hold {_SINGLE} or {_INDEX}, not neither ({self.folder})"
        )

    def _shards(self, index: dict[str, Any], place: Path) -> list[Path]:
        names = index.get("weight_map")
        if not isinstance(names, dict) or not names or not all(map(_plain_name, names.values())):
            raise FrontendError(
                f"weight_map must be tensors to file names, not otherwise ({place})"
            )
        return [self.folder / name for name in sorted(set(names.values()))]

    def _notes(self, used: set[Path], main: str) -> Iterator[str]:
        for path in sorted(self.folder.iterdir()):
            if path not in used and path.name.endswith((_END, _INDEX_END)):
                yield f"{path.name} is not read: the weights are those of {main}"

    def _add(self, path: Path) -> None:
        try:
            refuse_pickle(path)
            check_header(path)
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    if name in self._files:
                        raise FrontendError(f"{name} must be in one file, not also in {path}")
                    part = file.get_slice(name)
                    self.shapes[name] = tuple(part.get_shape())
                    self.dtypes[name] = part.get_dtype()
                    self._files[name] = path
        except OSError as error:
            raise FrontendError(
                f"{path} must be readable, not {error.strerror or error}"
            ) from error
        except SafetensorError as error:
            raise FrontendError(
                f"{path} must be safetensors, not truncated or corrupt: {error}"
            ) from error

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


def check_header(path: Path) -> None:
    """FrontendError if a file's header is larger than any model's."""
    with files.open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
    if MOST_HEADER_BYTES < length <= size:
        raise FrontendError(
            f"the header must be at most {MOST_HEADER_BYTES} bytes, not {length} ({path})"
        )


def _plain_name(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")
