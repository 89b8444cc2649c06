"""The ways to choose a matrix's integers, by the name that recipes give them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from alula.compress.calibration import Moments
from alula.compress.descent import SWEEPS, round_to_nearest, solve
from alula.isa.formats import WeightFormat
from alula.quant import QuantizedMatrix, quantize


class Method(Protocol):
    """Chooses the integers of a matrix."""

    def __call__(
        self, weight: Tensor, fmt: WeightFormat, moments: Moments | None, scale: float
    ) -> QuantizedMatrix:
        """Return the matrix of a format.

        Args:
            weight: float32 ``[N, K]``, without the attention scale.
            fmt: the format.
            moments: of the matrix's inputs; methods that need no text do not look at them.
            scale: what the matrix is multiplied by.
        """
        ...


def _rounded(
    weight: Tensor, fmt: WeightFormat, moments: Moments | None, scale: float
) -> QuantizedMatrix:
    return quantize((weight * scale).cpu().numpy(), fmt.title)


def _by_input_norms(
    weight: Tensor, fmt: WeightFormat, moments: Moments | None, scale: float
) -> QuantizedMatrix:
    assert moments is not None
    moment = moments.own.float().to(weight.device)
    return round_to_nearest(weight * scale, fmt, moment).matrix()


def _solved(
    weight: Tensor, fmt: WeightFormat, moments: Moments | None, scale: float, *, sweeps: int
) -> QuantizedMatrix:
    assert moments is not None
    target = moments.target(weight.to(moments.own.device))
    return solve(target * scale, fmt, moments.curvature, sweeps).matrix()


def _of_weights(error: Tensor, moment: Tensor | None) -> Tensor:
    return error.square().sum(1)


def _by_norms_of_inputs(error: Tensor, moment: Tensor | None) -> Tensor:
    assert moment is not None
    return (error.square() * moment.diagonal()).sum(1)


def _of_outputs(error: Tensor, moment: Tensor | None) -> Tensor:
    assert moment is not None
    return ((error @ moment) * error).sum(1)


@dataclass(frozen=True)
class _Entry:
    choose: Method
    needs_text: bool
    count: Callable[[Tensor, Tensor | None], Tensor]
    """What an error ``[N, K]`` counts, row by row."""


def descent(sweeps: int = SWEEPS) -> Method:
    """Error compensation, then some rounds of coordinate descent."""
    return partial(_solved, sweeps=sweeps)


_ENTRIES: Mapping[str, _Entry] = {
    "nearest": _Entry(_rounded, needs_text=False, count=_of_weights),
    "magnitude": _Entry(_rounded, needs_text=False, count=_of_weights),
    "wanda": _Entry(_by_input_norms, needs_text=True, count=_by_norms_of_inputs),
    "compensate": _Entry(descent(0), needs_text=True, count=_of_outputs),
    "descent": _Entry(descent(), needs_text=True, count=_of_outputs),
}
METHODS = tuple(_ENTRIES)
PATTERN_METHODS = ("magnitude", "wanda")
"""Those that choose what a pattern keeps, and otherwise round."""


def method(name: str) -> Method:
    """The method of a name out of `METHODS`."""
    return _ENTRIES[name].choose


def needs_text(name: str) -> bool:
    """Whether a method chooses integers on a text."""
    return _ENTRIES[name].needs_text


def row_losses(
    name: str, weight: Tensor, fmt: WeightFormat, moments: Moments | None
) -> tuple[Tensor, Tensor]:
    """What each row of a matrix loses in a format, as a method counts it, ``[N]``.

    What descent loses is told by compensation alone.

    Args:
        name: the method's.
        weight: float32 ``[N, K]``.
        fmt: the format.
        moments: of the matrix's inputs; methods that need no text do not look at them.

    Returns:
        That, and what each row would lose if it were zeros.
    """
    entry = _ENTRIES["compensate" if name == "descent" else name]
    found = entry.choose(weight, fmt, moments, 1.0).dequantize()
    used = None if moments is None else moments.own.to(weight)
    error = weight - torch.from_numpy(found).to(weight)
    return entry.count(error, used), entry.count(weight, used)
