"""Where a model's accuracy and its time go on the accelerator, unit by unit."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alula.cost import predict
from alula.design import Design
from alula.frontend import Checkpoint
from alula.frontend.float_reference import FloatReference
from alula.ir import Precision
from alula.progress import Progress, silent
from alula.quant import QuantizedModel, padded
from alula.quant.integers import Activations, vanished
from alula.quant.reference import IntegerReference
from alula.runtime.errors import PromptError
from alula.runtime.evaluation import surprise_of

if TYPE_CHECKING:
    from torch import Tensor

FILES = ("profile.json", "profile.png")


@dataclass(frozen=True)
class OutputError:
    """How far outputs are from those of fp32.

    Attributes:
        snr_db: energy of fp32's output over that of the difference, in decibels.
        cosine: of the angle between both.
        largest: the largest difference over the largest output.
    """

    snr_db: float
    cosine: float
    largest: float


@dataclass(frozen=True)
class UnitProfile:
    """What a unit costs, in accuracy and in time.

    Attributes:
        unit: its name.
        own: its error for the float model's input.
        accumulated: its error for what the units before it gave on the accelerator.
        least, most: range of fp32's output.
        peak: largest magnitude of the activations that go into its products, for the float model's
            input. None is clipped: scales are those of the largest value of a group.
        vanished: share of them that the quantiser makes 0 though they are not.
        ratio: perplexity with this unit alone on the accelerator, over that of fp32.
        cycles: modelled, of decoding a token behind the text, this unit alone, with what brings its
            input and takes its output.
        bytes_read: modelled, by that run.
        by_engine: modelled, cycles in which each engine works.
    """

    unit: str
    own: OutputError
    accumulated: OutputError
    least: float
    most: float
    peak: float
    vanished: float
    ratio: float
    cycles: float
    bytes_read: float
    by_engine: dict[str, float]


class _Watched(IntegerReference):
    """Counts what becomes of the activations that it quantises."""

    def begin(self) -> None:
        """Count anew."""
        self.peak, self._values, self._vanished = 0.0, 0, 0

    @property
    def share_vanished(self) -> float:
        """Share that became 0; 0 where nothing was quantised."""
        return self._vanished / max(1, self._values)

    def _quantize(self, x: "Tensor") -> Activations:
        self.peak = max(self.peak, float(x.abs().max()))
        self._values += x.numel()
        self._vanished += vanished(x)
        return super()._quantize(x)


def profile(
    checkpoint: Checkpoint,
    dense: Checkpoint,
    design: Design,
    ids: Sequence[int],
    progress: Progress = silent,
) -> list[UnitProfile]:
    """Compare every unit in exact integers with fp32 on a text, which is one sequence.

    Args:
        checkpoint: what runs on the accelerator.
        dense: the model in fp32; the same, but for a compressed model.
        design: the accelerator.
        ids: the text's tokens, at least two.
        progress: called for each unit.

    Raises:
        PromptError: the text is too short.
        DoesNotFit: the design cannot run the model.
    """
    if len(ids) < 2:
        raise PromptError(f"the text must be at least 2 tokens, not {len(ids)}")
    model = QuantizedModel(checkpoint)
    exact, floating = _Watched(model), FloatReference(padded(dense))
    positions = range(len(ids))
    units = model.architecture.units
    reference = accumulated = None
    found: list[tuple[str, OutputError, OutputError, float, float, float, float, float]] = []
    whole = _perplexity(floating.logits(ids).numpy(), ids)
    for number, unit in enumerate(units):
        progress("profiling", number, len(units))

        def step(one: IntegerReference | FloatReference, hidden: Any, unit: str = unit) -> Any:
            if unit == "embed":
                return one.embed(ids, positions)
            if unit == "head":
                return one.head(hidden)
            return one.layer(int(unit.partition(".")[2]), hidden, positions)

        exact.begin()
        own = step(exact, reference)
        peak, lost = exact.peak, exact.share_vanished
        accumulated = step(exact, accumulated)
        reference = step(floating, reference)
        rest = own
        for index in range(number, model.architecture.layers):
            rest = floating.layer(index, rest, positions)
        logits = rest if unit == "head" else floating.head(rest)
        wanted = reference.numpy()
        found.append(
            (
                unit,
                _error(wanted, own.numpy()),
                _error(wanted, accumulated.numpy()),
                float(wanted.min()),
                float(wanted.max()),
                peak,
                lost,
                _perplexity(logits.numpy(), ids) / whole,
            )
        )
    progress("profiling", len(units), len(units))
    costs = _costs(design, checkpoint, model.precision, len(ids))
    return [UnitProfile(*one, *cost) for one, cost in zip(found, costs, strict=True)]


def save(profiles: Sequence[UnitProfile], folder: Path) -> None:
    """Write a profile as JSON and as a picture. OSError if there is no room."""
    data, picture = (folder / name for name in FILES)
    data.write_text(json.dumps([asdict(one) for one in profiles], indent=1) + "\n")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [one.unit for one in profiles]
    figure = Figure(figsize=(max(6, len(names) / 3), 8), layout="constrained")
    FigureCanvasAgg(figure)
    snr, ratio, cycles = figure.subplots(3, sharex=True)
    snr.plot(names, [one.own.snr_db for one in profiles], "o", label="float model's input")
    snr.plot(names, [one.accumulated.snr_db for one in profiles], ".-", label="accumulated")
    snr.set_ylabel("signal to noise (dB)")
    snr.legend()
    ratio.bar(names, [one.ratio - 1 for one in profiles])
    ratio.set_ylabel("perplexity alone, ratio - 1")
    cycles.bar(names, [one.cycles for one in profiles])
    cycles.set_ylabel("cycles a token, modelled")
    cycles.tick_params(axis="x", rotation=90)
    figure.savefig(picture, dpi=120)


def _error(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> OutputError:
    one, other = wanted.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    tiny = np.finfo(np.float64).tiny
    difference = other - one
    energy, lost = float(one @ one), float(difference @ difference)
    cosine = float(one @ other) / max(np.sqrt(energy * float(other @ other)), tiny)
    largest = float(np.abs(difference).max()) / max(float(np.abs(one).max()), tiny)
    return OutputError(float(10 * np.log10(max(energy, tiny) / max(lost, tiny))), cosine, largest)


def _perplexity(logits: NDArray[np.float32], ids: Sequence[int]) -> float:
    return float(np.exp(surprise_of(logits[:-1], np.array(ids[1:])) / (len(ids) - 1)))


def _costs(
    design: Design, checkpoint: Checkpoint, precision: Precision, position: int
) -> Iterator[tuple[float, float, dict[str, float]]]:
    """Cycles, bytes and engines of each unit for a decoded token."""
    shape = checkpoint.architecture
    position = min(position, shape.max_context - 1, design.context_max - 1)
    for unit in shape.units:
        layer = unit not in ("embed", "head")
        cost = predict(
            design,
            shape,
            "decode",
            1,
            position,
            precision,
            first_layer=int(unit.partition(".")[2]) if layer else 0,
            layers=int(layer),
            embed=unit == "embed",
            head=unit == "head",
        )
        yield cost.cycles, cost.bytes_read, cost.by_engine
