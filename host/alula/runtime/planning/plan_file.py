"""Plans as YAML: what was asked for, the devices, and the map, which a person may edit.

Nothing that follows from these is in the file: predictions and reasons are found anew.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from alula.design.loading import read_yaml
from alula.design.record import Record
from alula.folders import new_file
from alula.plan_options import Objective
from alula.runtime.errors import SplitError
from alula.runtime.planning.devices import Devices, check_links
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.planner import Planner, planner
from alula.runtime.split import PHASES, parse_rules

_HEAD = """\
# A plan of Alula: `alula run MODEL PROMPT --plan FILE` runs it. The map may be edited: rules
# [PHASE:]UNITS=DEVICE with commas between, devices by their names below.
"""
_Count = Annotated[int, Field(ge=1, le=1 << 31)]


class PlanRecord(Record):
    """What a plan's file holds."""

    model: Annotated[str, Field(min_length=1, max_length=1000)]
    """The model, as it was named."""

    shape: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    """Identity of the model's shape."""

    objective: Objective
    """What the plan was chosen for."""

    prompt: _Count
    """Tokens of the prompt that it was chosen for."""

    new: _Count
    """Tokens that are decoded."""

    context: _Count
    """Most tokens of a sequence."""

    map: Annotated[str, Field(min_length=1, max_length=100_000)]
    """What runs where: rules of devices' names."""

    devices: Devices
    """The devices."""

    def check_whole(self, source: str) -> None:
        """Check the devices' links; see `Record.check_whole`."""
        check_links(self.devices, f"{source}: devices.")


def save(plan: Plan, path: Path) -> None:
    """Write a plan to a file.

    Raises:
        OSError: the file cannot be written.
    """
    record = PlanRecord(
        model=plan.model,
        shape=plan.shape,
        objective=plan.objective,
        prompt=plan.prompt,
        new=plan.new,
        context=plan.context,
        map=plan.names,
        devices=plan.devices,
    )
    values = record.model_dump(exclude_defaults=True)
    text = _HEAD + yaml.safe_dump(values, sort_keys=False, width=100, allow_unicode=True)
    with new_file(path) as file:
        file.write(text.encode())


def load_plan(path: str | Path, *, extrapolate: bool = True) -> Plan:
    """Return the plan of a file, with predictions found anew.

    Args:
        path: of the file.
        extrapolate: whether profiles may be used beyond their lengths.

    Raises:
        PlanError: it is no plan, or one that its devices do not allow; the message names the file.
    """
    try:
        record = PlanRecord.from_mapping(read_yaml(Path(path)), str(path))
        asked = planner(
            record.model,
            record.devices,
            prompt=record.prompt,
            new=record.new,
            context=record.context,
            objective=record.objective,
            extrapolate=extrapolate,
        )
        if record.shape != asked.model.shape:
            raise PlanError(
                f"the plan must be of this {record.model}, not of another shape of that name"
            )
        return _as_told(asked, record.map)
    except (PlanError, SplitError) as error:
        raise PlanError(f"{error} ({path})", getattr(error, "lines", ("",))[1:]) from None


def repriced(plan: Plan, *, prompt: int, new: int) -> Plan:
    """Return a plan's placement with the predictions for another prompt and answer.

    Raises:
        PlanError: an estimator cannot say.
    """
    asked = planner(
        plan.model,
        plan.devices,
        prompt=prompt,
        new=new,
        context=max(plan.context, prompt + new),
        objective=plan.objective,
        extrapolate=True,
    )
    return _as_told(asked, plan.names)


def _as_told(asked: Planner, text: str) -> Plan:
    """Return the plan that a map of devices' names says."""
    chosen = parse_rules(text, asked.model.names)
    for phase in PHASES:
        missing = [unit for unit in asked.model.names if unit not in chosen[phase]]
        if missing:
            raise PlanError(f"every unit must have a rule in {phase}, not all but {missing[0]}")
    return asked.fixed(chosen)
