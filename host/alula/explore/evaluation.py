"""What the models say of points: bounds of many at once, then cycles, resources and energy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from alula.cost import Sizes, bound, predict
from alula.cost.energy import chip_watts, energy
from alula.cost.resources import Resources, estimate
from alula.design import Design, DesignError
from alula.explore.limits import beyond, limited
from alula.explore.objectives import RESOURCES
from alula.explore.row import Row
from alula.explore.shortfall import Shortfall, of_design, of_fit
from alula.explore.space import DesignSpace, Question, key_of
from alula.explore.sweep_file import Sweep
from alula.ir import UnsupportedShape
from alula.mapper import DoesNotFit
from alula.sources import sources_id

_MAKERS = ("alula.design", "alula.isa", "alula.ir", "alula.mapper", "alula.codegen", "alula.cost")


@dataclass(frozen=True)
class Bounded:
    """A point before the cycle model saw it.

    Attributes:
        number: of the point.
        key: of its answer in a store.
        least: of each objective the best value that it can have; NaN where none is known.
        row: why it cannot be, if that is known already.
    """

    number: int
    key: str
    least: tuple[float, ...]
    row: Row | None


@cache
def version() -> str:
    """Return which models' code and data answers are of, and which compiler's programs."""
    return sources_id(*_MAKERS)


def key(question: Question, sweep: Sweep) -> str:
    """Return the name of an answer in a store."""
    return key_of(f"{sweep.clock}\n{question.content()}", version())


def bounds(space: DesignSpace, numbers: Sequence[int]) -> list[Bounded]:
    """Return the bounds of points, of all with one model together."""
    found: dict[int, Bounded] = {}
    asked: dict[tuple[Any, ...], list[tuple[int, Question]]] = {}
    for number in numbers:
        values = space.values(number)
        try:
            question = space.question(values)
        except DesignError as error:
            row = Row(values, shortfall=of_design(error))
            found[number] = Bounded(number, unmade(space, values), (), row)
            continue
        lengths = question.context, question.prompt
        asked.setdefault((question.model, *lengths), []).append((number, question))
    for many in asked.values():
        for one in _bounded(space, many):
            found[one.number] = one
    return [found[number] for number in numbers]


def evaluate(space: DesignSpace, numbers: Sequence[int]) -> list[Row]:
    """Return the rows of points by the cycle model. Whatever goes wrong is in the row."""
    return [evaluated(space, space.values(number)) for number in numbers]


def evaluated(space: DesignSpace, values: Mapping[str, Any]) -> Row:
    """Return the row of one point by the cycle model."""
    row = Row(values)
    try:
        question = space.question(values)
    except DesignError as error:
        row.shortfall = of_design(error)
        return row
    try:
        answer(question, row, space.sweep.clock, space.sweep.part_share)
        row.shortfall = row.shortfall or limited(row, space.sweep)
    except Exception as error:
        row.failed = f"{type(error).__name__}: {error}"
    return row


def answer(question: Question, row: Row, clock: str = "estimated", part_share: float = 1.0) -> None:
    """Fill in everything that the models say of a point, or why it cannot be.

    Args:
        question: what is asked.
        row: what is filled in.
        clock: "estimated" or "declared", as of a sweep.
        part_share: the share of the part that it may take.
    """
    design = question.design
    row.design_hash = design.hash
    take = _resources(design)  # pyright: ignore[reportArgumentType]
    _fill_resources(row, take, design, clock)
    row.shortfall = beyond(row, design, part_share)
    try:
        _fill_cycles(question, row)
    except DoesNotFit as error:
        row.shortfall = of_fit(error, design)
    except UnsupportedShape as error:
        one = error.refusals[0]
        row.shortfall = Shortfall(one.reason, one.actual, one.limit, None, "", one.nearest)


def _bounded(space: DesignSpace, many: list[tuple[int, Question]]) -> list[Bounded]:
    """The bounds of points that differ in the design alone."""
    sweep, model = space.sweep, many[0][1].model
    context, prompt = many[0][1].context, many[0][1].prompt
    designs = [question.design for _, question in many]
    columns = zip(*((d.bytes_per_cycle, d.rows, d.mpe.tokens) for d in designs), strict=True)
    sizes = Sizes(*map(np.array, columns))
    precision = model.formats.precision
    token = bound(sizes, model.shape, position=context - 1, tokens=1, precision=precision)
    first = bound(sizes, model.shape, position=0, tokens=prompt, precision=precision)
    found = []
    for place, (number, question) in enumerate(many):
        design = question.design
        row = Row(space.values(number))
        take = _resources(design)  # pyright: ignore[reportArgumentType]
        _fill_resources(row, take, design, sweep.clock)
        best = replace(row)
        read = token.memory[place] * design.bytes_per_cycle
        _fill_times(best, question, token.cycles[place], first.cycles[place], read)
        # A slow run takes less power than a fast one, but never less than the chip alone.
        best.watts = chip_watts(design)
        row.shortfall = beyond(row, design, sweep.part_share) or limited(best, sweep)
        least = tuple(best.objectives(sweep.objectives))
        impossible = row if row.shortfall else None
        found.append(Bounded(number, key(question, sweep), least, impossible))
    return found


def _fill_cycles(question: Question, row: Row) -> None:
    """Fill in what the cycle model says, and what follows from it."""
    design, model = question.design, question.model
    # Memory keeps its own time: how many cycles it takes depends on the clock.
    design = design.replace({"clock_mhz": round(row.mhz or design.clock_mhz)})
    precision = model.formats.precision
    run = {"precision": precision, "context": question.tokens}
    token = predict(design, model.shape, "decode", 1, question.context - 1, **run)
    first = predict(design, model.shape, "prefill", question.prompt, **run)
    row.accounts, row.engines = token.accounts, token.by_engine
    row.bound_cycles, row.prefill_bytes = token.bound, first.bytes
    _fill_times(row, question, token.cycles, first.cycles, token.bytes)
    row.errors |= errors_of_times(token.error, first.error, row.errors["mhz"])


def _fill_resources(row: Row, take: Resources, design: Design, clock: str) -> None:
    row.resources, row.extrapolated = "estimated", list(take.extrapolated)
    for name in RESOURCES:
        setattr(row, name, float(getattr(take, name)))
    reached = take.mhz < design.clock_mhz and clock == "estimated"
    row.mhz = float(max(1, int(take.mhz)) if reached else design.clock_mhz)
    row.clock = "estimated" if reached else "declared"
    known = {} if take.extrapolated else take.errors
    row.errors = {name: known.get(name) for name in (*RESOURCES, "mhz")}
    if clock == "declared":
        row.errors["mhz"] = 0.0


def _fill_times(row: Row, question: Question, token: float, first: float, moved: float) -> None:
    """Fill in what follows from cycles, bytes and the clock."""
    assert row.mhz is not None
    # Sums in another order differ in the last bits, and would be other points.
    row.decode_cycles, row.prefill_cycles = round(float(token), 3), round(float(first), 3)
    row.bytes = float(moved)
    row.perplexity = question.model.quality.perplexity
    row.perplexity_ratio = question.model.quality.ratio
    timed(row, question.design)


def errors_of_times(decode: float, prefill: float, mhz: float | None) -> dict[str, float | None]:
    """Return by how much cycles and times may be off, from what cycles and the clock may be."""
    return {
        "decode_cycles": decode,
        "prefill_cycles": prefill,
        "tokens_per_s": together(decode, mhz),
        "ttft_s": together(prefill, mhz),
    }


def together(*errors: float | None) -> float | None:
    """Return by how much a product of numbers may be off; None if that of one is not known."""
    known = [error for error in errors if error is not None]
    return math.prod(1 + error for error in known) - 1 if len(known) == len(errors) else None


def timed(row: Row, design: Design) -> None:
    """Fill in what follows from a row's cycles, bytes and clock."""
    assert row.mhz
    assert row.bytes
    assert row.decode_cycles
    assert row.prefill_cycles
    seconds = row.decode_cycles / (row.mhz * 1e6)
    row.tokens_per_s = 1 / seconds
    row.ttft_s = row.prefill_cycles / (row.mhz * 1e6)
    found = energy(design, row.bytes, seconds)
    if found is not None:
        row.energy_j, row.watts = found.joules, found.watts
        row.tokens_per_s_w = row.tokens_per_s / found.watts


@lru_cache(maxsize=4096)
def _resources(design: Design) -> Resources:
    return estimate(design)


def unmade(space: DesignSpace, values: Mapping[str, Any]) -> str:
    """Return the name of a point whose values make no design."""
    return key_of(f"{space.sweep.model_dump_json()}\n{values!r}", version())
