"""A model whose matrices are chosen for what goes into them, layer by layer."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from alula.compress.calibration import SHARED, Recorder, moments
from alula.compress.descent import solve
from alula.ir import Precision
from alula.quant import QuantizedMatrix, QuantizedModel, padded
from alula.quant.source import Source

Progress = Callable[[str, int, int], None]
_BATCH = 8


class CompressedModel(QuantizedModel):
    """A quantised model of which some matrices were chosen beforehand.

    Args:
        checkpoint: where everything else comes from.
        precision: the formats of the matrices.
        chosen: matrices by name (``layers.0.attn.q``); a query projection has the attention scale
            folded in where the model has no query norm.
    """

    def __init__(
        self, checkpoint: Source, precision: Precision, chosen: dict[str, QuantizedMatrix]
    ) -> None:
        super().__init__(checkpoint, precision)
        self._chosen = chosen

    def matrix(self, name: str) -> QuantizedMatrix:
        """A matrix by name: the one that was chosen, else the nearest."""
        return self._chosen[name] if name in self._chosen else super().matrix(name)


def compress(
    checkpoint: Source,
    precision: Precision,
    windows: Tensor,
    *,
    device: str | torch.device = "cpu",
    sweeps: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> CompressedModel:
    """Choose the matrices of all layers so that each one's output stays what it was on a text.

    A matrix sees what comes out of the compressed layers before it, and is chosen to give what the
    dense model has at that place. The head is quantised to the nearest.

    Args:
        checkpoint: the dense model.
        precision: the formats of the matrices.
        windows: token ids of the text, int64 ``[windows, tokens]``.
        device: where the model runs; the codes are chosen on the CPU.
        sweeps: rounds of coordinate descent, those of `solve` if None.
        progress: told of each layer.
    """
    source = padded(checkpoint)
    dense, ours = Recorder(source, device), Recorder(source, device)
    shape = dense.architecture
    windows = windows.to(dense.device)
    positions = torch.arange(windows.shape[1], device=dense.device)
    text = torch.stack([dense.embed(ids, positions) for ids in windows])
    hidden = (text, text)
    chosen: dict[str, QuantizedMatrix] = {}
    for index in range(shape.layers):
        progress("compressing", index, shape.layers)
        for names in _groups(shape.projections):
            found = moments(dense, ours, index, names[0], hidden)
            for name in names:
                unit = f"layers.{index}.{name}"
                weight = dense.unit(f"layers.{index}")[f"{name}.weight"]
                folded = name == "attn.q" and not shape.qk_norm
                scale = shape.attention_scale if folded else 1.0
                codes = solve(
                    found.target(weight) * scale,
                    precision.format(unit),
                    found.own,
                    **({} if sweeps is None else {"sweeps": sweeps}),
                )
                chosen[unit] = codes.matrix()
                ours.unit(f"layers.{index}")[f"{name}.weight"] = codes.weights().to(weight) / scale
        hidden = (_through(dense, index, hidden[0]), _through(ours, index, hidden[1]))
    progress("compressing", shape.layers, shape.layers)
    return CompressedModel(checkpoint, precision, chosen)


def _groups(projections: object) -> Iterator[list[str]]:
    """The matrices of a layer in the order they run, those with the same input together."""
    for names in SHARED:
        present = [name for name in names if name in projections]  # type: ignore[operator]
        yield present


def _through(model: Recorder, index: int, hidden: Tensor) -> Tensor:
    """What a layer makes of each window."""
    positions = torch.arange(hidden.shape[1], device=model.device)
    return torch.cat([model.layer(index, part, positions) for part in hidden.split(_BATCH)])
