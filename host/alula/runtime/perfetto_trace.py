"""Trace events in Perfetto's own format, by Perfetto's own schema."""

from collections.abc import Mapping, Sequence
from typing import Any

from alula.runtime.errors import RunError

_SEQUENCE = 1
"""All packets are of one writer."""


def perfetto_bytes(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Return Chrome's trace events, "M" and "X" alone, as a trace of Perfetto.

    A process becomes a track with its threads below it. Each event is a slice whose annotations are
    the event's arguments.

    Raises:
        RunError: the package perfetto is not installed.
    """
    try:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
        from perfetto.trace_builder.proto_builder import TraceProtoBuilder
    except ImportError:
        raise RunError(
            "a trace must be a .json file, not .pftrace, where the package perfetto is missing"
            " (pip install 'alula[trace]')"
        ) from None
    builder = TraceProtoBuilder()
    for event in events:
        if event["ph"] == "M":
            process = event["name"] == "process_name"
            track = builder.add_packet().track_descriptor
            track.uuid = _uuid(event["pid"], 0 if process else event["tid"])
            track.name = event["args"]["name"]
            if not process:
                track.parent_uuid = _uuid(event["pid"], 0)
    for event, at, ends in _edges([event for event in events if event["ph"] == "X"]):
        packet = builder.add_packet()
        packet.timestamp = at
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.track_event.track_uuid = _uuid(event["pid"], event["tid"])
        if ends:
            packet.track_event.type = TrackEvent.TYPE_SLICE_END
            continue
        packet.track_event.type = TrackEvent.TYPE_SLICE_BEGIN
        packet.track_event.name = event["name"]
        packet.track_event.categories.append(event["cat"])
        for name, value in event["args"].items():
            note = packet.track_event.debug_annotations.add()
            note.name = name
            if isinstance(value, str):
                note.string_value = value
            elif value is not None:
                note.double_value = value
    return builder.serialize()


def _uuid(process: int, track: int) -> int:
    """Return a number for a track: of its process if `track` is 0."""
    return process << 32 | track + 1


def _edges(
    events: Sequence[Mapping[str, Any]],
) -> list[tuple[Mapping[str, Any], int, bool]]:
    """Return beginnings and ends of events, in nanoseconds, in order of time.

    At the same time what ends comes first, of what begins the longest, and of what ends the latest
    begun: slices of a track lie within one another.
    """
    edges = []
    for number, event in enumerate(events):
        start = round(event["ts"] * 1e3)
        stop = round((event["ts"] + event["dur"]) * 1e3)
        if stop == start:
            continue
        edges.append((start, 1, -stop, number, event))
        edges.append((stop, 0, -start, -number, event))
    edges.sort(key=lambda edge: edge[:4])
    return [(event, at, not begins) for at, begins, _, _, event in edges]
