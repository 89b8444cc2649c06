"""A plan: what runs where in each phase, why, and what it takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alula.plan_options import Objective
from alula.runtime.planning.devices import Devices
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Origin
from alula.runtime.planning.fronts import NEAR
from alula.runtime.planning.objectives import UNITS
from alula.runtime.planning.problem import Price
from alula.runtime.planning.refusals import DeviceRefusal
from alula.runtime.planning.refusals import table as refusal_table
from alula.runtime.split import PHASES, Phase


@dataclass(frozen=True)
class Placed:
    """Where a unit runs in a phase.

    Attributes:
        unit: its name.
        phase: prefill or decode.
        device: the device's name.
        reason: why there.
        predicted_s: seconds of computing, in decode those of all steps.
        bound: what it waits for.
        origin: what kind of number `predicted_s` is.
    """

    unit: str
    phase: Phase
    device: str
    reason: str
    predicted_s: float
    bound: str
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A placement of a model's units on devices, with reasons and predictions.

    Attributes:
        model: the model's name.
        shape: identity of the model's shape.
        devices: where it is placed.
        objective: what it was chosen for.
        prompt: tokens of the prompt.
        new: tokens that are decoded.
        context: most tokens of a sequence.
        pins: what was not left to choose, as a map of devices' names.
        placement: every unit in both phases, in order.
        price: what it takes, device by device.
        value: what the objective makes of it.
        energy_j: joules of the request; 0 without watts in the devices' file.
        cost_per_million: what a million decoded tokens cost; 0 without prices.
        interval_s: seconds between two requests, if there are many.
        alternatives: seconds of the whole model on one device, None where it may not run.
        refusals: units that may not run on a device, and devices that do not hold the whole.
        notes: what a user should know of the predictions.
    """

    model: str
    shape: str
    devices: Devices
    objective: Objective
    prompt: int
    new: int
    context: int
    pins: str
    placement: tuple[Placed, ...]
    price: Price
    value: float
    energy_j: float
    cost_per_million: float
    interval_s: float
    alternatives: Mapping[str, float | None]
    refusals: tuple[DeviceRefusal, ...]
    notes: tuple[str, ...]

    @property
    def prefill_s(self) -> float:
        """Predicted seconds of computing in prefill."""
        return self.price.prefill_s

    @property
    def decode_s(self) -> float:
        """Predicted seconds of computing in decode, all tokens."""
        return self.price.decode_s

    @property
    def transfer_s(self) -> float:
        """Predicted seconds of what crosses between devices and is waited for."""
        return self.price.transfer_s

    @property
    def total_s(self) -> float:
        """Predicted seconds from the prompt to the last token."""
        return self.price.total_s

    @property
    def names(self) -> str:
        """The placement as a map, with the devices' names as targets."""
        return self._as_map({name: name for name in self.devices.devices})

    @property
    def map(self) -> str:
        """The placement as `load` and ``--map`` take it.

        Raises:
            PlanError: a device that is used has no target.
        """
        targets = {}
        for placed in self.placement:
            target = self.devices.devices[placed.device].target
            if target is None:
                raise PlanError(
                    f"a device must have a target to run a plan, not none"
                    f" ({self.devices.name}: devices.{placed.device}.target)"
                )
            targets[placed.device] = target
        return self._as_map(targets)

    @property
    def design(self) -> str | None:
        """The design of the accelerator that the plan uses, None if it uses none."""
        used = {placed.device for placed in self.placement}
        designs = (self.devices.devices[name].design for name in used)
        return next((design for design in designs if design), None)

    def in_phase(self, phase: Phase) -> list[Placed]:
        """Return a phase's units in order."""
        return [placed for placed in self.placement if placed.phase == phase]

    def as_dict(self) -> dict[str, object]:
        """Return the plan as plain values."""
        return {
            "model": self.model,
            "devices": self.devices.name,
            "objective": self.objective,
            "prompt": self.prompt,
            "new": self.new,
            "context": self.context,
            "map": self.names,
            "placement": [vars(placed) for placed in self.placement],
            "prefill_s": self.prefill_s,
            "decode_s": self.decode_s,
            "transfer_s": self.transfer_s,
            "total_s": self.total_s,
            "first_token_s": self.price.first_token_s,
            "kv_transfer_s": self.price.moved,
            "kv_waited_s": self.price.waited,
            "tokens_per_s": self.new / (self.total_s - self.price.first_token_s),
            "requests_per_s": 1 / self.interval_s,
            "energy_j": self.energy_j,
            "cost_per_million_tokens": self.cost_per_million,
            "memory_bytes": dict(zip(self.devices.devices, self.price.memory, strict=True)),
            "alternatives": dict(self.alternatives),
            "refusals": [one.as_dict() for one in self.refusals],
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> None:
        """Write the plan as YAML, which can be edited and loaded again."""
        from alula.runtime.planning.plan_file import save

        save(self, Path(path))

    def plot(self, path: str | Path) -> None:
        """Draw the plan as PNG: units by device, time to scale."""
        from alula.runtime.planning.picture import draw

        draw(self, Path(path))

    def __str__(self) -> str:
        """Return the plan as text: a line for neighbours that are alike, then the sums."""
        rows = [("phase", "units", "device", "seconds", "bound", "origin", "reason")]
        for phase in PHASES:
            for alike, group in groupby(
                self.in_phase(phase), key=lambda one: (one.device, one.reason, one.bound)
            ):
                units = list(group)
                seconds = sum(one.predicted_s for one in units)
                device, reason, bound = alike
                rows.append(
                    (phase, _span(units), device, f"{seconds:.4g}", bound, units[0].origin, reason)
                )
        lines = _aligned(rows)
        asked = f"{self.model} on {self.devices.name}, {self.prompt} + {self.new} tokens"
        sums = f"prefill {self.prefill_s:.4g} s, decode {self.decode_s:.4g} s"
        lines += [
            "",
            f"{asked}, for {self.objective}: {self.value:.5g} {UNITS[self.objective]}",
            f"{sums}, {self.transfer_s:.4g} s crossing, together {self.total_s:.5g} s",
            *self._hidden(),
        ]
        lines += [
            f"{name} alone: " + ("not possible" if seconds is None else f"{seconds:.5g} s")
            for name, seconds in self.alternatives.items()
        ]
        lines += [f"note: {note}" for note in self.notes]
        if self.refusals:
            lines += ["", *refusal_table(self.refusals)]
        return "\n".join(lines)

    def _hidden(self) -> list[str]:
        """Return a line on keys and values that move while the prompt is read, if any do."""
        hidden = self.price.moved - self.price.waited
        if hidden <= NEAR * self.price.moved:
            return []
        return [
            f"keys and values take {self.price.moved:.4g} s, {hidden:.4g} s of it under the prompt"
        ]

    def _as_map(self, targets: Mapping[str, str]) -> str:
        by_phase = {phase: _rules(self.in_phase(phase), targets) for phase in PHASES}
        if by_phase["prefill"] == by_phase["decode"]:
            return ",".join(by_phase["prefill"])
        return ",".join(f"{phase}:{rule}" for phase in PHASES for rule in by_phase[phase])


def _rules(placed: Sequence[Placed], targets: Mapping[str, str]) -> list[str]:
    """Return a phase's rules: what most units have goes last, as all others."""
    (usual, _), *_ = Counter(one.device for one in placed).most_common(1)
    rules = []
    for (device, kind), group in groupby(
        placed, key=lambda one: (one.device, one.unit.partition(".")[0])
    ):
        if device == usual:
            continue
        units = [one.unit for one in group]
        named = units[0]
        if kind == "layers" and len(units) > 1:
            named += f"-{units[-1].removeprefix('layers.')}"
        rules.append(f"{named}={targets[device]}")
    return [*rules, f"*={targets[usual]}"]


def _span(units: Sequence[Placed]) -> str:
    first, last = units[0].unit, units[-1].unit
    return first if len(units) == 1 else f"{first} to {last}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
