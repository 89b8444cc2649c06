"""Formats for blocks of rows, where a recipe has a mix: measured once for a model and a text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from alula.compress.mixing import check_limits, mixed
from alula.compress.recipe import MatrixChoice
from alula.frontend import Checkpoint
from alula.progress import Progress
from alula.runtime.measurements import Measurements

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
    kept = Measurements.of(_KIND, checkpoint.content_id, windows)
    return mixed(
        checkpoint,
        choices,
        windows,
        known=kept.known(lambda shares: [float(share) for share in shares]),
        keep=kept.keep,
        device=device,
        progress=progress,
    )
