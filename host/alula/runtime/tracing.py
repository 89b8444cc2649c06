"""What happened in a session as Chrome's trace events: host, torch devices, links, accelerator.

The format is that of chrome://tracing and ui.perfetto.dev: "X" events with microseconds. Two kinds
of time never share a process of the trace: "wall clock", and "accelerator", whose microseconds are
cycles at the clock that the design declares. Each event's arguments say which it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alula.folders import new_file
from alula.isa import Engine
from alula.runtime.bounds import bound_of
from alula.runtime.perfetto_trace import perfetto_bytes
from alula.runtime.runs import Run
from alula.runtime.spans import Span

if TYPE_CHECKING:
    from alula.runtime.planning.work import ModelWork
    from alula.runtime.session import Session

_WALL, _ACCELERATOR = 1, 2
_HOST, _LINK, _WAITS = "host", "link", "waits for"
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

    A run's events begin where the wall clock's does, or where the run before it ends. Within a
    track they are sums of cycles, not their order.
    """
    if session.accelerator is None or session.design is None:
        return
    ran = [span for span in session.spans if span.kind == "compute" and span.accelerated]
    per_cycle = 1 / session.design.clock_hz
    now = 0.0
    for number, run in enumerate(session.runs):
        span = ran[min(number, len(ran) - 1)]
        now = max(now, span.start - zero)
        tracks, time_kind, bound = _cycles(session, run)
        longest = 0.0
        for track, parts in tracks.items():
            at = now
            for name, cycles in parts.items():
                shown = {
                    "clock": time_kind,
                    "cycles": cycles,
                    "phase": run.phase,
                    "bound": _part_bound(track, name, bound),
                    "submit_to_start_us": (span.start - span.submitted) * 1e6,
                }
                event = _event(name, track, at, cycles * per_cycle, shown)
                yield {**event, "pid": _ACCELERATOR}
                at += cycles * per_cycle
            longest = max(longest, at - now)
        now += longest


def _cycles(session: "Session", run: Run) -> tuple[Mapping[str, Mapping[str, float]], str, str]:
    """Return by track what the cycles of a run were, their kind, and what the whole waited for."""
    assert session.accelerator is not None
    found = session.accelerator.timeline(run)
    memory = found.accounts["memory"]
    bound = "memory" if memory > found.accounts["compute"] else "compute"
    engines: dict[str, dict[str, float]] = {}
    for name, cycles in run.counters.items():
        engine, dot, use = name.partition(".")
        if dot:
            engines.setdefault(engine, {})[use] = cycles
    if engines and run.counters.get("cycles"):
        return engines, "simulated cycles", bound
    tracks: dict[str, dict[str, float]] = {_WAITS: dict(found.accounts)}
    for engine, busy in found.busy.items():
        tracks[engine] = {"busy": busy, "other": found.cycles - busy}
    return tracks, "modelled cycles", bound


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
