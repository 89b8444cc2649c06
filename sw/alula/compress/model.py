"""A model whose matrices are chosen for what goes into them, layer by layer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from alula.compress.calibration import SHARED, Calibration, Moments
from alula.compress.methods import Method, descent, method, needs_text
from alula.compress.work import NO_WORK, UnitStore
from alula.ir import Precision
from alula.ir.precision import HEAD
from alula.progress import Progress, silent
from alula.quant import QuantizedModel, padded
from alula.quant.banded import WeightMatrix, joined
from alula.quant.floats import FloatArray, clean
from alula.quant.source import Source

_STAGE = "compressing"


class CompressedModel(QuantizedModel):
    """A quantised model of which some matrices were chosen beforehand.

    Args:
        checkpoint: where everything else comes from.
        precision: the formats of the matrices.
        chosen: matrices by name (``layers.0.attn.q``); a query projection has the attention scale
            folded in where the model has no query norm.
        vectors: what takes the place of the checkpoint's, by the name of the tensor.

    Attributes:
        chosen: `chosen`.
        vectors: `vectors`.
    """

    def __init__(
        self,
        checkpoint: Source,
        precision: Precision,
        chosen: Mapping[str, WeightMatrix],
        vectors: Mapping[str, FloatArray] = {},
    ) -> None:
        super().__init__(checkpoint, precision)
        self.chosen = dict(chosen)
        self.vectors = dict(vectors)

    def matrix(self, name: str) -> WeightMatrix:
        """A matrix by name: the one that was chosen, else the nearest."""
        return self.chosen[name] if name in self.chosen else super().matrix(name)

    def vector(self, name: str) -> FloatArray | None:
        """A gain or a bias by the name of its tensor: the one that was given, else as it was."""
        return clean(self.vectors[name]) if name in self.vectors else super().vector(name)


def compress(
    checkpoint: Source,
    precision: Precision,
    windows: Tensor | Sequence[Sequence[int]] | None,
    *,
    methods: Mapping[str, str] = {},
    device: str | torch.device = "cpu",
    sweeps: int | None = None,
    work: UnitStore = NO_WORK,
    progress: Progress = silent,
) -> CompressedModel:
    """Choose the matrices of a model so that each one's output stays what it was on a text.

    A matrix sees what comes out of the compressed layers before it, and is chosen to give what the
    dense model has at that place.

    Args:
        checkpoint: the dense model.
        precision: the formats of the matrices.
        windows: token ids of the text, int64 ``[windows, tokens]``; None if no method needs them.
        methods: how each matrix is chosen, by its name: one of `METHODS`. Those of layers that are
            not named by descent, the head by rounding.
        device: where the model runs, and where codes are chosen on its inputs.
        sweeps: rounds of coordinate descent, those of `solve` if None.
        work: has the units of an earlier start, which are taken, and gets each as it is done.
        progress: called for each layer.
    """
    run = _Run(checkpoint, precision, methods, descent() if sweeps is None else descent(sweeps))
    ids = None if windows is None else torch.as_tensor(windows)
    return CompressedModel(
        checkpoint, precision, run.chosen(ids, torch.device(device), work, progress)
    )


class _Run:
    """One compression: the dense model, and ours with what was chosen so far."""

    def __init__(
        self,
        checkpoint: Source,
        precision: Precision,
        methods: Mapping[str, str],
        by_default: Method,
    ) -> None:
        self._source = padded(checkpoint)
        self._shape = self._source.architecture
        self._precision = precision
        self._methods = methods
        self._by_default = by_default

    def chosen(
        self, windows: Tensor | None, device: torch.device, work: UnitStore, progress: Progress
    ) -> dict[str, WeightMatrix]:
        """The matrices of all units."""
        layers = self._shape.layers
        units = [*(f"layers.{index}" for index in range(layers)), "head"]
        kept = {unit: work.find(unit, self._wanted(unit)) for unit in units}
        found: dict[str, WeightMatrix] = {}
        texts = None
        if windows is not None and None in kept.values():
            texts = Calibration(self._source, windows, device)
        for done, unit in enumerate(units):
            progress(_STAGE, done, len(units))
            matrices = kept[unit]
            if matrices is None:
                matrices = self._choose(unit, texts)
                work.add(unit, matrices)
            elif texts is not None and unit != "head":
                for name, matrix in matrices.items():
                    texts.take(name, matrix, self._scale(name))
            found |= matrices
            if texts is not None and done < layers:
                texts.pass_through(done)
        progress(_STAGE, len(units), len(units))
        return found

    def _wanted(self, unit: str) -> dict[str, tuple[str, tuple[int, int]]]:
        """The format and the size of each matrix of a unit."""
        shape = self._shape
        sizes = (
            {HEAD: (shape.vocab_size, shape.hidden_size)}
            if unit == "head"
            else {f"{unit}.{name}": size for name, size in shape.projections.items()}
        )
        return {name: (self._precision.title(name), size) for name, size in sizes.items()}

    def _choose(self, unit: str, texts: Calibration | None) -> dict[str, WeightMatrix]:
        found: dict[str, WeightMatrix] = {}
        for names in _groups(self._wanted(unit)):
            seen: Moments | None = None
            for name in names:
                weight = torch.from_numpy(self._source.tensor(f"{name}.weight"))
                if self._needs_text(name):
                    assert texts is not None
                    seen = seen or texts.moments(name)
                choose, scale = self._method(name), self._scale(name)
                found[name] = joined(
                    choose(weight[band.span], band.format, seen, scale)
                    for band in self._precision.bands(name, len(weight))
                )
                if texts is not None and unit != "head":
                    texts.take(name, found[name], self._scale(name))
        return found

    def _needs_text(self, name: str) -> bool:
        return needs_text(self._named(name))

    def _named(self, name: str) -> str:
        return self._methods.get(name, "nearest" if name == HEAD else "descent")

    def _method(self, name: str) -> Method:
        named = self._named(name)
        return self._by_default if named == "descent" else method(named)

    def _scale(self, name: str) -> float:
        folded = name.endswith("attn.q") and not self._shape.qk_norm
        return self._shape.attention_scale if folded else 1.0


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    """The matrices of a unit in the order they run, those with the same input together."""
    by_kind = {name.split(".", 2)[-1]: name for name in names}
    for kinds in (*SHARED, (HEAD,)):
        yield [by_kind[kind] for kind in kinds if kind in by_kind]
