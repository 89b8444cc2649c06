"""The scheduler against a machine that interleaves its engines at random.

Whatever the program and the interleaving, an instruction that touches what an earlier one touched
(one of them writing) must run after it, nothing may deadlock, and no token may be left over.
"""

import itertools
import random
from collections import Counter, deque

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alula.codegen.schedule import Item, Loop, ScheduledOp, schedule
from alula.isa import Engine, Op
from alula.isa.instructions import QUEUE_DEPTH, TOKEN_LIMIT

ENGINES = {
    Engine.LD: "LD.V",
    Engine.ST: "ST.V",
    Engine.MV: "MV",
    Engine.MISC: "ADD",
    Engine.SYS: "ARG",
}
RESOURCES = ("a", "b", "c", "d")

steps = st.builds(
    lambda engine, reads, writes: ScheduledOp(
        Op(ENGINES[engine]), "unit", frozenset(reads), frozenset(writes)
    ),
    st.sampled_from(list(ENGINES)),
    st.sets(st.sampled_from(RESOURCES), max_size=2),
    st.sets(st.sampled_from(RESOURCES), max_size=1),
)


def _loop(items: list[Item]) -> Loop:
    return Loop(ScheduledOp(Op("LOOP", {"count": 0}), "loop"), items)


items = st.recursive(
    st.lists(steps, min_size=1, max_size=5),
    lambda inner: st.tuples(
        st.lists(steps, max_size=3), inner.map(_loop), st.lists(steps, max_size=3)
    ).map(lambda parts: [*parts[0], parts[1], *parts[2]]),
    max_leaves=4,
)


def _unroll(flat: list[ScheduledOp], counts: random.Random) -> list[ScheduledOp]:
    """The dynamic instructions of a program whose loops run a random number of times."""
    result: list[ScheduledOp] = []
    index = 0
    while index < len(flat):
        step = flat[index]
        index += 1
        if step.op.name != "LOOP":
            result.append(step)
            continue
        body = flat[index : index + int(step.op.values["body"])]
        for _ in range(counts.randrange(4)):
            result += _unroll(body, counts)
        index += len(body)
    return result


def _run(trace: list[ScheduledOp], order: random.Random, depth: int) -> list[int]:
    """Positions of a trace's steps in the order in which a machine runs them.

    SYS steps run in the sequencer: nothing behind one is dispatched before it, nor behind one whose
    engine's queue holds `depth` already.
    """
    queues: dict[Engine, deque[int]] = {engine: deque() for engine in Engine}
    tokens: Counter[tuple[Engine, Engine]] = Counter()
    done: list[int] = []
    dispatched = 0
    while len(done) < len(trace):
        while dispatched < len(trace) and not queues[Engine.SYS]:
            queue = queues[trace[dispatched].engine]
            if len(queue) == depth:
                break
            queue.append(dispatched)
            dispatched += 1
        ready = [
            engine
            for engine, queue in queues.items()
            if queue and all(tokens[source, engine] for source in trace[queue[0]].wait)
        ]
        assert ready, "deadlock"
        engine = order.choice(ready)
        place = queues[engine].popleft()
        tokens.subtract((source, engine) for source in trace[place].wait)
        tokens.update((engine, target) for target in trace[place].signal)
        assert max(tokens.values(), default=0) <= TOKEN_LIMIT, "more tokens than a counter holds"
        done.append(place)
    assert not +tokens, f"tokens left over: {+tokens}"
    return done


def _conflict(first: ScheduledOp, second: ScheduledOp) -> bool:
    return bool(first.writes & (second.reads | second.writes) or second.writes & first.reads)


@settings(max_examples=300)
@given(items, st.integers(0, 2**32))
def test_dependencies_hold_in_every_interleaving(program: list[Item], seed: int) -> None:
    flat = schedule(program)
    chance = random.Random(seed)
    trace = _unroll(flat, chance)
    assume(len(trace) <= 400)
    for depth in (1, 2, QUEUE_DEPTH):
        place = {step: when for when, step in enumerate(_run(trace, chance, depth))}
        for later in range(len(trace)):
            for earlier in range(later):
                if _conflict(trace[earlier], trace[later]):
                    assert place[earlier] < place[later], (seed, earlier, later)


@settings(max_examples=300)
@given(st.lists(steps, min_size=2, max_size=30))
def test_every_token_is_needed(program: list[Item]) -> None:
    """Who waits would otherwise run too early, and no earlier token of the two engines tells."""
    flat = schedule(program)
    assert flat == program
    for giver, taker in itertools.permutations(ENGINES, 2):
        given_by = [
            i for i, step in enumerate(flat) if step.engine is giver and taker in step.signal
        ]
        taken_by = [i for i, step in enumerate(flat) if step.engine is taker and giver in step.wait]
        for source, target in zip(given_by, taken_by, strict=True):
            assert source < target
            assert _conflict(flat[source], flat[target])


def test_independent_steps_need_no_tokens() -> None:
    first = ScheduledOp(Op("LD.V"), "", frozenset(), frozenset("a"))
    second = ScheduledOp(Op("ADD"), "", frozenset("b"), frozenset("c"))
    assert schedule([first, second]) == [first, second]
    assert first.signal == second.wait == set()


def test_one_token_covers_what_came_before() -> None:
    loads = [ScheduledOp(Op("LD.V"), "", frozenset(), frozenset(name)) for name in "ab"]
    uses = [ScheduledOp(Op("ADD"), "", frozenset(name), frozenset()) for name in "ba"]
    schedule([*loads, *uses])
    assert [step.signal for step in loads] == [set(), {Engine.MISC}]
    assert [step.wait for step in uses] == [{Engine.LD}, set()]


def test_loop_carries_a_credit() -> None:
    load = ScheduledOp(Op("LD.V"), "", frozenset(), frozenset("a"))
    use = ScheduledOp(Op("ADD"), "", frozenset("a"), frozenset())
    flat = schedule([_loop([load, use])])
    names = [step.op.name for step in flat]
    assert names == ["MISC.SYNC", "LOOP", "LD.V", "ADD", "LD.SYNC"]
    assert load.wait == {Engine.MISC}
    assert use.signal == {Engine.LD}


def test_a_loop_takes_the_tokens_that_would_pass_over_it() -> None:
    """A token for after the loop must not be taken by a wait inside it."""
    before = ScheduledOp(Op("LD.V"), "", frozenset(), frozenset("a"))
    load = ScheduledOp(Op("LD.V"), "", frozenset(), frozenset("b"))
    use = ScheduledOp(Op("ADD"), "", frozenset("b"), frozenset())
    after = ScheduledOp(Op("ADD"), "", frozenset("a"), frozenset())
    flat = schedule([before, _loop([load, use]), after])
    assert before.signal == {Engine.MISC}
    assert after.wait == set()
    first_sync = next(step for step in flat if step.op.name == "MISC.SYNC")
    assert first_sync.wait == {Engine.LD}
