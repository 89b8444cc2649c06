"""The ways to choose a matrix's integers, by the name that recipes give them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

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
    return solve(target * scale, fmt, moments.own, sweeps).matrix()


@dataclass(frozen=True)
class _Entry:
    choose: Method
    needs_text: bool


def descent(sweeps: int = SWEEPS) -> Method:
    """Error compensation, then some rounds of coordinate descent."""
    return partial(_solved, sweeps=sweeps)


_ENTRIES: Mapping[str, _Entry] = {
    "nearest": _Entry(_rounded, needs_text=False),
    "magnitude": _Entry(_rounded, needs_text=False),
    "wanda": _Entry(_by_input_norms, needs_text=True),
    "compensate": _Entry(descent(0), needs_text=True),
    "descent": _Entry(descent(), needs_text=True),
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
