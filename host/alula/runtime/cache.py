"""Compiled models, kept in the cache by everything that they depend on."""

import hashlib
import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from alula.design import Design
from alula.frontend import Checkpoint
from alula.kept import kept
from alula.progress import Progress, silent
from alula.sources import sources_id

if TYPE_CHECKING:
    from alula.codegen import Build

_COMPILER = (
    "alula.design",
    "alula.isa",
    "alula.ir",
    "alula.frontend",
    "alula.quant",
    "alula.mapper",
    "alula.codegen",
)
_LIBRARIES = ("gguf", "numpy", "safetensors", "torch")
"""What reads and rounds the weights."""


def build_key(checkpoint: Checkpoint, design: Design, context: int) -> str:
    """Return the name of the build of a model for a design and a context.

    It follows from the model's content, the design's hash, which the clock and the part do not
    enter, and the compiler: another version of it, or of what reads the weights, makes its own.
    """
    architecture = json.dumps(checkpoint.architecture.to_json(), sort_keys=True)
    versions = [metadata.version(name) for name in _LIBRARIES]
    parts = (checkpoint.content_id, architecture, design.hash, str(context), *versions)
    text = "\n".join((*parts, sources_id(*_COMPILER)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def built(
    checkpoint: Checkpoint, design: Design, context: int, progress: Progress = silent
) -> "Build":
    """Return the build of a model, from the cache if it is there, else compiled and kept.

    A damaged build is removed and made anew. An interrupted one leaves nothing.

    Raises:
        DoesNotFit: the design is too small; carries the fit report.
        OSError: the cache cannot be written.
    """
    from alula.codegen import Build

    def make(folder: Path) -> None:
        compiled(checkpoint, design, context, progress).write(folder)

    build = Build.read(kept("builds", build_key(checkpoint, design, context), make))
    # It may have been made for a design of the same hardware with another name or clock.
    return replace(build, design=design, fit=replace(build.fit, design=design.name))


def compiled(
    checkpoint: Checkpoint, design: Design, context: int, progress: Progress = silent
) -> "Build":
    """Return a model compiled anew. DoesNotFit if the design is too small."""
    from alula.codegen import compile_model
    from alula.quant import QuantizedModel

    return compile_model(QuantizedModel(checkpoint), design, context, progress)
