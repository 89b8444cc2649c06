"""Times of an accelerator from its gateware: cycles that were simulated once, kept in a file."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from alula.cost import Cost
from alula.design import Design, load_design
from alula.design.loading import read_yaml
from alula.design.record import Record
from alula.folders import new_file
from alula.runtime.planning.devices import Positive, Profile, ProfilePoint
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Request
from alula.runtime.planning.profile import ProfileTable
from alula.runtime.split import Phase

_HEAD = """\
# Cycles of a model's units in the gateware of a design, simulated by
# `alula calibrate MODEL --target accel`. A device's `rtl_cycles` names this file.
"""
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class CyclePoint(Record):
    """Cycles of a step of a unit."""

    phase: Phase
    """Prefill: of a whole prompt. Decode: of one token."""

    unit: Literal["embed", "layer", "head"]
    """What takes them."""

    length: Positive
    """Prefill: tokens of the prompt. Decode: tokens held before the one that is decoded."""

    cycles: Positive
    """Cycles of the design's clock."""


class SimulatedCycles(Record):
    """What a file of simulated cycles holds."""

    model: Annotated[str, Field(min_length=1, max_length=1000)]
    """The model, as it was named."""

    shape: _Hash
    """Identity of the model's shape; cycles do not depend on its weights."""

    design: _Hash
    """Hash of the design."""

    about: Annotated[str, Field(max_length=400)] = ""
    """Date and version."""

    points: Annotated[list[CyclePoint], Field(min_length=1, max_length=10_000)]
    """The cycles. Between two lengths they are interpolated."""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all. OSError if that cannot be."""
        text = _HEAD + yaml.safe_dump(self.model_dump(), sort_keys=False, width=100)
        with new_file(path) as file:
            file.write(text.encode())


def simulated(request: Request) -> ProfileTable:
    """Return the estimator `rtl`: cycles of a device's file, at the clock of its design.

    Raises:
        PlanError: the cycles are of another model or design.
        DesignError: the file or the design cannot be read.
    """
    record = request.record
    assert record.rtl_cycles is not None
    assert record.design is not None
    found = SimulatedCycles.from_mapping(read_yaml(Path(record.rtl_cycles)), record.rtl_cycles)
    design, place = load_design(record.design), f"{request.name}.rtl_cycles"
    if found.design != design.hash:
        raise PlanError(
            f"simulated cycles must be of the design {design.name}, {design.hash}, not of"
            f" {found.design} ({place})"
        )
    if found.shape != request.model.shape:
        raise PlanError(
            f"simulated cycles must be of the shape of {request.model.name}, not of {found.model}'s"
            f" ({place})"
        )
    return ProfileTable(request, _profile(found, request.model.name, design), place)


def _profile(found: SimulatedCycles, model: str, design: Design) -> Profile:
    points = [
        ProfilePoint(
            phase=one.phase,
            unit=one.unit,
            length=one.length,
            seconds=one.cycles / design.clock_hz,
        )
        for one in found.points
    ]
    return Profile(model=model, source="simulated", about=found.about, points=points)


def unit_cycles(one: Cost, two: Cost, head: Cost, embed: Cost) -> dict[str, float]:
    """Return cycles by unit from those of four runs, as `CycleEstimator` takes them apart.

    Args:
        one: of one layer.
        two: of two layers.
        head: of one layer and the head.
        embed: of the embedding and one layer.
    """
    layer = two.cycles - one.cycles
    return {
        "embed": max(0.0, embed.cycles - layer),
        "layer": layer,
        "head": head.cycles - one.cycles,
    }
