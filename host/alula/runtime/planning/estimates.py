"""How long a unit takes: what every estimator answers, and the estimators by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from alula.design.error import listed, meant
from alula.plugins import PluginError, find_plugin, plugin_names
from alula.runtime.planning.devices import DeviceRecord
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.work import ModelWork, UnitWork
from alula.runtime.split import Phase

Origin = Literal["estimated", "modelled", "simulated", "measured", "published"]
"""What a time is: from figures of a device, from a model of its cycles, from RTL, from a clock, or
from someone else's paper."""

GROUP = "alula.estimators"
"""Where other packages register an `Opener` under the name of their estimator."""


@dataclass(frozen=True)
class Estimate:
    """How long a step of a unit takes.

    Attributes:
        seconds: of the step.
        bound: what it waits for: memory, compute, launch, or what else an estimator calls it.
        origin: what kind of number it is.
        note: what a user should know of it, "" if nothing.
    """

    seconds: float
    bound: str
    origin: Origin
    note: str = ""


class Estimator(Protocol):
    """Says how long the units of one model take on one device."""

    def estimate(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> Estimate:
        """Return the time of one step.

        Args:
            unit: what runs.
            phase: "decode" is always one token.
            tokens: tokens of the step.
            held: tokens before it, whose keys and values are held; the mean of several steps.

        Raises:
            PlanError: it cannot say.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an estimator is made for.

    Attributes:
        name: of the device, for messages.
        record: the device.
        model: the model.
        context: most tokens of a sequence.
        extrapolate: whether a profile may be used beyond its lengths.
    """

    name: str
    record: DeviceRecord
    model: ModelWork
    context: int
    extrapolate: bool


Opener = Callable[[Request], Estimator]
"""Makes an estimator. PlanError if it cannot say anything of this model on this device."""


def _roofline(request: Request) -> Estimator:
    from alula.runtime.planning.roofline import Roofline

    return Roofline(request)


def _profile(request: Request) -> Estimator:
    from alula.runtime.planning.profile import ProfileTable

    assert request.record.profile is not None
    return ProfileTable(request, request.record.profile, f"{request.name}.profile")


def _rtl(request: Request) -> Estimator:
    from alula.runtime.planning.simulated import simulated

    return simulated(request)


def _cycles(request: Request) -> Estimator:
    from alula.runtime.planning.cycles import CycleEstimator

    return CycleEstimator(request)


ESTIMATORS: Mapping[str, Opener] = {
    "roofline": _roofline,
    "profile": _profile,
    "rtl": _rtl,
    "cycles": _cycles,
}
"""Alula's own estimators by name."""


def open_estimator(request: Request) -> Estimator:
    """Return the estimator that a device's file names.

    Raises:
        PlanError: there is none of this name, or it cannot say anything of this model.
        PluginError: it is another package's, and none.
    """
    name = request.record.estimated_by
    plugin = find_plugin(GROUP, name, ESTIMATORS)
    if plugin is None:
        if name not in ESTIMATORS:
            names = [*ESTIMATORS, *plugin_names(GROUP)]
            raise PlanError(
                f"an estimator must be {listed(names)}, not {name!r}{meant(name, names)}"
                f" ({request.name})"
            )
        return ESTIMATORS[name](request)
    if not callable(plugin.value):
        raise PluginError(f"an estimator must be callable, not {plugin.value!r} ({plugin.place})")
    found: Any = plugin.value(request)
    if not hasattr(found, "estimate"):
        raise PluginError(f"an estimator must have estimate ({plugin.place})")
    return found
