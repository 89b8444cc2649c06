"""From a request to a plan: tables, pins, the exact choice, its reasons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from alula.design.error import listed, meant
from alula.ir import Architecture
from alula.ir.shapes import SHAPES
from alula.plan_options import LEAST_GAIN, OBJECTIVES, Objective
from alula.runtime.planning.chain import Optimum
from alula.runtime.planning.devices import Devices, load_devices
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.objectives import (
    best,
    bottleneck_s,
    cost_per_million,
    energy_j,
    value,
)
from alula.runtime.planning.plan import Placed, Plan
from alula.runtime.planning.problem import Placement, Problem, price
from alula.runtime.planning.reasons import reason
from alula.runtime.planning.refusals import DeviceRefusal, table
from alula.runtime.planning.tables import GIB, Tables, check_request, tabulate
from alula.runtime.planning.tradeoff import front
from alula.runtime.planning.work import ModelWork, work_of
from alula.runtime.split import PHASES, Named, Phase, parse_rules

Pins = Mapping[Phase, Mapping[str, Named]]


@dataclass(frozen=True, kw_only=True)
class Planner:
    """A request whose tables are known, for plans, explanations and fronts.

    Attributes:
        model: what is placed.
        devices: where.
        prompt, new, context: the request; see `Plan`.
        objective: what is made least.
        pins: what is not left to choose.
        pin_text: the same as it was given.
        least_gain: the share that a split must save of the best single device's value.
        tables: see `Tables`; units that are pinned may run nowhere else.
        free: the problem without pins.
    """

    model: ModelWork
    devices: Devices
    prompt: int
    new: int
    context: int
    objective: Objective
    pins: Pins
    pin_text: str
    least_gain: float
    tables: Tables
    free: Problem

    def plan(self) -> Plan:
        """Return the best plan.

        Raises:
            PlanError: no placement is within all limits; the message says what is missing.
        """
        problem, records = self.tables.problem, list(self.devices.devices.values())
        found = best(self.objective, problem, records, self.new)
        if found is None:
            raise self._nowhere()
        chosen, notes = found.placement, [*self.tables.notes, *_gap(self.objective, found)]
        single = self._best_single()
        if single is not None and chosen != single:
            split, alone = self._value(chosen), self._value(single)
            if split > alone * (1 - self.least_gain):
                if split < alone:
                    notes.append(
                        f"a split would save {1 - split / alone:.1%}, less than the least gain of"
                        f" {self.least_gain:.1%}"
                    )
                chosen = single
        return self.planned(chosen, tuple(notes))

    def planned(self, chosen: Placement, notes: tuple[str, ...] = ()) -> Plan:
        """Return the plan of a placement."""
        found, records = price(self.free, chosen), list(self.devices.devices.values())
        return Plan(
            model=self.model.name,
            shape=self.model.shape,
            devices=self.devices,
            objective=self.objective,
            prompt=self.prompt,
            new=self.new,
            context=self.context,
            pins=self.pin_text,
            placement=tuple(self._placed(chosen)),
            price=found,
            value=value(self.objective, found, records, self.new),
            energy_j=energy_j(found, records),
            cost_per_million=cost_per_million(found, records, self.new),
            interval_s=bottleneck_s(found),
            alternatives=self._alternatives(),
            refusals=(*self.tables.refusals, *self._too_small()),
            notes=notes,
        )

    def fixed(self, chosen: Pins) -> Plan:
        """Return the plan that has every unit where it is said to be.

        Raises:
            PlanError: a device is unknown, refuses a unit, or has not the memory.
        """
        pinned = replace(self.tables, problem=_pinned(self.tables, chosen, self.devices))
        placed = best("latency", pinned.problem, list(self.devices.devices.values()), self.new)
        if placed is None:
            raise replace(self, tables=pinned)._nowhere()
        asked = replace(self, pins=chosen, tables=pinned)
        return asked.planned(placed.placement, self.tables.notes)

    def explain(self, unit: str, plan: Plan) -> list[str]:
        """Return, a line a device and phase, what the best plan with the unit there would cost.

        Args:
            unit: its name.
            plan: what `plan` returned.

        Raises:
            PlanError: there is no such unit.
        """
        names = self.model.names
        if unit not in names:
            raise PlanError(f"a unit must be {names[0]} to {names[-1]}, not {unit!r}")
        index = names.index(unit)
        lines = []
        for phase in PHASES:
            here = next(one for one in plan.in_phase(phase) if one.unit == unit)
            lines.append(f"{phase}: {unit} runs on {here.device}: {here.reason}")
            for d, device in enumerate(self.devices.devices):
                if device != here.device:
                    lines.append(f"  {device}: {self._forced(phase, index, d, plan)}")
        return lines

    def front(self, most: int = 12) -> list[Plan]:
        """Return plans that no other beats in latency and throughput both, quickest first.

        Where there are more than `most`, they are spread over the front.
        """
        found = front(self.tables.problem, bottleneck_s, most)
        return [self.planned(one.placement, _gap("latency", one)) for one in found]

    def _forced(self, phase: Phase, index: int, device: int, plan: Plan) -> str:
        """Return what the best plan costs that has a unit on a device."""
        seconds = self.free.work[phase][index, device]
        if not np.isfinite(seconds):
            return "may not run there"
        work = {one: table.copy() for one, table in self.tables.problem.work.items()}
        work[phase][index] = np.inf
        work[phase][index, device] = seconds
        records = list(self.devices.devices.values())
        forced = best(self.objective, replace(self.tables.problem, work=work), records, self.new)
        if forced is None:
            return "no plan has it there: memory does not allow it"
        found = self._value(forced.placement)
        more = f" ({found / plan.value - 1:+.1%})" if plan.value else ""
        moved = price(self.free, forced.placement)
        return (
            f"{found:.5g} instead of {plan.value:.5g}{more}, with"
            f" {seconds:.4g} s of its own computing and {moved.transfer_s:.4g} s crossing"
        )

    def _value(self, chosen: Placement) -> float:
        records = list(self.devices.devices.values())
        return value(self.objective, price(self.free, chosen), records, self.new)

    def _single(self, device: int) -> Placement | None:
        """Return everything on one device, if it may be there and pins allow it."""
        problem = self.tables.problem
        if not all(np.isfinite(problem.work[phase][:, device]).all() for phase in PHASES):
            return None
        chosen = _whole(problem, device)
        held = price(problem, chosen).memory[device]
        return chosen if held <= problem.capacity[device] else None

    def _best_single(self) -> Placement | None:
        singles = [self._single(d) for d in range(len(self.devices.devices))]
        return min((one for one in singles if one), key=self._value, default=None)

    def _alternatives(self) -> dict[str, float | None]:
        """Return the seconds of each device alone, pins or not."""
        free = replace(self, tables=replace(self.tables, problem=self.free))
        singles = {name: free._single(d) for d, name in enumerate(self.devices.devices)}
        return {
            name: price(self.free, one).total_s if one else None for name, one in singles.items()
        }

    def _placed(self, chosen: Placement) -> Iterator[Placed]:
        names = list(self.devices.devices)
        for phase in PHASES:
            for index, (unit, device) in enumerate(
                zip(self.model.names, chosen[phase], strict=True)
            ):
                estimate = self.tables.estimates[phase, unit, names[device]]
                pin = self.pins[phase].get(unit)
                why = f"pinned by {pin.rule}" if pin else reason(self.free, chosen, phase, index)
                yield Placed(
                    unit=unit,
                    phase=phase,
                    device=names[device],
                    reason=why,
                    predicted_s=float(self.free.work[phase][index, device]),
                    bound=estimate.bound,
                    origin=estimate.origin,
                )

    def _too_small(self) -> list[DeviceRefusal]:
        """Return the devices that cannot hold the whole model."""
        problem = self.free
        found = []
        for d, (name, record) in enumerate(self.devices.devices.items()):
            need = price(replace(problem, work=_zeros(problem)), _whole(problem, d)).memory[d]
            if record.capacity_gib is not None and need > problem.capacity[d]:
                found.append(
                    DeviceRefusal(
                        "all together",
                        name,
                        f"memory: {record.capacity_gib:,g} GiB",
                        f"{need / GIB:,.2f} GiB",
                        "a split, a smaller context or a smaller format",
                    )
                )
        return found

    def _nowhere(self) -> PlanError:
        """Return what is missing, as there is no plan."""
        problem = self.free
        homeless = [
            unit
            for index, unit in enumerate(problem.units)
            for phase in PHASES
            if not np.isfinite(self.tables.problem.work[phase][index]).any()
        ]
        refusals = [*self.tables.refusals, *self._too_small()]
        if homeless:
            message = (
                f"{self.model.name} must have a device for every unit, not none for {homeless[0]}"
            )
        else:
            need = problem.memory.min(axis=1).sum() / GIB
            room = problem.capacity.sum() / GIB
            message = (
                f"{self.model.name} must fit the devices' memory, not need at least {need:,.2f} GiB"
                f" of {room:,.2f} ({self.devices.name})"
            )
            if need <= room:
                message = (
                    f"{self.model.name} must fit the devices' memory unit by unit, not only as a"
                    f" sum: {need:,.2f} of {room:,.2f} GiB ({self.devices.name})"
                )
        return PlanError(message, table(refusals) if refusals else ())


def planner(
    model: str,
    devices: str | Path | Devices,
    *,
    prompt: int,
    new: int,
    context: int | None = None,
    objective: Objective = "latency",
    pin: str = "",
    least_gain: float = LEAST_GAIN,
    extrapolate: bool = False,
    work: ModelWork | None = None,
) -> Planner:
    """Return what plans a request; see `plan`. `work` replaces that of the model's name."""
    if objective not in OBJECTIVES:
        raise PlanError(
            f"objective must be {listed(list(OBJECTIVES))}, not {objective!r}"
            f"{meant(str(objective), OBJECTIVES)}"
        )
    for name, number in (("prompt", prompt), ("new", new), ("context", context)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, Integral)):
            raise PlanError(f"{name} must be a whole number, not {number!r}")
    if not isinstance(pin, str):
        raise PlanError(f"pin must be a map as text, not {pin!r}")
    if not 0 <= least_gain < 1:
        raise PlanError(f"least_gain must be at least 0 and below 1, not {least_gain}")
    given = devices if isinstance(devices, Devices) else load_devices(devices)
    _check_rates(objective, given)
    asked = work or work_of(model, shape_of(model))
    held = prompt + new if context is None else context
    check_request(prompt, new, held, asked)
    tables = tabulate(asked, given, prompt=prompt, new=new, context=held, extrapolate=extrapolate)
    pins: Pins = parse_rules(pin, asked.names) if pin else {phase: {} for phase in PHASES}
    return Planner(
        model=asked,
        devices=given,
        prompt=prompt,
        new=new,
        context=held,
        objective=objective,
        pins=pins,
        pin_text=pin,
        least_gain=least_gain,
        tables=replace(tables, problem=_pinned(tables, pins, given)),
        free=tables.problem,
    )


def plan(
    model: str,
    devices: str | Path | Devices,
    *,
    prompt: int,
    new: int,
    context: int | None = None,
    objective: Objective = "latency",
    pin: str = "",
    least_gain: float = LEAST_GAIN,
    extrapolate: bool = False,
) -> Plan:
    """Return the best placement of a model's units on devices, for each phase.

    Args:
        model: a known shape, which needs no weights, or anything that `load` takes.
        devices: devices, their file, or the name of a file that ships with Alula.
        prompt: tokens of the prompt.
        new: tokens that are decoded, one by one.
        context: most tokens of a sequence, for which memory is kept; by default prompt and new.
        objective: what is made least: latency (the whole request), ttft (up to the first token),
            throughput (the time between requests if there are many), energy, or cost (of a million
            tokens).
        pin: what is not left to choose, as a map with the devices' names:
            ``decode:head=accel,layers.0-3=gpu``.
        least_gain: a split must save this share of the best single device's value.
        extrapolate: go beyond the lengths of a profile, in a straight line.

    Raises:
        PlanError: there is no such plan. The lines of the error say what is missing.
        SplitError: the pins are malformed, overlap or name nothing.
        DesignError: there is no such file, or it holds no devices.
        RunError: the model cannot be found.
    """
    return planner(
        model,
        devices,
        prompt=prompt,
        new=new,
        context=context,
        objective=objective,
        pin=pin,
        least_gain=least_gain,
        extrapolate=extrapolate,
    ).plan()


def _gap(objective: Objective, found: Optimum) -> tuple[str, ...]:
    """Return what is said of a plan that may not be the best."""
    if not found.gap:
        return ()
    line = (
        f"the least possible {objective} is at most {found.gap:.2%} below this plan's: more ways"
        " are open than were compared"
    )
    return (line,)


def _check_rates(objective: Objective, devices: Devices) -> None:
    """Raise PlanError if no device has what an objective counts."""
    rates = {"energy": ("busy_w", "idle_w"), "cost": ("price_per_hour",)}.get(objective, ())
    if rates and not any(getattr(one, rate) for one in devices.devices.values() for rate in rates):
        raise PlanError(
            f"objective {objective} must have devices with {listed(list(rates))} above 0, not"
            f" without ({devices.name})"
        )


def shape_of(model: str) -> Architecture:
    """Return the shape of a known name, which needs no weights, or of what `load` takes."""
    if model in SHAPES and not Path(model).exists():
        return SHAPES[model]
    from alula.runtime.loading import open_model

    return open_model(model).architecture


def _pinned(tables: Tables, pins: Pins, devices: Devices) -> Problem:
    """Return the problem in which pinned units may run where they are pinned only.

    Raises:
        PlanError: a pin names no device, or one that refuses the unit.
    """
    problem, names = tables.problem, list(devices.devices)
    work: dict[Phase, Any] = {phase: table.copy() for phase, table in problem.work.items()}
    for phase, by_unit in pins.items():
        for unit, (device, rule) in by_unit.items():
            if device not in names:
                raise PlanError(
                    f"a rule must name {listed(names)}, not {device!r}{meant(device, names)}"
                    f" ({rule})"
                )
            index, place = problem.units.index(unit), names.index(device)
            seconds = problem.work[phase][index, place]
            if not np.isfinite(seconds):
                refused = [one for one in tables.refusals if one.device == device]
                raise PlanError(
                    f"a rule must name a device that takes the unit, not {device} for {unit}"
                    f" ({rule})",
                    table(refused),
                )
            work[phase][index] = np.inf
            work[phase][index, place] = seconds
    return replace(problem, work=work)


def _whole(problem: Problem, device: int) -> Placement:
    return {phase: [device] * len(problem.units) for phase in PHASES}


def _zeros(problem: Problem) -> dict[Phase, Any]:
    return {phase: np.zeros_like(problem.work[phase]) for phase in PHASES}
