"""Compressed models: a folder with the integers of every matrix, and a manifest that names them.

The manifest, ``compressed.json``, has the model's shape, the format of each matrix, the dense model
that it was made of, and the SHA-256 of every file. A unit's tensors are one safetensors file, named
after the unit: vectors by their canonical names, the embedding as bf16, and the arrays of a matrix
(`alula.quant.stored`) behind its name, such as ``layers.0.attn.q.levels``.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open

from alula.design.error import shown
from alula.design.record import Record
from alula.frontend.checkpoint import Checkpoint, FloatArray
from alula.frontend.content import content_id, file_digests
from alula.frontend.refusal import FrontendError
from alula.frontend.safetensors_files import check_header, read_json
from alula.ir import Precision
from alula.ir.architecture import Architecture
from alula.ir.bands import Band
from alula.ir.padding import pad_heads
from alula.ir.precision import HEAD
from alula.progress import Progress, silent
from alula.quant.banded import WeightMatrix
from alula.quant.padded import unpadded
from alula.quant.stored import array_shapes, from_arrays

if TYPE_CHECKING:
    import torch

MANIFEST = "compressed.json"
SCHEMA = 1
"""Of the folder; another one is refused."""
TOKENIZER, GGUF_TOKENIZER = "tokenizer", "tokenizer.gguf"
"""The tokenizer: the files of a Hugging Face folder, or a GGUF file without tensors."""
_DTYPES = {"uint8": "U8", "int8": "I8", "uint16": "BF16"}
"""safetensors' names of the types of a matrix's arrays."""


class Dense(Record):
    """The dense model that a compressed one was made of."""

    source: str
    """What it was called: a known name, a file, a folder, an id of the Hugging Face Hub."""

    content_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Its identity; see `Checkpoint`."""


class Manifest(Record):
    """What a folder holds."""

    schema_version: Literal[1]
    dense: Dense
    architecture: dict[str, Any]
    """As `Architecture.to_json` gives it, of the dense model, but for the head: it is not tied."""
    formats: dict[str, str]
    """Title of the format of each matrix, by its name."""
    recipe: dict[str, Any]
    """How it was made."""
    figures: dict[str, Any]
    """What was found out about it when it was made."""
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    """SHA-256 of every other file of the folder, by its name."""


def is_compressed(folder: Path) -> bool:
    """Whether a folder says that it is a compressed model."""
    return (folder / MANIFEST).exists()


def unit_file(unit: str) -> str:
    """Name of the file that has a unit's tensors."""
    return f"{unit}.safetensors"


def matrix_shapes(architecture: Architecture, unit: str) -> dict[str, tuple[int, int]]:
    """``(N, K)`` of the matrices of a unit, heads padded, by name."""
    shape = pad_heads(architecture)
    if unit == "head":
        return {HEAD: (shape.vocab_size, shape.hidden_size)}
    if unit == "embed":
        return {}
    return {f"{unit}.{name}": size for name, size in shape.projections.items()}


def vector_dtype(name: str) -> str:
    """Safetensors' name of the type that a tensor is stored in which is no quantised matrix."""
    return "BF16" if name == "embed.weight" else "F32"


class CompressedCheckpoint(Checkpoint):
    """A compressed model: `QuantizedModel` takes its matrices as they are.

    As any checkpoint it has all tensors in float32 too: the float view, whose matrices are what the
    integers stand for.

    Attributes:
        dense: What it was made of.
        manifest: The folder's.
        precision: The formats of the matrices.
    """

    def __init__(
        self,
        manifest: Manifest,
        architecture: Architecture,
        precision: Precision,
        folder: Path,
        digest: str,
    ) -> None:
        self.manifest = manifest
        self.dense = manifest.dense
        self.precision = precision
        self._folder = folder
        self._units = {
            name: unit
            for unit in architecture.units
            for name in (*architecture.unit_tensors(unit), *matrix_shapes(architecture, unit))
        }
        self._sizes = {
            name: size
            for unit in architecture.units
            for name, size in matrix_shapes(architecture, unit).items()
        }
        super().__init__(
            architecture,
            {name: self._reader(name) for name in architecture.tensors()},
            source=folder,
            content_id=digest,
            tokenizer_source=_tokenizer(folder, manifest),
        )

    def matrix(self, name: str) -> WeightMatrix:
        """A matrix as it was stored.

        Raises:
            KeyError: There is no such matrix.
            FrontendError: The file has changed or vanished since it was checked.
        """
        if name not in self._sizes:
            raise KeyError(f"{self.source} has no matrix {name!r}")
        rows, inputs = self._sizes[name]
        bands = self.precision.bands(name, rows)
        with _opened(self._folder / unit_file(self._units[name])) as file:
            arrays = arrays_of(name, bands, inputs, file.get_tensor)
        try:
            return from_arrays(bands, inputs, arrays)
        except ValueError as error:
            raise FrontendError(f"{name}: {error} ({self.source})") from None

    def _reader(self, name: str) -> Callable[[], FloatArray]:
        matrix = name.removesuffix(".weight")
        if matrix in self._sizes:
            return lambda: self._float_view(matrix)
        return lambda: self._vector(name)

    def _vector(self, name: str) -> FloatArray:
        with _opened(self._folder / unit_file(self._units[name])) as file:
            return file.get_tensor(name).float().numpy()

    def _float_view(self, name: str) -> FloatArray:
        weights = self.matrix(name).dequantize()
        shape = self.architecture
        if name.endswith("attn.q") and not shape.qk_norm:
            weights = (weights / np.float64(pad_heads(shape).attention_scale)).astype(np.float32)
        return unpadded(f"{name}.weight", weights, shape.head_dim)


def load_compressed(folder: Path, progress: Progress = silent) -> CompressedCheckpoint:
    """A compressed model from its folder, every byte of which is checked.

    Raises:
        FrontendError: A file is missing, is not what was written, or none of a compressed model.
    """
    place = folder / MANIFEST
    manifest = _manifest(read_json(place), place)
    _check_files(folder, manifest.files, progress)
    architecture = _architecture(manifest, place)
    precision = _precision(manifest, architecture, place)
    for unit in architecture.units:
        _check_unit(folder, manifest, precision, architecture, unit)
    parts = {
        **manifest.files,
        **manifest.formats,
        "architecture": json.dumps(manifest.architecture, sort_keys=True),
    }
    return CompressedCheckpoint(manifest, architecture, precision, folder, content_id(parts))


def _manifest(values: Mapping[str, Any], place: Path) -> Manifest:
    version = values.get("schema_version")
    if version != SCHEMA:
        raise FrontendError(f"schema_version must be {SCHEMA}, not {shown(version)} ({place})")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise FrontendError(
            f"{key} must be as a manifest has it, not so: {first['msg']} ({place})"
        ) from None


def _check_files(folder: Path, files: Mapping[str, str], progress: Progress) -> None:
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise FrontendError(f"files must be of the folder, not {name!r} ({folder / MANIFEST})")
    try:
        found = file_digests([folder / name for name in files], progress) if files else []
    except OSError as error:
        raise FrontendError(
            f"{error.filename or folder} must be readable, not {error.strerror or error}"
        ) from error
    for (name, wanted), digest in zip(files.items(), found, strict=True):
        if digest != wanted:
            raise FrontendError(
                f"{name} must be as it was written, not changed since ({folder / name})"
            )


def _architecture(manifest: Manifest, place: Path) -> Architecture:
    layers = manifest.architecture.get("layers")
    if not isinstance(layers, int) or layers > len(manifest.files):
        raise FrontendError(
            f"architecture.layers must be at most the number of files, not {shown(layers)} "
            f"({place})"
        )
    try:
        return Architecture.from_json(manifest.architecture)
    except (KeyError, TypeError, ValueError) as error:
        raise FrontendError(
            f"architecture must be a model's shape, not so: {error} ({place})"
        ) from None


def _precision(manifest: Manifest, architecture: Architecture, place: Path) -> Precision:
    sizes = {
        name: size
        for unit in architecture.units
        for name, size in matrix_shapes(architecture, unit).items()
    }
    if different := sorted(sizes.keys() ^ manifest.formats.keys()):
        raise FrontendError(f"formats must name each matrix, and {different[0]} differs ({place})")
    try:
        precision = Precision.of(manifest.formats)
        for name, (rows, _) in sizes.items():
            precision.bands(name, rows)
        return precision
    except ValueError as error:
        raise FrontendError(f"formats: {error} ({place})") from None


def _check_unit(
    folder: Path,
    manifest: Manifest,
    precision: Precision,
    architecture: Architecture,
    unit: str,
) -> None:
    """FrontendError unless the unit's file has its tensors and no others."""
    name = unit_file(unit)
    if name not in manifest.files:
        raise FrontendError(f"files must name {name}, not leave it out ({folder / MANIFEST})")
    wanted = _wanted(precision, architecture, unit)
    with _opened(folder / name) as file:
        found = {}
        for tensor in file.keys():  # noqa: SIM118 - not a mapping
            part = file.get_slice(tensor)
            found[tensor] = (part.get_dtype(), tuple(part.get_shape()))
    for tensor in sorted(wanted.keys() | found.keys()):
        if wanted.get(tensor) != found.get(tensor):
            texts = [_text(of.get(tensor)) for of in (wanted, found)]
            raise FrontendError(f"{tensor} must be {texts[0]}, not {texts[1]} ({folder / name})")


def _wanted(
    precision: Precision, architecture: Architecture, unit: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a unit's file."""
    matrices = matrix_shapes(architecture, unit)
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (vector_dtype(name), shape)
        for name, shape in architecture.unit_tensors(unit).items()
        if name.removesuffix(".weight") not in matrices
    }
    for name, (rows, inputs) in matrices.items():
        bands = precision.bands(name, rows)
        for part, (dtype, shape) in array_shapes(bands, inputs).items():
            wanted[f"{name}.{part}"] = (_DTYPES[np.dtype(dtype).name], shape)
    return wanted


def _text(found: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if found is None else f"{found[0]} {found[1]}"


def _tokenizer(folder: Path, manifest: Manifest) -> Path | None:
    if GGUF_TOKENIZER in manifest.files:
        return folder / GGUF_TOKENIZER
    if any(name.startswith(f"{TOKENIZER}/") for name in manifest.files):
        return folder / TOKENIZER
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file in a block; what is wrong with it is a FrontendError."""
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise FrontendError(f"{path} must be readable safetensors, not so: {error}") from error


def arrays_of(
    name: str, bands: Sequence[Band], inputs: int, tensor: Callable[[str], "torch.Tensor"]
) -> dict[str, NDArray[Any]]:
    """The arrays of a matrix out of a file, of bf16 numbers the bits; `tensor` reads one of it."""
    import torch

    found = {part: tensor(f"{name}.{part}") for part in array_shapes(bands, inputs)}
    return {
        part: values.view(torch.uint16).numpy()
        if values.dtype == torch.bfloat16
        else values.numpy()
        for part, values in found.items()
    }
