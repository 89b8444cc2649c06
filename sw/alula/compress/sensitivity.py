"""What each matrix costs in each format: the divergence with this matrix alone quantised."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from alula.compress.calibration import SHARED, InputRecorder, Moments
from alula.compress.descent import round_to_nearest, solve
from alula.ir.precision import HEAD
from alula.isa.formats import MATRIX_FORMATS
from alula.progress import Progress, silent
from alula.quant import padded
from alula.quant.source import Source

Sensitivities = dict[str, dict[str, float]]
"""Nats a token by matrix and title of its format."""


def measure(
    checkpoint: Source,
    windows: Sequence[Sequence[int]],
    wanted: Mapping[str, Sequence[str]],
    *,
    known: Sensitivities | None = None,
    keep: Callable[[Sensitivities], None] = lambda found: None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> Sensitivities:
    """Measure how far the next token's distribution is from the dense model's.

    A matrix's integers are chosen as `compensate` does, for what goes into it in the dense model
    (the head's by rounding); all other matrices are as they were. The divergence is KL(dense ||
    quantised), mean over the tokens of the text; for small ones its sum over matrices is about the
    logarithm of the perplexity's ratio.

    Args:
        checkpoint: the dense model.
        windows: token ids of a text, all of one length.
        wanted: titles of the formats to try, by matrix.
        known: what an earlier start measured, which is taken.
        keep: gets all that was measured after each matrix.
        device: where the model runs.
        progress: told of each matrix.
    """
    run = _Run(padded(checkpoint), torch.tensor(windows), torch.device(device))
    found = {name: dict(values) for name, values in (known or {}).items()}
    missing = {
        name: [title for title in titles if title not in found.get(name, {})]
        for name, titles in wanted.items()
    }
    done = sum(not titles for titles in missing.values())
    for names in run.groups(missing):
        moments: Moments | None = None
        for name in names:
            progress("measuring", done, len(missing))
            moments = moments or run.moments(name)
            for title in missing[name]:
                found.setdefault(name, {})[title] = run.divergence(name, title, moments)
            keep(found)
            done += 1
    progress("measuring", len(missing), len(missing))
    return found


class _Run:
    """The dense model on a text, layer by layer."""

    def __init__(self, source: Source, windows: Tensor, device: torch.device) -> None:
        self._model = InputRecorder(source, device)
        self._layers = source.architecture.layers
        self._positions = torch.arange(windows.shape[1], device=device)
        self._hidden = torch.stack(
            [self._model.embed(ids, self._positions) for ids in windows.to(device)]
        )
        self._layer = 0
        logits = self._model.head(self._through(self._hidden, 0))
        self._expected = logits.log_softmax(-1).flatten(0, -2)

    def groups(self, missing: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
        """Matrices that something is missing of, in order, those with the same input together."""
        for layer in range(self._layers):
            for kinds in SHARED:
                names = [f"layers.{layer}.{kind}" for kind in kinds]
                if names := [name for name in names if missing.get(name)]:
                    yield names
            self._hidden = self._model.layer(layer, self._hidden, self._positions)
            self._layer = layer + 1
        if missing.get(HEAD):
            yield [HEAD]

    @torch.inference_mode()
    def moments(self, name: str) -> Moments:
        """Second moments of a matrix's input."""
        if name == HEAD:
            x = self._model.head_input(self._hidden)
        else:
            kind = name.split(".", 2)[2]
            x = self._model.input(self._layer, kind, self._hidden, self._positions)
        own = (x.T @ x).double()
        return Moments(own, own)

    @torch.inference_mode()
    def divergence(self, name: str, title: str, moments: Moments) -> float:
        """The divergence with a matrix in a format, which is as it was afterwards."""
        unit, fmt = _unit(name), MATRIX_FORMATS[title]
        tensors, tensor = self._model.unit(unit), f"{name.removeprefix(f'{unit}.')}.weight"
        weight = tensors[tensor]
        codes = (
            round_to_nearest(weight, fmt)
            if name == HEAD
            else solve(weight, fmt, moments.own.to(weight.device), 0)
        )
        tensors[tensor] = codes.weights().to(weight)
        try:
            logits = self._model.head(self._through(self._hidden, self._layer))
        finally:
            tensors[tensor] = weight
        found = logits.log_softmax(-1).flatten(0, -2)
        return float((self._expected.exp() * (self._expected - found)).sum(-1).double().mean())

    @torch.inference_mode()
    def _through(self, hidden: Tensor, first: int) -> Tensor:
        for layer in range(first, self._layers):
            hidden = self._model.layer(layer, hidden, self._positions)
        return hidden


def _unit(matrix: str) -> str:
    return "head" if matrix == HEAD else ".".join(matrix.split(".", 2)[:2])
