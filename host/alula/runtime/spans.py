"""What happened when: a span for everything that a worker or a link did, by the wall clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from alula.runtime.split import Phase, Segment, Target

Kind = Literal["compute", "layer", "keys and values", "answer"]


@dataclass(frozen=True)
class Span:
    """Something that took time.

    Attributes:
        kind: computing on a target, a layer of it, keys and values on their way to one, or a whole
            answer.
        name: what was done.
        target: what did it; of keys and values what took them; None of an answer.
        phase: in which phase; None of an answer.
        segment: the units that were run; None if none were.
        tokens: how many it was for.
        position: tokens before these.
        submitted: seconds of `time.perf_counter` at which all that it needs was there.
        start: the same at which it began.
        seconds: how long.
    """

    kind: Kind
    name: str
    target: Target | None
    phase: Phase | None
    segment: Segment | None
    tokens: int
    position: int
    submitted: float
    start: float
    seconds: float

    @property
    def end(self) -> float:
        """Seconds of `time.perf_counter` at the end."""
        return self.start + self.seconds

    @property
    def accelerated(self) -> bool:
        """Whether it is the accelerator's."""
        return self.target is not None and self.target.kind == "accel"


@dataclass
class SpanRecorder:
    """Takes spans as they end.

    Attributes:
        spans: in the order of their ends.
    """

    spans: list[Span] = field(default_factory=list)

    def add(self, span: Span) -> None:
        """Take a span that is over."""
        self.spans.append(span)

    @contextmanager
    def span(
        self,
        kind: Kind,
        name: str,
        target: Target | None = None,
        phase: Phase | None = None,
        segment: Segment | None = None,
        tokens: int = 0,
        position: int = 0,
    ) -> Iterator[Callable[[], None]]:
        """Record the block; one that raises is no span.

        Gives what is called when it begins after it had to wait; else it begins at once.
        """
        submitted = start = time.perf_counter()

        def begin() -> None:
            nonlocal start
            start = time.perf_counter()

        yield begin
        seconds = time.perf_counter() - start
        self.add(
            Span(kind, name, target, phase, segment, tokens, position, submitted, start, seconds)
        )


def segment_units(segment: Segment) -> list[str]:
    """Return the names of a segment's units in order."""
    return [
        *(["embed"] if segment.embed else []),
        *(f"layers.{index}" for index in segment.layers),
        *(["head"] if segment.head else []),
    ]


def segment_name(segment: Segment) -> str:
    """Return a segment's units in a few letters."""
    layers = segment.layers
    names = ["embed"] if segment.embed else []
    if layers:
        first, last = layers[0], layers[-1]
        names.append(f"layers.{first}" if first == last else f"layers.{first}-{last}")
    return ", ".join([*names, *(["head"] if segment.head else [])])
