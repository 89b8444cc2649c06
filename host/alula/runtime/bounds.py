"""What a segment on torch waited for: memory, products, or the host around them."""

from functools import cache
from typing import TYPE_CHECKING

from alula.runtime.planning.devices import DeviceRecord, Format
from alula.runtime.planning.estimates import Request
from alula.runtime.planning.machine import figures
from alula.runtime.planning.roofline import Roofline
from alula.runtime.planning.work import ModelWork
from alula.runtime.spans import Span, segment_units
from alula.runtime.split import Kind, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMATS: "Mapping[Kind, Format]" = {
    "torch-int": "contract",
    "torch-float": "fp32",
    "torch-fp32": "fp32",
    "torch-bf16": "bf16",
    "torch-fp16": "fp16",
}
_EXPLAINED = 0.5
"""Of a span's time, what a roofline must account for to say what it waited for."""


def bound_of(span: Span, model: ModelWork) -> str:
    """Return "memory" or "compute", whichever a roofline of the device makes longer.

    "host" if together they make less than half of the time: what is left are launches, Python, and
    in `torch-int` the arithmetic that stands for the accelerator's.
    """
    assert span.segment is not None
    assert span.target is not None
    assert span.phase is not None
    roofline = Roofline(_request(span.target, model))
    units = {unit.name: unit for unit in model.units}
    seconds: dict[str, float] = {}
    for name in segment_units(span.segment):
        found = roofline.estimate(units[name], span.phase, span.tokens, span.position)
        seconds[found.bound] = seconds.get(found.bound, 0.0) + found.seconds
    if sum(seconds.values()) < _EXPLAINED * span.seconds:
        return "host"
    return max(seconds, key=lambda bound: seconds[bound])


def _request(target: Target, model: ModelWork) -> Request:
    kind = "gpu" if target.device.startswith("cuda") else "cpu"
    form = _FORMATS[target.kind]
    peak, bandwidth = _figures(kind)
    record = DeviceRecord(
        kind=kind,
        format=form,
        peak_tops={"int8" if form == "contract" else form: peak},
        bandwidth_gbs=bandwidth,
    )
    return Request(
        name=str(target), record=record, model=model, context=model.max_context, extrapolate=True
    )


@cache
def _figures(kind: str) -> tuple[float, float]:
    """Return 10^12 operations and 10^9 bytes a second of this machine's device."""
    found = figures(kind)
    assert found is not None
    (peak,) = found["peak_tops"].values()
    return peak, found["bandwidth_gbs"]
