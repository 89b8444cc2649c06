"""What a device does not take, as a table: unit, device, limit, actual, remedy."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from alula.design import load_design
from alula.ir import Architecture
from alula.ir.limits import UnsupportedShape
from alula.mapper import FitReport
from alula.runtime.planning.devices import DeviceRecord
from alula.runtime.planning.work import ModelWork


@dataclass(frozen=True)
class DeviceRefusal:
    """A unit that may not run on a device.

    Attributes:
        unit: its name; * for all.
        device: the device's name.
        limit: what it exceeds.
        actual: what it asks for.
        remedy: what would fix it.
    """

    unit: str
    device: str
    limit: str
    actual: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """Plain data."""
        return asdict(self)


def table(refusals: Sequence[DeviceRefusal]) -> list[str]:
    """Return refusals as the lines of a table."""
    rows = [("unit", "device", "limit", "actual", "remedy")]
    rows += [(one.unit, one.device, one.limit, one.actual, one.remedy) for one in refusals]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def unfit(name: str, record: DeviceRecord, model: ModelWork, context: int) -> list[DeviceRefusal]:
    """Return why a design cannot run a model; nothing if it can, or if there is no design.

    The accelerator's image holds the whole model: what does not fit concerns every unit.
    """
    if record.design is None or model.architecture is None:
        return []
    report = _fit(model.architecture, record.design, context)
    if isinstance(report, str):
        return [DeviceRefusal("*", name, "a shape that Alula compiles", report, "another device")]
    remedies = [", ".join(f"{key}={value}" for key, value in one.items()) for one in report.levers]
    remedy = " or ".join(remedies) or "another design"
    return [
        DeviceRefusal(
            "*",
            name,
            f"{item.resource} ({item.phase}): {item.bound:,} {item.unit}".rstrip(),
            f"{item.demand:,} {item.unit}".rstrip(),
            remedy,
        )
        for item in report.items
        if not item.fits
    ]


@lru_cache(maxsize=32)
def _fit(architecture: Architecture, design: str, context: int) -> FitReport | str:
    """Return the fit report, or in a line why no design runs this shape."""
    from alula.codegen import fit_report

    try:
        return fit_report(architecture, load_design(design), context)
    except UnsupportedShape as error:
        return str(error).splitlines()[0]
