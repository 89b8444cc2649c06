"""A compressed model, trained: from its matrices to latent values and back."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from alula.compress.distillation import Distillation, distil
from alula.compress.grid import Codes, matrix_name, named_codes
from alula.compress.model import CompressedModel
from alula.ir.precision import HEAD
from alula.progress import Progress, silent
from alula.quant.banded import joined
from alula.quant.padded import padded
from alula.quant.source import Source


def recover(
    checkpoint: Source,
    model: CompressedModel,
    windows: Tensor | Sequence[Sequence[int]],
    settings: Distillation,
    *,
    device: str | torch.device = "cpu",
    keep: Path | None = None,
    progress: Progress = silent,
) -> CompressedModel:
    """The model with its layers trained on a text to say what the dense one says; see `distil`.

    Formats stay, and so does the head.

    Args:
        checkpoint: the dense model.
        model: the same compressed, all of its matrices chosen.
        windows: token ids, int64 ``[windows, tokens]``.
        settings: how.
        device: where.
        keep: a file for what is needed to go on after an end too soon.
        progress: called for each step.

    Raises:
        ValueError: `keep` is of another training; fewer windows than a step takes.
    """
    source = padded(checkpoint)
    codes: dict[str, Codes] = {}
    for name, matrix in model.chosen.items():
        if name != HEAD:
            weight = torch.from_numpy(source.tensor(f"{name}.weight"))
            codes |= named_codes(name, matrix, weight)
    found = distil(
        checkpoint,
        codes,
        torch.as_tensor(windows),
        settings,
        device=device,
        keep=keep,
        progress=progress,
    )
    chosen = {
        name: joined(found.codes[part].matrix() for part in parts)
        for name, parts in groupby(found.codes, key=matrix_name)
    }
    gains = {name: gain.numpy() for name, gain in found.gains.items()}
    return CompressedModel(checkpoint, model.precision, model.chosen | chosen, gains)
