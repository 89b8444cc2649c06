"""The dynamic programme against every placement there is."""

import os
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.runtime.planning import programme
from alula.runtime.planning.bottleneck import least_bottleneck
from alula.runtime.planning.chain import ObjectiveWeights, PlanLimits, chain_of
from alula.runtime.planning.handover import Streaming
from alula.runtime.planning.least_cost import least_cost
from alula.runtime.planning.objectives import bottleneck_s
from alula.runtime.planning.problem import Problem, price
from alula.runtime.planning.programme import cheapest
from alula.runtime.planning.stretches import without_chatter
from alula.runtime.split import PHASES

Numbers = np.ndarray


def waited_of(problem: Problem, before: Numbers, moved: Numbers) -> Numbers:
    """Return what decode waits for with units on `before` in prefill, by the clock.

    Events in their order, from what the executor does: every piece of the prompt goes through the
    units one after the other; what is complete joins a queue, whose first crosses while a device
    computes that shares its time. At the end of the prompt what is left is waited for.

    Args:
        problem: what is placed.
        before: [units].
        moved: [placements, units], seconds.
    """
    streaming = problem.streaming
    if streaming is None:
        return moved.sum(axis=1)
    queue = np.zeros(len(moved))
    for _ in range(streaming.pieces):
        complete = np.zeros(len(moved))
        for unit, device in enumerate(before):
            if streaming.shared[device]:
                seconds = problem.work["prefill"][unit, device] / streaming.pieces
                queue = np.maximum(0.0, queue - seconds)
            complete = complete + moved[:, unit] / streaming.pieces
            last = unit == len(before) - 1 or before[unit + 1] != device
            if streaming.by_layer[device] or last:
                queue, complete = queue + complete, np.zeros(len(moved))
    return queue


def every_placement(problem: Problem, weights: ObjectiveWeights, limits: PlanLimits) -> float:
    """Return the least cost of all placements, each priced from the definitions, no programme."""
    units, devices = problem.memory.shape
    every = np.array(list(product(range(devices), repeat=units)))
    numbers = np.arange(units)
    one_hot = np.eye(devices)
    alone, held, runs, crossing = {}, {}, {}, {}
    for phase in PHASES:
        picked = problem.work[phase][numbers, every]
        hops = problem.hops[phase][every[:, :-1], every[:, 1:]].sum(axis=1)
        alone[phase] = (picked * weights.work[phase][every]).sum(axis=1)
        alone[phase] += hops * weights.hidden[phase]
        crossing[phase] = hops
        runs[phase] = np.einsum("pu,pud->pd", np.nan_to_num(picked, posinf=1e9), one_hot[every])
        held[phase] = np.einsum("pu,pud->pd", problem.memory[numbers, every], one_hot[every])
    ends = one_hot[every[:, 0]], one_hot[every[:, -1]]
    best = np.inf
    for index, before in enumerate(every):
        cost = alone["prefill"][index] + alone["decode"]
        moves = problem.moves[numbers, before, every]
        moved = moves.sum(axis=1)
        cost = cost + waited_of(problem, before, moves) * weights.moved
        returned = problem.ids[before[-1], every[:, 0]]
        returned = returned + problem.steps * problem.ids[every[:, -1], every[:, 0]]
        cost += returned * weights.ids
        twice = (every == before) @ (problem.memory[numbers, before][:, None] * one_hot[before])
        memory = held["prefill"][index] + held["decode"] - twice
        first, last = (np.maximum(ends[end], one_hot[before[-end]]) for end in (0, 1))
        memory -= first * last * problem.shared
        fits = (memory <= problem.capacity).all(axis=1)
        fits &= (runs["prefill"][index] + runs["decode"] <= limits.busy * (1 + 1e-12)).all(axis=1)
        transfer = crossing["prefill"][index] + crossing["decode"] + moved + returned
        fits &= transfer <= limits.transfer * (1 + 1e-12)
        best = min(best, cost[fits].min(initial=np.inf))
    return float(best)


def random_problem(
    seed: int, units: int, devices: int, tight: float, pieces: int = 0
) -> tuple[Problem, ObjectiveWeights]:
    """Draw a problem whose numbers often tie; the share `tight` of all memory fits everywhere.

    Keys and values move under so many pieces of a prompt, or whole if these are none.
    """
    draw = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return draw.integers(1, 9, shape) / 8

    work = {phase: numbers(units, devices) for phase in PHASES}
    for table in work.values():
        table[draw.random(table.shape) < 0.1] = np.inf
    apart = 1 - np.eye(devices)
    memory = draw.integers(1, 5, (units, devices)).astype(float)
    problem = Problem(
        units=tuple(f"unit{one}" for one in range(units)),
        devices=tuple("abc"[:devices]),
        work=work,
        hops={phase: numbers(devices, devices) * apart for phase in PHASES},
        moves=numbers(units, devices, devices) * apart,
        streaming=Streaming(pieces, draw.random(devices) < 0.5, draw.random(devices) < 0.7)
        if pieces
        else None,
        ids=numbers(devices, devices) * apart / 4,
        steps=int(draw.integers(0, 4)),
        memory=memory,
        shared=np.minimum(memory[-1], draw.integers(0, 2, devices)),
        capacity=np.floor(memory.sum(axis=0) * tight * draw.uniform(0.6, 1.4, devices)),
    )
    weights = ObjectiveWeights(
        work={phase: numbers(devices) for phase in PHASES},
        hidden={phase: float(draw.random()) for phase in PHASES},
        moved=float(draw.random()),
        ids=float(draw.random()),
    )
    return problem, weights


def weighted(problem: Problem, weights: ObjectiveWeights, placement) -> float:
    told = price(problem, placement)
    work = sum(np.dot(told.work[phase], weights.work[phase]) for phase in PHASES)
    hidden = sum(told.hidden[phase] * weights.hidden[phase] for phase in PHASES)
    return float(work + hidden + told.waited * weights.moved + told.ids * weights.ids)


def compare(
    problem: Problem, weights: ObjectiveWeights, busy: float, transfer: float = np.inf
) -> None:
    limits = PlanLimits(np.full(len(problem.devices), busy), transfer)
    expected = every_placement(problem, weights, limits)
    limited = np.isfinite(busy) or np.isfinite(transfer)
    found = cheapest(problem, weights, limits if limited else None)
    if found is None:
        assert np.isinf(expected)
        return
    told = price(problem, found.placement)
    assert found.gap == 0
    assert weighted(problem, weights, found.placement) == pytest.approx(expected, rel=1e-9)
    assert (np.array(told.memory) <= problem.capacity * (1 + 1e-9)).all()
    runs = np.array(told.work["prefill"]) + np.array(told.work["decode"])
    assert (runs <= busy * (1 + 1e-9)).all()
    assert told.crossing_s <= transfer * (1 + 1e-9)


@settings(max_examples=100)
@given(
    seed=st.integers(0, 1 << 32),
    units=st.integers(1, 5),
    devices=st.integers(1, 3),
    tight=st.sampled_from([0.2, 0.35, 0.5, 0.8, 10.0]),
    busy=st.sampled_from([0.3, 0.5, 0.8, np.inf]),
    transfer=st.sampled_from([0.0, 1.0, 3.0, np.inf]),
    pieces=st.integers(0, 3),
)
def test_as_cheap_as_the_cheapest_of_all(
    seed: int, units: int, devices: int, tight: float, busy: float, transfer: float, pieces: int
) -> None:
    problem, weights = random_problem(seed, units, devices, tight, pieces)
    compare(problem, weights, units * busy, transfer)


@pytest.mark.slow
@pytest.mark.parametrize(("tight", "busy"), [(0.3, np.inf), (0.5, 3.0), (10.0, np.inf)])
@pytest.mark.parametrize("pieces", [0, 2])
def test_eight_units_on_three_devices(tight: float, busy: float, pieces: int) -> None:
    problem, weights = random_problem(8, 8, 3, tight, pieces)
    compare(problem, weights, busy)


def test_impossible_limits_have_no_plan() -> None:
    problem, weights = random_problem(1, 4, 2, 10.0)
    assert cheapest(problem, weights) is not None
    assert cheapest(replace(problem, capacity=np.zeros(2)), weights) is None


def test_a_unit_that_may_run_nowhere_has_no_plan() -> None:
    problem, weights = random_problem(1, 4, 2, 10.0)
    problem.work["decode"][2] = np.inf
    assert cheapest(problem, weights) is None


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    tight=st.sampled_from([0.35, 0.5, 0.8]),
    pieces=st.integers(0, 2),
)
def test_ways_left_behind_are_accounted_for(seed: int, tight: float, pieces: int) -> None:
    problem, weights = random_problem(seed, 5, 3, tight, pieces)
    nothing = PlanLimits(np.full(3, np.inf))
    expected = every_placement(problem, weights, nothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programme, "_FEW_WAYS", 2)
        patch.setattr(programme, "_MANY_WAYS", 6)
        patch.setattr(programme, "_SOLVED_DEVICES", 0)
        found = cheapest(problem, weights)
    if found is None:
        assert np.isinf(expected)
        return
    cost = weighted(problem, weights, found.placement)
    assert cost * (1 - found.gap) <= expected * (1 + 1e-9)
    assert expected <= cost * (1 + 1e-9)
    assert (np.array(price(problem, found.placement).memory) <= problem.capacity).all()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    units=st.integers(1, 5),
    devices=st.integers(1, 3),
    tight=st.sampled_from([0.35, 0.5, 0.8, 1.2]),
    busy=st.sampled_from([0.5, 1.0, np.inf]),
    pieces=st.integers(0, 2),
    alike=st.booleans(),
    heavy=st.sampled_from([0.1, 1.0, 4.0]),
)
def test_the_integer_programme_is_exact_too(
    seed: int,
    units: int,
    devices: int,
    tight: float,
    busy: float,
    pieces: int,
    alike: bool,
    heavy: float,
) -> None:
    """Nothing is carried forwards at first; units that are alike make a straight stretch."""
    problem, weights = random_problem(seed, units, devices, tight, pieces)
    problem = replace(problem, moves=problem.moves * heavy)
    if alike and units > 2:
        problem = with_alike(problem, [0, *[1] * (units - 2), units - 1])
        straight = {phase: table / 8 + 1 - np.eye(devices) for phase, table in problem.hops.items()}
        problem = replace(problem, hops=straight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programme, "_FEW_WAYS", 1)
        compare(problem, weights, units * busy)
    limits = PlanLimits(np.full(devices, units * busy))
    expected = every_placement(problem, weights, limits)
    way, least = least_cost(chain_of(problem, weights, limits), 10.0, busy=alike)
    assert (way is None) == np.isinf(expected)
    assert least <= expected * (1 + 1e-6)
    if way is not None and pieces == 0:
        assert least >= expected * (1 - 1e-6)


def test_a_solver_prints_nothing_among_what_others_do(capfd: pytest.CaptureFixture) -> None:
    """HiGHS says so on stdout whatever it is told, where `--json` is."""
    with without_chatter():
        os.write(1, b"HighsMipSolverData::transformNewIntegerFeasibleSolution tmpSolver.run();\n")
        os.write(1, b"said\n")
    print("and after", flush=True)
    assert capfd.readouterr().out == "said\nand after\n"


def with_alike(problem: Problem, same: list[int]) -> Problem:
    """Return a problem whose units are these of another."""
    return replace(
        problem,
        units=tuple(f"unit{one}" for one in range(len(same))),
        work={phase: table[same] for phase, table in problem.work.items()},
        moves=problem.moves[same],
        memory=problem.memory[same],
    )


def least_by_memory(problem: Problem, weights: ObjectiveWeights) -> float:
    """Return the least cost by a table of all that may be held: no bounds, no solver.

    What is waited for is all that moves, as without streaming.
    """
    units, devices = problem.memory.shape
    pairs = [*product(range(devices), repeat=2)]
    size = problem.memory.astype(int)

    def node(unit: int, pair: tuple[int, ...]) -> float:
        cost = sum(
            problem.work[phase][unit, one] * weights.work[phase][one]
            for phase, one in zip(PHASES, pair, strict=True)
        )
        return cost + problem.moves[unit, pair[0], pair[1]] * weights.moved

    def held(unit: int, pair: tuple[int, ...]) -> Numbers:
        return np.array([size[unit, d] if d in pair else 0 for d in range(devices)])

    best = np.inf
    for first in pairs:
        ways = {(first, tuple(held(0, first))): node(0, first)}
        for unit in range(1, units):
            longer: dict = {}
            for (last, used), cost in ways.items():
                for pair in pairs:
                    more = np.array(used) + held(unit, pair)
                    hops = [
                        problem.hops[phase][one, other] * weights.hidden[phase]
                        for phase, one, other in zip(PHASES, last, pair, strict=True)
                    ]
                    total = cost + node(unit, pair) + sum(hops)
                    state = pair, tuple(more)
                    if total < longer.get(state, np.inf):
                        longer[state] = total
            ways = longer
        for (last, used), cost in ways.items():
            both = np.array([d in first and d in last for d in range(devices)])
            if (np.array(used) - both * problem.shared <= problem.capacity).all():
                back = problem.ids[last[0], first[1]]
                back = back + problem.steps * problem.ids[last[1], first[1]]
                best = min(best, cost + back * weights.ids)
    return float(best)


@pytest.mark.parametrize("seed", range(6))
def test_twelve_layers_in_tight_memories(seed: int) -> None:
    """Alike, on two devices, as exactly as eight units; by the integer programme."""
    problem, weights = random_problem(seed, 4, 2, 10.0)
    problem = with_alike(problem, [0, *[1] * 12, 3])
    work = {phase: np.nan_to_num(table, posinf=2.0) for phase, table in problem.work.items()}
    capacity = np.floor(problem.memory.sum(axis=0) * 0.6)
    problem = replace(problem, work=work, capacity=capacity)
    expected = least_by_memory(problem, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programme, "_FEW_WAYS", 1)
        found = cheapest(problem, weights)
    assert found is not None
    assert found.gap == 0
    assert weighted(problem, weights, found.placement) == pytest.approx(expected, rel=1e-6)


def least_of_all(problem: Problem) -> float:
    """Return the least bottleneck of all placements, each priced alone."""
    units, devices = problem.memory.shape
    every = [*product(range(devices), repeat=units)]
    best = np.inf
    for before, after in product(every, every):
        told = price(problem, {"prefill": before, "decode": after})
        if (np.array(told.memory) <= problem.capacity).all():
            best = min(best, bottleneck_s(told))
    return best


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    tight=st.sampled_from([0.35, 0.5, 0.8, 10.0]),
    alike=st.booleans(),
    apart=st.sampled_from([0.05, 1.0]),
    straight=st.booleans(),
)
def test_the_least_bottleneck_is_that_of_all(
    seed: int, tight: float, alike: bool, apart: float, straight: bool
) -> None:
    """Units that are alike make one stretch, in which a solution may fall apart at first.

    Where the straight way is the least, a stretch comes to each state once.
    """
    problem, _ = random_problem(seed, 4, 2, tight)
    least = (1 - np.eye(2)) if straight else 0.0
    hops = {phase: (table + least) * apart for phase, table in problem.hops.items()}
    problem = replace(problem, hops=hops, moves=problem.moves * apart)
    if alike:
        same = [0, 1, 1, 3] if straight else [0, 0, 0, 3]
        problem = replace(
            problem,
            work={phase: table[same] for phase, table in problem.work.items()},
            moves=problem.moves[same],
            memory=problem.memory[same],
        )
    expected = least_of_all(problem)
    found = least_bottleneck(problem)
    if found is None:
        assert np.isinf(expected)
        return
    told = price(problem, found.placement)
    assert found.gap == 0
    assert bottleneck_s(told) == pytest.approx(expected, rel=1e-6)
    assert (np.array(told.memory) <= problem.capacity).all()


@pytest.mark.parametrize(("back", "least"), [(0.1, 2.0), (9.0, 3.0)])
def test_a_stretch_comes_back_where_that_is_cheaper_than_the_straight_way(
    back: float, least: float
) -> None:
    """Three units that are alike, on a or b; what is before and behind them is on c, far from b."""
    never = np.inf
    ends, alike = [never, never, 0.0], [1.0, 1.0, never]
    hops = np.array([[0, 0.1, 0.1], [back, 0, 9.0], [0.1, 9.0, 0]])
    problem = Problem(
        units=("embed", "layers.0", "layers.1", "layers.2", "head"),
        devices=("a", "b", "c"),
        work={
            "prefill": np.array([ends, alike, alike, alike, ends]),
            "decode": np.array([ends] * 5),
        },
        hops={"prefill": hops, "decode": np.zeros((3, 3))},
        moves=np.zeros((5, 3, 3)),
        ids=np.zeros((3, 3)),
        steps=1,
        memory=np.ones((5, 3)),
        shared=np.zeros(3),
        capacity=np.full(3, np.inf),
    )
    found = least_bottleneck(problem)
    assert found is not None
    assert bottleneck_s(price(problem, found.placement)) == pytest.approx(least)
    assert found.placement["prefill"] == ([2, 0, 1, 0, 2] if least == 2 else [2, 0, 0, 0, 2])


def test_many_ways_leave_few_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 layers that are alike on three devices which hold a third of them each, and a little."""
    problem, weights = random_problem(5, 34, 3, 10.0)
    tables = {phase: np.nan_to_num(table, posinf=0.5) for phase, table in problem.work.items()}
    work = {phase: np.repeat(table[:1], 34, axis=0) for phase, table in tables.items()}
    problem = replace(problem, work=work, memory=np.ones((34, 3)), capacity=np.full(3, 12.0))
    compared: list[int] = []
    plain = programme.undominated

    def counted(group: np.ndarray, rows: np.ndarray) -> np.ndarray:
        compared.append(len(rows))
        return plain(group, rows)

    monkeypatch.setattr(programme, "undominated", counted)
    found = cheapest(problem, weights)
    assert found is not None
    assert 0 <= found.gap < 0.05
    assert max(compared) <= 12_000
