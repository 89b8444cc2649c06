"""Every unit's output compared with torch's while a model runs.

Beside each worker runs another one, torch on the CPU, on the same inputs. Targets in the contract's
integers must leave its bits; those in floats what fp32 leaves, up to the roundings of their type.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alula.runtime.errors import UnitError
from alula.runtime.spans import segment_units
from alula.runtime.split import Kind, Segment, Target
from alula.runtime.worker import KvRows, Output, Work, Worker, ignore

if TYPE_CHECKING:
    from alula.frontend import Checkpoint

BOUNDS: dict[Kind, float] = {
    "torch-float": 1e-3,
    "torch-fp32": 1e-3,
    "torch-fp16": 2e-2,
    "torch-bf16": 1e-1,
}
"""Of targets in floats: root mean square of what differs, as a share of what is compared.

Keys and values are compared as they cross, in int8: half a step of it comes on top.
"""
_HALF_STEP = 0.5 / 127
Numbers = NDArray[Any]
ReadKv = Callable[[int, int, int], KvRows]


@dataclass(frozen=True)
class Checked:
    """What was compared.

    Attributes:
        units: outputs of units: keys and values of a layer, hidden states, logits or a token.
        exact: of these, how many had to be and were equal bit for bit.
        largest_error: of the others, root mean square of what differs as a share of fp32's.
    """

    units: int = 0
    exact: int = 0
    largest_error: float = 0.0


class UnitCheck:
    """Compares what workers leave with what torch leaves.

    Args:
        beside: makes what runs beside a target's worker.

    Attributes:
        checked: what was compared so far.
    """

    def __init__(self, beside: Callable[[Target], Worker]) -> None:
        self._make = beside
        self._beside: dict[Target, Worker] = {}
        self.checked = Checked()

    def ran(self, segment: Segment, work: Work, output: Output, read_kv: ReadKv) -> None:
        """Compare a segment that a worker ran: its layers by the keys and values that they made.

        Args:
            segment: which.
            work: what it was run for.
            output: what it left.
            read_kv: reads the worker's keys and values.

        Raises:
            UnitError: a unit left something else.
        """
        beside = self._worker(segment.target)
        expected = beside.run(segment, replace(work, logits=segment.head, on_layer=ignore))
        start, stop = work.position, work.position + len(work.source)
        for layer in segment.layers:
            place = _Place(segment.target, work, f"layers.{layer}")
            found, wanted = (one(layer, start, stop) for one in (read_kv, beside.read_kv))
            for name, values in _numbers(found, place.exact).items():
                self._compare(place, name, values, _numbers(wanted, place.exact)[name])
        last = segment_units(segment)[-1]
        place = _Place(segment.target, work, last)
        if output.hidden is not None and expected.hidden is not None:
            self._compare(place, "hidden states", output.hidden, expected.hidden)
        if output.logits is not None and expected.logits is not None:
            self._compare(place, "logits", output.logits, expected.logits)
        if output.token is not None and expected.logits is not None:
            chosen = expected.logits[-1:, expected.token], expected.logits[-1:, output.token]
            tokens = np.array([expected.token]), np.array([output.token])
            wanted, found = tokens if place.exact else chosen
            self._compare(place, "token" if place.exact else "largest logit", found, wanted)

    def took(self, target: Target, layer: int, start: int, rows: KvRows) -> None:
        """Give what runs beside a worker the keys and values that the worker took."""
        self._worker(target).write_kv(layer, start, rows)

    def _worker(self, target: Target) -> Worker:
        if target not in self._beside:
            self._beside[target] = self._make(target)
        return self._beside[target]

    def _compare(self, place: "_Place", what: str, found: Numbers, wanted: Numbers) -> None:
        """Compare rows of tokens. UnitError if they differ by more than they may."""
        so_far = self.checked
        if place.exact:
            if not np.array_equal(found, wanted):
                raise UnitError(place.message(what, found, wanted))
            self.checked = replace(so_far, units=so_far.units + 1, exact=so_far.exact + 1)
            return
        size = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64))))
        off = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted))))
        error = off / size if size else off
        if not error <= place.bound:
            raise UnitError(
                f"{place} must leave fp32's {what} within {place.bound:.2g} of their size, not"
                f" {error:.2g} off"
            )
        self.checked = replace(
            so_far, units=so_far.units + 1, largest_error=max(so_far.largest_error, error)
        )


def _numbers(rows: KvRows, exact: bool) -> dict[str, Numbers]:
    """Return what is compared of keys and values: the very numbers, or what they stand for."""
    if not exact:
        return {
            "keys": rows.k * rows.k_scale[..., None],
            "values": rows.v * rows.v_scale[..., None],
        }
    return {
        "keys": rows.k,
        "scales of keys": rows.k_scale,
        "values": rows.v,
        "scales of values": rows.v_scale,
    }


@dataclass(frozen=True)
class _Place:
    """A unit on a target, in a piece of work."""

    target: Target
    work: Work
    unit: str

    @property
    def exact(self) -> bool:
        return self.target.kind not in BOUNDS

    @property
    def bound(self) -> float:
        return BOUNDS[self.target.kind] + _HALF_STEP

    def __str__(self) -> str:
        return f"{self.unit} on {self.target} in {self.work.phase}"

    def message(self, what: str, found: Numbers, wanted: Numbers) -> str:
        if found.shape != wanted.shape:
            return f"{self} must leave {what} of shape {wanted.shape}, not {found.shape}"
        wrong = np.argwhere(found != wanted)
        first, *_ = wrong.tolist()
        token = self.work.position + len(self.work.source) - len(wanted) + first[0]
        return (
            f"{self} must leave the {what} of torch, not others: {len(wrong):,} of"
            f" {wanted.size:,} differ, the first of token {token}:"
            f" {found[tuple(first)]:.9g} instead of {wanted[tuple(first)]:.9g}"
        )


def unit_check(checkpoint: "Checkpoint") -> UnitCheck:
    """Return what compares a model's units with torch's: integers and fp32 on the CPU."""
    from functools import cache

    from alula.frontend.float_reference import FloatReference
    from alula.quant import QuantizedModel, padded
    from alula.quant.reference import IntegerReference
    from alula.runtime.torch_units import FloatUnits, IntegerUnits

    @cache
    def integers() -> IntegerReference:
        return IntegerReference(QuantizedModel(checkpoint))

    @cache
    def floats() -> FloatReference:
        return FloatReference(padded(checkpoint))

    def beside(target: Target) -> Worker:
        return FloatUnits(floats()) if target.kind in BOUNDS else IntegerUnits(integers())

    return UnitCheck(beside)
