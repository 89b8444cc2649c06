"""Tier 2: some points of a sweep in RTL, and synthesised, beside what the models said of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeVar

import numpy as np

from alula.cost import predict
from alula.explore.evaluation import errors_of_times, key, timed
from alula.explore.objectives import RESOURCES
from alula.explore.pools import Pool
from alula.explore.row import Row
from alula.explore.space import DesignSpace, Question
from alula.explore.store import RowStore, restored
from alula.explore.sweep_file import Sweep
from alula.explore.workers import Lost
from alula.progress import Progress
from alula.sources import sources_id

_SHORT_VOCABULARY = 4096
"""Rows of the head of a model of which fewer layers run."""
_CONSIDERED = 5000
"""Points beside the front of which some are chosen: to see what each is built as takes a moment."""
_MAKERS = ("alula.gateware", "alula.rtl", "alula.synth")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Simulated:
    """A token in RTL.

    Attributes:
        cycles: it took.
        modelled: cycles that the model says of the same run.
        layers: that ran; fewer than the model has, where all would take too long.
        whole: whether it was the whole model.
    """

    cycles: float
    modelled: float
    layers: int
    whole: bool


def check_points(
    space: DesignSpace,
    rows: Mapping[int, Row],
    best: Sequence[int],
    pool: Pool,
    store: RowStore | None,
    progress: Progress,
) -> dict[int, Row]:
    """Return the rows of the points that were checked, with what was found.

    Args:
        space: of the sweep.
        rows: what the models say, by number.
        best: the points of the front.
        pool: where it is done.
        store: keeps what is found.
        progress: told of each point.
    """
    check = space.sweep.check
    found: dict[int, Row] = {}
    if check.simulate:
        groups = groups_of(space, rows, best)
        run = partial(_simulated, space)
        for number, row in _checked(space, rows, groups, run, "simulated", pool, store, progress):
            found[number] = row
    if check.synthesise:
        groups = [[number] for number in _spread(best, check.synthesise)]
        latest = {**rows, **found}
        run = partial(_synthesised, space)
        for number, row in _checked(
            space, latest, groups, run, "synthesised", pool, store, progress
        ):
            found[number] = row
    return found


def simulated_points(
    space: DesignSpace,
    rows: Mapping[int, Row],
    pool: Pool,
    store: RowStore | None,
    progress: Progress,
) -> dict[int, Row]:
    """Return the rows of all points that can be with a run in RTL each; see `check_points`."""
    groups: dict[str, list[int]] = {}
    for number, row in rows.items():
        if row.found:
            groups.setdefault(_built(space, row), []).append(number)
    run, wanted = partial(_simulated, space), list(groups.values())
    return dict(_checked(space, rows, wanted, run, "simulated", pool, store, progress))


def need_tools(sweep: Sweep) -> None:
    """See that what checks need is there.

    Raises:
        ToolchainError, SynthError: a tool is missing.
    """
    if sweep.check.simulate or sweep.cycles == "simulated":
        _need_simulator()
    if sweep.check.synthesise:
        _need_synthesiser()


def groups_of(space: DesignSpace, rows: Mapping[int, Row], best: Sequence[int]) -> list[list[int]]:
    """Return the points to simulate, those that share a simulator together.

    Half of the simulators that are built are for points spread over the front, the others for many
    points each. Of the points that they can run those of the front come first, others by chance.
    """
    check, random = space.sweep.check, np.random.default_rng(space.sweep.seed)
    spread = _spread(best, -(-check.simulate // 2))
    can_be = [number for number, row in sorted(rows.items()) if row.found]
    others = random.permutation(can_be)[:_CONSIDERED].tolist()
    builds = {one: _built(space, rows[one]) for one in dict.fromkeys([*spread, *others])}
    points = Counter(builds.values())
    of_front = list(dict.fromkeys(builds[number] for number in spread))
    by_chance = random.permutation(sorted(points)).tolist()
    many = sorted(by_chance, key=lambda build: -points[build])
    wanted = [*of_front[: -(-check.most_designs // 2)], *many, *of_front]
    kept = set(list(dict.fromkeys(wanted))[: check.most_designs])
    can_run = [one for one, build in builds.items() if build in kept]
    groups: dict[str, list[int]] = {}
    for number in can_run[: check.simulate]:
        groups.setdefault(builds[number], []).append(number)
    return list(groups.values())


def simulate(question: Question, mhz: float, most_cycles: int) -> Simulated:
    """Run a token in RTL, of the whole model or of as many layers as take so many cycles.

    Raises:
        ToolchainError, RtlError: it cannot be built, or the run failed.
    """
    from alula.cost.simulate import Simulator

    design = question.design.replace({"clock_mhz": round(mhz)})
    shape, precision = question.model.shape, question.model.formats.precision
    run = {"precision": precision, "context": question.tokens}
    place = question.context - 1
    modelled = predict(design, shape, "decode", 1, place, **run).cycles
    whole = modelled <= most_cycles
    if not whole:
        shape = replace(shape, vocab_size=min(shape.vocab_size, _SHORT_VOCABULARY))
        one, two = (
            predict(design, replace(shape, layers=count), "decode", 1, place, **run).cycles
            for count in (1, 2)
        )
        layers = int(np.clip(1 + (most_cycles - one) // max(two - one, 1), 1, shape.layers))
        shape = replace(shape, layers=layers)
        modelled = predict(design, shape, "decode", 1, place, **run).cycles
    with Simulator(design) as simulator:
        cycles = simulator.run(shape, "decode", 1, place, **run).cycles
    return Simulated(cycles, modelled, shape.layers, whole)


def _built(space: DesignSpace, row: Row) -> str:
    """The hash of the design whose build simulates a point."""
    from alula.cost.simulate import built_for

    return built_for(space.question(row.values).design).hash


def widened(rows: Mapping[int, Row]) -> dict[int, Row]:
    """Return rows whose cycles may be off by no less than any check of theirs found."""
    checked = [abs(row.checked) for row in rows.values() if row.checked is not None]
    worst = max(checked, default=0.0)
    found = {}
    for number, row in rows.items():
        decode, prefill = (row.errors.get(f"{phase}_cycles") for phase in ("decode", "prefill"))
        if decode is None or prefill is None:
            continue
        # What was simulated itself is not off.
        decode = 0.0 if row.how == "simulated" else max(decode, worst)
        errors = errors_of_times(decode, max(prefill, worst), row.errors["mhz"])
        found[number] = replace(row, errors={**row.errors, **errors})
    return found


def _simulated(space: DesignSpace, rows: Sequence[Row]) -> list[Row]:
    """Rows with a run in RTL each, one after the other."""
    return [_one_simulated(space, row) for row in rows]


def _one_simulated(space: DesignSpace, row: Row) -> Row:
    question = space.question(row.values)
    assert row.mhz is not None
    try:
        found = simulate(question, row.mhz, space.sweep.check.most_cycles)
    except Exception as error:
        return replace(row, failed=f"in RTL: {type(error).__name__}: {error}")
    off = found.modelled / found.cycles - 1
    row = replace(row, checked=off, checked_layers=found.layers)
    if found.whole:
        row = replace(row, how="simulated", decode_cycles=float(found.cycles))
        row.errors = {**row.errors, "decode_cycles": 0.0, "tokens_per_s": row.errors["mhz"]}
        timed(row, question.design)
    return row


def _synthesised(space: DesignSpace, rows: Sequence[Row]) -> list[Row]:
    """Rows with the resources that Yosys finds."""
    from alula.synth import synthesise

    found = []
    for row in rows:
        try:
            total = synthesise(space.question(row.values).design, workers=1).total
        except Exception as error:
            found.append(replace(row, failed=f"in synthesis: {type(error).__name__}: {error}"))
            continue
        taken = {name: float(getattr(total, name)) for name in RESOURCES}
        errors = {**row.errors, **dict.fromkeys(RESOURCES, 0.0)}
        how = "synthesised" if row.how == "modelled" else row.how
        found.append(replace(row, how=how, resources="synthesised", errors=errors, **taken))
    return found


def _checked(
    space: DesignSpace,
    rows: Mapping[int, Row],
    groups: Sequence[Sequence[int]],
    run: "partial[list[Row]]",
    how: str,
    pool: Pool,
    store: RowStore | None,
    progress: Progress,
) -> Iterator[tuple[int, Row]]:
    """Yield the points of groups with their new rows, from the store where it has them."""
    numbers = [number for group in groups for number in group]
    values = {number: rows[number].values for number in numbers}
    keys = {}
    if store is not None:
        keys = {number: _key(space, rows[number], how) for number in numbers}
    kept = restored(keys, values, store)
    yield from kept.items()
    done = len(kept)
    progress(how, done, len(numbers))
    items = [[number for number in group if number not in kept] for group in groups]
    items = [item for item in items if item]
    for place, result in pool.map(run, [[rows[number] for number in item] for item in items]):
        item = items[place]
        if isinstance(result, Lost):
            result = [replace(rows[number], failed=result.reason) for number in item]
        if store is not None:
            store.add((keys[number], row) for number, row in zip(item, result, strict=True))
        yield from zip(item, result, strict=True)
        done += len(item)
        progress(how, done, len(numbers))


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    """At most so many, the first and the last among them."""
    if not numbers or not count:
        return []
    places = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [numbers[place] for place in dict.fromkeys(places.tolist())]


def _key(space: DesignSpace, row: Row, how: str) -> str:
    """The key of a check: it depends on the gateware and on the tools besides."""
    question = space.question(row.values)
    asked = f"{how} {row.mhz} {space.sweep.check.most_cycles} {_tools(how)}"
    return f"{key(question, space.sweep)} {asked}"


@cache
def _tools(how: str) -> str:
    made_by = sources_id(*_MAKERS)[:16]
    if how == "simulated":
        return made_by
    from alula.synth import yosys

    return f"{made_by} {yosys().version}"


def _need_simulator() -> None:
    from alula.rtl.toolchain import toolchain

    toolchain()


def _need_synthesiser() -> None:
    from alula.synth import yosys

    yosys()
