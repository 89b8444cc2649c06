"""What each matrix costs in each format: the divergence with this matrix alone quantised."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from alula.compress.calibration import SHARED, InputRecorder
from alula.compress.descent import Curvature, round_to_nearest, solve
from alula.ir.bands import bands_of
from alula.ir.precision import HEAD
from alula.progress import Progress, silent
from alula.quant import padded
from alula.quant.source import Source

Sensitivities = dict[str, dict[str, float]]
"""Nats a token by matrix and title of its format."""


def measure(
    checkpoint: Source,
    windows: Sequence[Sequence[int]],
    apart: Sequence[Sequence[int]],
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
    quantised), mean over tokens that no integer was chosen on; for small ones its sum over matrices
    is about the logarithm of the perplexity's ratio.

    Args:
        checkpoint: the dense model.
        windows: token ids of a text to choose integers on, all of one length.
        apart: of another one to measure on, all of one length.
        wanted: titles of the formats to try, by matrix.
        known: what an earlier start measured, which is taken.
        keep: gets all that was measured after each matrix.
        device: where the model runs.
        progress: told of each matrix.
    """
    found = {name: dict(values) for name, values in (known or {}).items()}
    missing = {
        name: [title for title in titles if title not in found.get(name, {})]
        for name, titles in wanted.items()
    }
    done = sum(not titles for titles in missing.values())
    if done < len(missing):
        run = _Run(padded(checkpoint), windows, apart, torch.device(device))
        for name, curvature in run.matrices(missing):
            progress("measuring", done, len(missing))
            for title in missing[name]:
                found.setdefault(name, {})[title] = run.divergence(name, title, curvature)
            keep(found)
            done += 1
    progress("measuring", len(missing), len(missing))
    return found


class _Run:
    """The dense model on two texts, layer by layer."""

    def __init__(
        self,
        source: Source,
        windows: Sequence[Sequence[int]],
        apart: Sequence[Sequence[int]],
        device: torch.device,
    ) -> None:
        self._model = InputRecorder(source, device)
        self._layers = source.architecture.layers
        self._layer = 0
        self._seen = self._model.embedded(windows)
        self._apart = self._model.embedded(apart)
        logits = self._model.head(self._through(self._apart, 0))
        self._expected = logits.log_softmax(-1).flatten(0, -2)

    def matrices(
        self, missing: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, Curvature | None]]:
        """Matrices that something is missing of, in order, with what their inputs are like.

        The head, which is rounded, has none.
        """
        for layer in range(self._layers):
            names = {
                name: kinds[0]
                for kinds in SHARED
                for kind in kinds
                if missing.get(name := f"layers.{layer}.{kind}")
            }
            moments = self._model.pass_through(self._layer, self._seen, set(names.values()))
            curvatures = {kind: Curvature.of(moment) for kind, moment in moments.items()}
            for name, first in names.items():
                yield name, curvatures[first]
            self._apart = self._model.layer(layer, self._apart, self._positions(self._apart))
            self._layer = layer + 1
        if missing.get(HEAD):
            yield HEAD, None

    @torch.inference_mode()
    def divergence(self, name: str, title: str, curvature: Curvature | None) -> float:
        """The divergence with a matrix in a format, which is as it was afterwards."""
        unit = _unit(name)
        tensors, tensor = self._model.unit(unit), f"{name.removeprefix(f'{unit}.')}.weight"
        weight = tensors[tensor]
        codes = [
            round_to_nearest(weight[band.span], band.format)
            if curvature is None
            else solve(weight[band.span], band.format, curvature, 0)
            for band in bands_of(title, len(weight))
        ]
        tensors[tensor] = torch.cat([one.weights() for one in codes]).to(weight)
        try:
            logits = self._model.head(self._through(self._apart, self._layer))
        finally:
            tensors[tensor] = weight
        found = logits.log_softmax(-1).flatten(0, -2)
        return float((self._expected.exp() * (self._expected - found)).sum(-1).double().mean())

    @torch.inference_mode()
    def _through(self, hidden: Tensor, first: int) -> Tensor:
        for layer in range(first, self._layers):
            hidden = self._model.layer(layer, hidden, self._positions(hidden))
        return hidden

    @torch.inference_mode()
    def _positions(self, hidden: Tensor) -> Tensor:
        return torch.arange(hidden.shape[1], device=hidden.device)


def _unit(matrix: str) -> str:
    return "head" if matrix == HEAD else ".".join(matrix.split(".", 2)[:2])
