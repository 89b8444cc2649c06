"""Compiled models, kept in the cache by everything that they depend on."""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from alula.design import Design
from alula.folders import cache_folder, new_folder
from alula.frontend import Checkpoint
from alula.runtime.progress import Progress, silent
from alula.sources import sources_id

if TYPE_CHECKING:
    from alula.codegen import Build

_COMPILER = (
    "alula.isa",
    "alula.ir",
    "alula.frontend",
    "alula.quant",
    "alula.mapper",
    "alula.codegen",
)


def build_folder(checkpoint: Checkpoint, design: Design, context: int) -> Path:
    """Return where the build of a model for a design and a context is kept; it need not exist.

    The compiler's own sources are part of the key: another version never takes this one's builds.
    """
    parts = (checkpoint.content_id, design.hash, str(context), sources_id(*_COMPILER))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return cache_folder() / "builds" / key[:32]


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

    place = build_folder(checkpoint, design, context)
    if place.is_dir():
        try:
            return Build.load(place)
        except (OSError, ValueError, KeyError):
            shutil.rmtree(place)
    build = compiled(checkpoint, design, context, progress)
    with new_folder(place) as folder:
        build.save(folder)
    return Build.load(place)


def compiled(
    checkpoint: Checkpoint, design: Design, context: int, progress: Progress = silent
) -> "Build":
    """Return a model compiled anew. DoesNotFit if the design is too small."""
    from alula.codegen import compile_model
    from alula.quant import QuantizedModel

    return compile_model(QuantizedModel(checkpoint), design, context, progress)
