"""Writing a compressed model as a folder; `alula.frontend.compressed` says what it holds."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from alula.folders import new_file
from alula.frontend import Checkpoint
from alula.frontend.compressed import (
    MANIFEST,
    SCHEMA,
    Dense,
    Manifest,
    matrix_shapes,
    unit_file,
    vector_dtype,
)
from alula.frontend.content import file_digests
from alula.progress import Progress, silent
from alula.quant import QuantizedModel
from alula.quant.banded import WeightMatrix
from alula.quant.floats import FloatArray, bf16_bits, round_bf16
from alula.quant.stored import to_arrays


def matrix_tensors(name: str, matrix: WeightMatrix) -> dict[str, Tensor]:
    """The arrays of a matrix under their names in a file."""
    return {
        f"{name}.{part}": _bf16(array) if array.dtype == np.uint16 else torch.from_numpy(array)
        for part, array in to_arrays(matrix).items()
    }


def save(
    folder: Path,
    checkpoint: Checkpoint,
    model: QuantizedModel,
    *,
    name: str,
    dense: str | None = None,
    vectors: Mapping[str, FloatArray] = {},
    tokenizer: Mapping[str, bytes] = {},
    recipe: Mapping[str, Any] = {},
    figures: Mapping[str, Any] = {},
    progress: Progress = silent,
) -> None:
    """Write a quantised model into an empty folder.

    Args:
        folder: where to; `alula.folders.new_folder` makes one that appears whole.
        checkpoint: the dense model.
        model: the same quantised.
        name: what the dense model is called where it is loaded from.
        dense: content of that model; None: that of `checkpoint`.
        vectors: what takes the place of the dense model's, by the name of the tensor.
        tokenizer: files by their path in the folder.
        recipe: how it was made, plain JSON values.
        figures: what was found out about it, plain JSON values.
        progress: called for each unit.

    Raises:
        OSError: there is no room.
        FrontendError: the dense model can no longer be read.
    """
    shape = checkpoint.architecture
    for done, unit in enumerate(shape.units):
        progress("writing", done, len(shape.units))
        _save_unit(folder / unit_file(unit), checkpoint, model, vectors, unit)
    for path, content in tokenizer.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    names = [*map(unit_file, shape.units), *tokenizer]
    digests = file_digests([folder / path for path in names])
    manifest = Manifest(
        schema_version=SCHEMA,
        dense=Dense(source=name, content_id=dense or checkpoint.content_id),
        architecture=replace(shape, tied_head=False).to_json(),
        formats={matrix: model.precision.title(matrix) for matrix in model.shapes},
        recipe=dict(recipe),
        figures=dict(figures),
        files=dict(zip(names, digests, strict=True)),
    )
    with new_file(folder / MANIFEST) as file:
        file.write(json.dumps(manifest.model_dump(), indent=1).encode() + b"\n")


def _save_unit(
    path: Path,
    checkpoint: Checkpoint,
    model: QuantizedModel,
    vectors: Mapping[str, FloatArray],
    unit: str,
) -> None:
    shape = checkpoint.architecture
    matrices = matrix_shapes(shape, unit)
    tensors: dict[str, Tensor] = {}
    for name in shape.unit_tensors(unit):
        if name.removesuffix(".weight") in matrices:
            continue
        values = vectors[name] if name in vectors else checkpoint.tensor(name)
        bf16 = vector_dtype(name) == "BF16"
        tensors[name] = _bf16(bf16_bits(round_bf16(values))) if bf16 else torch.from_numpy(values)
    for name in matrices:
        tensors |= matrix_tensors(name, model.matrix(name))
    save_file(tensors, path)


def _bf16(bits: np.ndarray) -> Tensor:
    """A tensor of bf16 numbers from their bits."""
    return torch.from_numpy(bits.astype(np.uint16)).view(torch.bfloat16)
