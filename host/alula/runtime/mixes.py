"""Formats for blocks of rows, where a recipe has a mix: measured once for a model and a text."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from alula import files
from alula.compress.mixing import Losses, check_limits, mixed
from alula.compress.recipe import MatrixChoice
from alula.folders import cache_folder, new_file
from alula.frontend import Checkpoint
from alula.progress import Progress
from alula.sources import sources_id

if TYPE_CHECKING:
    import torch

_KIND = "row_losses"


def with_bands(
    checkpoint: Checkpoint,
    choices: Mapping[str, MatrixChoice],
    windows: Sequence[Sequence[int]],
    place: str,
    device: "torch.device",
    progress: Progress,
) -> dict[str, MatrixChoice]:
    """Choices with the bands of matrices that are to have several formats.

    Args:
        checkpoint: the dense model.
        choices: what a recipe says of each matrix.
        windows: token ids of the calibration's text.
        place: names the recipe in an error's text.
        device: where the model runs to be measured.
        progress: told of each matrix that is measured.

    Raises:
        DesignError: a limit that no choice is within.
    """
    check_limits(checkpoint.architecture, choices, place)
    code = sources_id("alula.compress", "alula.quant", "alula.frontend")
    key = json.dumps([checkpoint.content_id, windows, code])
    kept = cache_folder() / _KIND / f"{sha256(key.encode()).hexdigest()}.json"

    def keep(found: Losses) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with new_file(kept) as file:
            file.write(json.dumps(found).encode())

    return mixed(
        checkpoint,
        choices,
        windows,
        known=_read(kept),
        keep=keep,
        device=device,
        progress=progress,
    )


def _read(place: Path) -> Losses:
    """What was measured before; nothing where the file is absent or damaged."""
    try:
        return {
            str(key): {
                str(title): [float(share) for share in shares] for title, shares in values.items()
            }
            for key, values in json.loads(files.read_bytes(place)).items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
