"""What happened in a session as Chrome's trace events: host, torch devices, links, accelerator.

The format is that of chrome://tracing and ui.perfetto.dev: "X" events with microseconds. Two kinds
of time never share a process of the trace: "wall clock", and "accelerator", whose microseconds are
cycles at the clock that the design declares. Each event's arguments say which it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alula.folders import new_file
from alula.isa import Engine
from alula.runtime.bounds import bound_of
from alula.runtime.instructions import (
    WAITS,
    TimedInstruction,
    layers,
    modelled,
    retired,
    with_waits,
)
from alula.runtime.perfetto_trace import perfetto_bytes
from alula.runtime.runs import Run
from alula.runtime.spans import Span

if TYPE_CHECKING:
    from alula.runtime.accelerator import Accelerator
    from alula.runtime.planning.work import ModelWork
    from alula.runtime.session import Session

_WALL, _ACCELERATOR = 1, 2
_HOST, _LINK, _WAITS = "host", "link", "waits for"
_LAYERS, _INSTRUCTIONS = "layers", "instructions"
_MOST_INSTRUCTIONS = 1 << 18
"""Of a trace, so that it can be looked at; runs behind these are told by engine alone."""
_HOSTS = {"bound": _HOST, "submit_to_start_us": 0.0}
Event = dict[str, Any]


def write_trace(session: "Session", path: Path) -> None:
    """Write a session's trace, whole or not at all: JSON, or Perfetto's format to a .pftrace file.

    Raises:
        RunError: the package perfetto is not installed, and the file is to be of its format.
        OSError: the file cannot be written.
    """
    events = trace_events(session)
    if path.suffix == ".pftrace":
        data = perfetto_bytes(events)
    else:
        data = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}).encode()
    with new_file(path) as file:
        file.write(data)


def trace_events(session: "Session") -> list[Event]:
    """Return a session's events: in each answer the wall clock's leave no gap."""
    spans = session.spans
    if not spans:
        return []
    zero = min(span.start for span in spans)
    events = [*_wall_events(spans, session.model, zero), *_accelerator_events(session, zero)]
    return [*_names(events), *events]


def _wall_events(spans: Sequence[Span], model: "ModelWork | None", zero: float) -> Iterator[Event]:
    """Yield what was done, and as the host's own whatever of an answer is in between."""
    for answer in (span for span in spans if span.kind == "answer"):
        yield _wall(answer, "answers", zero, {**_HOSTS, "tokens": answer.tokens})
        now = answer.start
        inside = (
            one
            for one in spans
            if one.kind != "answer" and answer.start <= one.start and one.end <= answer.end
        )
        for span in sorted(inside, key=lambda one: (one.start, -one.end)):
            if span.start > now:
                yield _event("host", _HOST, now - zero, span.start - now, _HOSTS)
            track = _LINK if span.kind == "keys and values" else str(span.target)
            more = {
                "bound": "link" if track == _LINK else _bound(model, span),
                "phase": span.phase,
                "tokens": span.tokens,
                "position": span.position,
                "submit_to_start_us": (span.start - span.submitted) * 1e6,
            }
            yield _wall(span, track, zero, more)
            now = max(now, span.end)
        if answer.end > now:
            yield _event("host", _HOST, now - zero, answer.end - now, _HOSTS)


def _bound(model: "ModelWork | None", span: Span) -> str:
    """Return what a segment waited for by the wall clock; an accelerator is simulated by a host."""
    return _HOST if model is None or span.accelerated else bound_of(span, model)


def _accelerator_events(session: "Session", zero: float) -> Iterator[Event]:
    """Yield for each run its cycles: of each engine what they were, and what the run waited for.

    A run's events begin where the wall clock's does, or where the run before it ends. Within the
    track of an engine they are sums of cycles, not their order; within those of layers and of an
    engine's instructions they are what happened one after the other.
    """
    if session.accelerator is None or session.design is None:
        return
    ran = [span for span in session.spans if span.kind == "compute" and span.accelerated]
    per_cycle = 1 / session.design.clock_hz
    now, room = 0.0, _MOST_INSTRUCTIONS
    for number, run in enumerate(session.runs):
        span = ran[min(number, len(ran) - 1)]
        now = max(now, span.start - zero)
        found = _cycles(session.accelerator, run, room)
        room -= found.count
        for part in found.parts:
            shown = {
                "clock": found.clock,
                "cycles": part.cycles,
                "phase": run.phase,
                "bound": part.bound,
                "submit_to_start_us": (span.start - span.submitted) * 1e6,
                **part.more,
            }
            start = now + part.begin * per_cycle
            event = _event(part.name, part.track, start, part.cycles * per_cycle, shown)
            yield {**event, "pid": _ACCELERATOR}
        now += found.cycles * per_cycle


@dataclass(frozen=True)
class _Part:
    """Cycles of a run.

    Attributes:
        track: where they are shown.
        name: what they were.
        begin: cycles from the run's start.
        cycles: how many.
        bound: what was waited for.
        more: what else to tell.
    """

    track: str
    name: str
    begin: float
    cycles: float
    bound: str
    more: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class _RunCycles:
    """A run's cycles in parts; those of a track add up to all.

    Attributes:
        cycles: of the run.
        clock: what kind they are.
        count: instructions among the parts.
        parts: see `_Part`.
    """

    cycles: float
    clock: str
    count: int
    parts: list[_Part]


def _cycles(accelerator: "Accelerator", run: Run, room: int) -> _RunCycles:
    """Return a run's cycles: the gateware's, or else by the cycle model.

    With more instructions than there is room for, engines are told as a whole.
    """
    times = accelerator.instructions(run, max(1, room))
    whole = times.timeline if times else accelerator.timeline(run)
    bound = "memory" if whole.accounts["memory"] > whole.accounts["compute"] else "compute"
    instructions: list[TimedInstruction] = []
    if run.counters.get("cycles"):
        cycles, clock = float(run.counters["cycles"]), "simulated cycles"
        sums: dict[str, dict[str, float]] = {}
        for name, count in run.counters.items():
            engine, dot, use = name.partition(".")
            if dot:
                sums.setdefault(engine, {})[use] = count
        if sum(len(one.cycles) for one in run.retired) <= room:
            instructions = retired(run.retired)
    else:
        cycles, clock = whole.cycles, "modelled cycles"
        sums = {_WAITS: dict(whole.accounts)}
        for engine, busy in whole.busy.items():
            sums[engine] = {"busy": busy, "other": whole.cycles - busy}
        if times and room > 0:
            instructions = modelled(run.program, run, times)
    parts = [*_summed(sums, bound), *_in_order(run, instructions, cycles, bound)]
    return _RunCycles(cycles, clock, len(instructions), parts)


def _summed(sums: Mapping[str, Mapping[str, float]], bound: str) -> Iterator[_Part]:
    """Yield by track what cycles were, one sum after the other."""
    for track, uses in sums.items():
        at = 0.0
        for name, cycles in uses.items():
            yield _Part(track, name, at, cycles, _part_bound(track, name, bound))
            at += cycles


def _in_order(
    run: Run, instructions: list[TimedInstruction], cycles: float, bound: str
) -> Iterator[_Part]:
    """Yield the model's layers, and of each engine its instructions, in their order."""
    if not instructions:
        return
    for name, begin, end in layers(instructions, cycles):
        yield _Part(_LAYERS, name, begin, end - begin, bound)
    for engine in Engine:
        track = f"{engine.name} {_INSTRUCTIONS}"
        own = [one for one in instructions if one.engine is engine]
        for one, begin, end in with_waits(own, cycles):
            if one is None:
                yield _Part(track, WAITS, begin, end - begin, bound)
                continue
            name = run.program.ops[one.address].name
            told = {"unit": one.unit, "address": one.address}
            bound_here = _part_bound(engine.name, "busy", bound)
            yield _Part(track, name, begin, end - begin, bound_here, told)


def _part_bound(track: str, name: str, bound: str) -> str:
    """Return a part's bound: of an engine that works its own, else that of the whole run."""
    if track == _WAITS and name in ("memory", "compute"):
        return name
    if name != "busy":
        return bound
    return "memory" if track.upper() in (Engine.LD.name, Engine.ST.name) else "compute"


def _wall(span: Span, track: str, zero: float, more: Event) -> Event:
    return _event(span.name, track, span.start - zero, span.seconds, more)


def _event(name: str, track: str, start: float, seconds: float, more: Event) -> Event:
    """Return a complete event; its thread is a track, which gets a number later."""
    return {
        "ph": "X",
        "name": name,
        "cat": track,
        "ts": start * 1e6,
        "dur": max(0.0, seconds * 1e6),
        "pid": _WALL,
        "tid": track,
        "args": {"clock": "wall", **more},
    }


def _names(events: list[Event]) -> list[Event]:
    """Give tracks their numbers, and return the events that name processes and tracks."""
    names: list[Event] = []
    numbers: dict[tuple[int, str], int] = {}
    for process, title in ((_WALL, "wall clock"), (_ACCELERATOR, "accelerator, in cycles")):
        names.append(_meta("process_name", process, 0, title))
    for event in events:
        key = event["pid"], event["tid"]
        if key not in numbers:
            numbers[key] = len(numbers) + 1
            names.append(_meta("thread_name", event["pid"], numbers[key], event["tid"]))
        event["tid"] = numbers[key]
    return names


def _meta(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
