"""Synchronisation: which instruction waits for which, from what they read and write.

A program is a tree of steps and loops. Engines are in order, so only dependencies between engines
need tokens, and one token covers everything before it. The k-th signal of a pair of engines meets
its k-th wait; that holds across loops because a loop is closed for tokens:

- what it needs from before is waited for by SYNCs in front of it, what it gives is signalled by
  SYNCs behind it;
- a dependency from one iteration to the next gets a credit in front of the loop, and its last token
  is taken behind it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from alula.isa import Engine, Op

Pair = tuple[Engine, Engine]
_COPIES = 3


@dataclass
class ScheduledOp:
    """One instruction with the resources it touches and the unit it serves."""

    op: Op
    origin: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    wait: set[Engine] = field(default_factory=set)
    signal: set[Engine] = field(default_factory=set)

    @property
    def engine(self) -> Engine:
        """The engine that runs it."""
        return self.op.instruction.engine


@dataclass
class Loop:
    """A LOOP step and its body."""

    head: ScheduledOp
    body: "list[ScheduledOp | Loop]"


Item = ScheduledOp | Loop


@dataclass
class _Point:
    """A place in a sequence where an engine may wait (consumer) or signal (producer)."""

    step: ScheduledOp
    reads: frozenset[str]
    writes: frozenset[str]
    consumer: bool
    producer: bool
    after_all: frozenset[Engine] = frozenset()
    """Engines whose every earlier step counts as a dependency."""


@dataclass
class _Closed:
    """A scheduled loop: its LOOP step, its flat body, the SYNCs around it and the pairs it uses."""

    loop: Loop
    body: list[ScheduledOp]
    pairs: set[Pair]
    credits: Counter[Pair]
    entry: dict[Engine, ScheduledOp]
    exit: dict[Engine, ScheduledOp]
    points: list[_Point]


def _sync(engine: Engine, origin: str) -> ScheduledOp:
    return ScheduledOp(Op("NOP" if engine is Engine.SYS else f"{engine.name}.SYNC"), origin)


def _close(loop: Loop) -> _Closed:
    body, pairs, credits, points = _schedule(loop.body, cyclic=True)
    touched: dict[Engine, tuple[frozenset[str], frozenset[str]]] = {}
    for point in points:
        reads, writes = touched.get(point.step.engine, (frozenset[str](), frozenset[str]()))
        touched[point.step.engine] = (reads | point.reads, writes | point.writes)
    origin = loop.head.origin
    entry, exit_, border = {}, {}, []
    for engine, (reads, writes) in touched.items():
        entry[engine] = _sync(engine, origin)
        producers = frozenset(producer for producer, consumer in pairs if consumer == engine)
        border.append(_Point(entry[engine], reads, writes, True, False, producers))
    for engine, (reads, writes) in touched.items():
        exit_[engine] = _sync(engine, origin)
        border.append(_Point(exit_[engine], reads, writes, False, True))
    return _Closed(loop, body, pairs, credits, entry, exit_, border)


class _Accesses:
    """The last access of each engine to each resource, and its last of any."""

    def __init__(self) -> None:
        self._reads: dict[str, dict[Engine, int]] = {}
        self._writes: dict[str, dict[Engine, int]] = {}
        self._last: dict[Engine, int] = {}

    def note(self, point: _Point, place: int) -> None:
        """Note what a producer does at a place behind those noted before."""
        engine = point.step.engine
        self._last[engine] = place
        for kept, resources in ((self._reads, point.reads), (self._writes, point.writes)):
            for resource in resources:
                kept.setdefault(resource, {})[engine] = place

    def needed(self, point: _Point) -> list[tuple[int, Engine]]:
        """The last place of each other engine that a consumer depends on, the last one first."""
        found = {engine: self._last[engine] for engine in point.after_all & self._last.keys()}
        kept = [self._writes.get(resource) for resource in point.reads | point.writes]
        kept += [self._reads.get(resource) for resource in point.writes]
        for places in filter(None, kept):
            for engine, place in places.items():
                if place > found.get(engine, -1):
                    found[engine] = place
        found.pop(point.step.engine, None)
        return sorted(((place, engine) for engine, place in found.items()), reverse=True)


def _match(points: Sequence[_Point], copies: int) -> list[tuple[int, int, int]]:
    """Edges (producer index, consumer index, distance in iterations) of the last copy."""
    count = len(points)
    reached: dict[Pair, int] = {}
    accesses = _Accesses()
    edges: list[list[tuple[int, int, int]]] = []
    for copy in range(copies):
        edges.append([])
        for index, point in enumerate(points):
            if point.consumer:
                engine = point.step.engine
                for earlier, producer in accesses.needed(point):
                    if earlier > reached.get((producer, engine), -1):
                        reached[producer, engine] = earlier
                        edges[copy].append((earlier % count, index, copy - earlier // count))
            if point.producer:
                accesses.note(point, copy * count + index)
    if copies > 1 and edges[-1] != edges[-2]:
        raise AssertionError("token pattern of a loop must repeat")
    return edges[-1]


def _schedule(
    items: Sequence[Item], *, cyclic: bool
) -> tuple[list[ScheduledOp], set[Pair], Counter[Pair], list[_Point]]:
    """Flat steps of a sequence with their tokens; pairs used; credits needed; its points."""
    parts: list[ScheduledOp | _Closed] = []
    points: list[_Point] = []
    pairs: set[Pair] = set()
    for item in items:
        if isinstance(item, Loop):
            closed = _close(item)
            parts.append(closed)
            points += closed.points
            pairs |= closed.pairs
        else:
            parts.append(item)
            if item.reads or item.writes:
                points.append(_Point(item, item.reads, item.writes, True, True))
    credits: Counter[Pair] = Counter()
    for producer, consumer, distance in _match(points, _COPIES if cyclic else 1):
        source, target = points[producer].step, points[consumer].step
        pair = (source.engine, target.engine)
        source.signal.add(target.engine)
        target.wait.add(source.engine)
        pairs.add(pair)
        credits[pair] += distance
    steps: list[ScheduledOp] = []
    for part in parts:
        steps += [part] if isinstance(part, ScheduledOp) else _unfold(part)
    return steps, pairs, +credits, points


def _unfold(closed: _Closed) -> Iterator[ScheduledOp]:
    origin = closed.loop.head.origin
    yield from (step for step in closed.entry.values() if step.wait)
    yield from _credit_steps(closed.credits, origin, before=True)
    head = closed.loop.head
    values = {**head.op.values, "body": len(closed.body)}
    head.op = Op(head.op.name, values)
    yield head
    yield from closed.body
    yield from _credit_steps(closed.credits, origin, before=False)
    yield from (step for step in closed.exit.values() if step.signal)


def _credit_steps(credits: Counter[Pair], origin: str, *, before: bool) -> Iterator[ScheduledOp]:
    left = Counter(credits)
    while left:
        by_engine: dict[Engine, set[Engine]] = {}
        for producer, consumer in left:
            engine, other = (producer, consumer) if before else (consumer, producer)
            by_engine.setdefault(engine, set()).add(other)
        for engine, others in by_engine.items():
            step = _sync(engine, origin)
            (step.signal if before else step.wait).update(others)
            yield step
        left = +(left - Counter(dict.fromkeys(left, 1)))


def schedule(items: Sequence[Item]) -> list[ScheduledOp]:
    """The instructions in order, each with its tokens; LOOPs know the lengths of their bodies."""
    return _schedule(items, cyclic=False)[0]
