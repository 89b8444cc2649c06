"""What a model's answers are compared with: the model as its author runs it, where there is one."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alula.compress.folding import rotated
from alula.frontend import Checkpoint, FrontendError
from alula.frontend.compressed import CompressedCheckpoint
from alula.frontend.float_reference import FloatReference
from alula.progress import Progress, silent
from alula.runtime.errors import ModelError, RunError
from alula.runtime.loading import open_model

if TYPE_CHECKING:
    from torch import Tensor

_LOG = logging.getLogger(__name__)
_BYTES = 6
"""Of memory for a parameter in float32, with room for what is made while reading it."""


class Reference(Protocol):
    """A model in float32, its weights as they are stored.

    Attributes:
        label: who reads it: ``module``, ``transformers`` or ``our float reading``.
    """

    label: str

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Return float32 ``[tokens, vocabulary]`` of a text."""
        ...


def reference_of(checkpoint: Checkpoint, progress: Progress = silent) -> Reference:
    """Return the reference of a model that owes the least to Alula.

    That is the module it was read from; of a Hugging Face folder transformers' own model, if this
    machine has the memory; else, and for GGUF files, the float reading of the weights. A compressed
    model has the reference of the dense model that it was made of.

    RunError if that one is not at hand.
    """
    if isinstance(checkpoint, CompressedCheckpoint):
        checkpoint = dense_of(checkpoint, progress)
    if checkpoint.original is not None:
        return checkpoint.original
    folder = Path(checkpoint.source)
    if folder.is_dir():
        needed = _BYTES * checkpoint.architecture.parameters
        if needed <= (free := _available_memory()):
            from alula.frontend.pretrained import open_pretrained

            try:
                return open_pretrained(folder)
            except FrontendError as error:
                _LOG.warning("compared with our float reading: %s", error)
        else:
            _LOG.warning(
                "compared with our float reading: transformers needs %.1f GB of memory, "
                "of which %.1f are free",
                needed / 1e9,
                free / 1e9,
            )
    return FloatReference(checkpoint)


def dense_of(checkpoint: CompressedCheckpoint, progress: Progress = silent) -> Checkpoint:
    """Return the dense model that a compressed one was made of.

    RunError if it is not where it was, or has changed.
    """
    dense = checkpoint.dense
    wanted = f"the dense model must be the one that {checkpoint.source} was made of"
    try:
        found = open_model(dense.source, progress)
    except (FrontendError, ModelError) as error:
        raise RunError(f"{wanted}, not one that cannot be read: {error}") from error
    if found.content_id != dense.content_id:
        raise RunError(f"{wanted}, not what is now at {dense.source}")
    return found


def dense_alike(checkpoint: CompressedCheckpoint, progress: Progress = silent) -> Checkpoint:
    """Return that model with the residual stream of the compressed one.

    RunError as of `dense_of`.
    """
    dense, fold = dense_of(checkpoint, progress), checkpoint.manifest.recipe.get("fold")
    return rotated(dense) if fold and fold.get("rotate") else dense


def _available_memory() -> int:
    """Bytes that this machine can still give out; without limit where it does not tell."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return 1 << 62
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(found[1]) << 10 if found else 1 << 62
