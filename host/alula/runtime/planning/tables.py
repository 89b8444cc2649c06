"""From a model and devices to the tables that the programme reads, and what they refuse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alula.runtime.planning.devices import DeviceRecord, Devices, Format
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Estimate, Estimator, Request, open_estimator
from alula.runtime.planning.handover import Streaming
from alula.runtime.planning.problem import Problem
from alula.runtime.planning.refusals import DeviceRefusal, unfit
from alula.runtime.planning.routes import routes
from alula.runtime.planning.work import BYTES, ModelWork, UnitWork
from alula.runtime.split import PHASES, Phase
from alula.runtime.worker import PROMPT_STEP

GIB = float(1 << 30)
_HIDDEN_BYTES = BYTES["fp32"]
_ID_BYTES = 4

Estimates = Mapping[tuple[Phase, str, str], Estimate]
"""The time of a step, by phase, unit and device; none where a unit may not run."""


@dataclass(frozen=True)
class Tables:
    """Everything that is known before the choice.

    Attributes:
        problem: for the programme.
        estimates: what its times are made of.
        refusals: units that may not run on a device.
        notes: what a user should know of the times.
    """

    problem: Problem
    estimates: Estimates
    refusals: tuple[DeviceRefusal, ...]
    notes: tuple[str, ...]


def tabulate(
    model: ModelWork, devices: Devices, *, prompt: int, new: int, context: int, extrapolate: bool
) -> Tables:
    """Return the tables of a request: a prompt, and `new` tokens that are decoded one by one.

    A decoded token is priced at the mean number of tokens that are held before one.

    Args:
        model: what is placed.
        devices: where.
        prompt: tokens of the prompt.
        new: tokens that are decoded.
        context: most tokens of a sequence: keys and values take memory for as many.
        extrapolate: whether profiles may be used beyond their lengths.

    Raises:
        PlanError: a device's estimator cannot say how long a unit takes.
    """
    records, refusals, notes = devices.devices, list[DeviceRefusal](), dict[str, None]()
    estimates: dict[tuple[Phase, str, str], Estimate] = {}
    for name, record in records.items():
        refused = unfit(name, record, model, context)
        refusals += refused
        if refused:
            continue
        estimator = open_estimator(
            Request(name=name, record=record, model=model, context=context, extrapolate=extrapolate)
        )
        for phase in PHASES:
            tokens, held = (prompt, 0.0) if phase == "prefill" else (1, prompt + (new - 1) / 2)
            for unit, found in _estimated(estimator, model.units, phase, tokens, held):
                estimates[phase, unit, name] = found
                if found.note:
                    notes[f"{name}: {found.note}"] = None
    problem = _problem(model, devices, estimates, prompt, new, context)
    return Tables(problem, estimates, tuple(refusals), tuple(notes))


def _estimated(
    estimator: Estimator, units: Sequence[UnitWork], phase: Phase, tokens: int, held: float
) -> list[tuple[str, Estimate]]:
    """Return the units' times; units that ask for the same are estimated once."""
    known: dict[UnitWork, Estimate] = {}
    found = []
    for unit in units:
        alike = replace(unit, name=unit.kind)
        if alike not in known:
            known[alike] = estimator.estimate(unit, phase, tokens, held)
        found.append((unit.name, known[alike]))
    return found


def _problem(
    model: ModelWork,
    devices: Devices,
    estimates: Estimates,
    prompt: int,
    new: int,
    context: int,
) -> Problem:
    records, ways = devices.devices, routes(devices)
    names = tuple(records)
    pieces = -(-prompt // PROMPT_STEP)
    streaming = None
    if devices.handover == "streamed":
        streaming = Streaming(
            pieces,
            by_layer=np.array([one.by_layer for one in records.values()]),
            shared=np.array([one.shared for one in records.values()]),
        )

    def seconds(phase: Phase, unit: str, device: str) -> float:
        one = estimates.get((phase, unit, device))
        return np.inf if one is None else one.seconds * (1 if phase == "prefill" else new)

    def crossing(size: float, pieces: int) -> np.ndarray:
        return _pairs(names, lambda a, b: ways[a, b].seconds(size, pieces))

    def moved(unit: UnitWork) -> np.ndarray:
        if not unit.kv:
            return np.zeros((len(names), len(names)))
        return _pairs(
            names,
            lambda a, b: ways[a, b].seconds(
                prompt * unit.kv_bytes(devices.crossing or records[a].keeps),
                1 if streaming is None else streaming.pieces,
            ),
        )

    def held(unit: UnitWork, record: DeviceRecord) -> float:
        return unit.weight_bytes(record.format) + context * unit.kv_bytes(record.keeps)

    return Problem(
        units=model.names,
        devices=names,
        work={
            phase: np.array(
                [[seconds(phase, unit, name) for name in names] for unit in model.names]
            )
            for phase in PHASES
        },
        hops={
            "prefill": crossing(prompt * model.hidden * _HIDDEN_BYTES, pieces),
            "decode": crossing(model.hidden * _HIDDEN_BYTES, 1) * new,
        },
        moves=np.stack([moved(unit) for unit in model.units]),
        streaming=streaming,
        ids=crossing(_ID_BYTES, 1),
        steps=new,
        memory=np.array([[held(unit, one) for one in records.values()] for unit in model.units]),
        shared=np.array([_tied_bytes(model, one.format) for one in records.values()]),
        capacity=np.array(
            [
                np.inf if one.capacity_gib is None else one.capacity_gib * GIB
                for one in records.values()
            ]
        ),
    )


def _tied_bytes(model: ModelWork, form: Format) -> float:
    """Return the bytes that embedding and head share; the contract has two formats for them."""
    return 0.0 if form == "contract" else model.tied * BYTES[form]


def _pairs(names: Sequence[str], value: Callable[[str, str], float]) -> np.ndarray:
    return np.array([[value(one, other) for other in names] for one in names])


def check_request(prompt: int, new: int, context: int, model: ModelWork) -> None:
    """Raise PlanError unless a model can answer a prompt within a context."""
    for name, value in (("prompt", prompt), ("new", new)):
        if value < 1:
            raise PlanError(f"{name} must be at least 1, not {value}")
    if context > model.max_context:
        raise PlanError(
            f"context must be at most {model.max_context}, that of {model.name}, not {context}"
        )
    if prompt + new > context:
        raise PlanError(
            f"prompt and new must be at most {context} tokens together, the context,"
            f" not {prompt + new}"
        )
