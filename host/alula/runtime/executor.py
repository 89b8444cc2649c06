"""Runs a model by its split: segments in order, hidden states and KV crossing as they must.

In a long prompt devices work at once, each on a piece of its own. Keys and values that decode needs
elsewhere leave layer by layer, while the prompt is still being read.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from alula.runtime.checking import UnitCheck
from alula.runtime.courier import Courier
from alula.runtime.pipeline import run_stages
from alula.runtime.spans import Span, SpanRecorder, segment_name
from alula.runtime.split import ACCEL, Phase, Segment, Split, Target
from alula.runtime.station import Station
from alula.runtime.worker import PROMPT_STEP, Floats, Ids, Output, Work, Worker

_PIECES_WAITING = 2
_DELIVERIES_WAITING = 1024
"""A delivery holds no data, only what it is of: a device does not wait for it to be made."""
_NOTHING = Output()


@dataclass(frozen=True)
class _Piece:
    """Tokens on their way through the segments.

    Attributes:
        source: what the next segment takes.
        position: tokens before these.
        rows: how many of the last go through the head.
        logits: whether the logits of these rows are wanted.
        output: what the last segment left.
    """

    source: Ids | Floats
    position: int
    rows: int
    logits: bool
    output: Output = _NOTHING


class Executor:
    """One sequence of tokens through the workers of a split.

    For each layer it knows which workers hold keys and values, and up to which token. Before a
    worker runs a layer, what it lacks is copied from the one that has it.

    Args:
        split: which target runs which unit.
        workers: a worker for each of the split's targets.
        limit_s: seconds that a worker's call may take; None: no limit.
        streams: whether keys and values that decode needs elsewhere leave while a prompt is read,
            else between the phases.
        rewinds: whether tokens may be forgotten from the end; else only all of them, since keys and
            values that the tokens before them attended to may be gone.

    Attributes:
        rewinds: `rewinds`.
        recorder: takes a span for everything that a worker does.
    """

    def __init__(
        self,
        split: Split,
        workers: Mapping[Target, Worker],
        limit_s: float | None = None,
        *,
        streams: bool = True,
        rewinds: bool = True,
    ) -> None:
        self.rewinds = rewinds
        self._streams = streams
        self._split = split
        self._stations = {
            target: Station(target, worker, limit_s) for target, worker in workers.items()
        }
        self._held: dict[int, dict[Target, int]] = {}
        self._needed_by = {
            layer: segment.target for segment in split.decode for layer in segment.layers
        }
        self._courier = Courier(_DELIVERIES_WAITING)
        self.recorder = SpanRecorder()
        self._check: UnitCheck | None = None

    @property
    def accelerated(self) -> bool:
        """Whether units run on the accelerator."""
        return ACCEL in self._split.targets

    def forward(
        self,
        phase: Phase,
        ids: Sequence[int],
        position: int,
        rows: int = 1,
        logits: bool = False,
    ) -> Output:
        """Run every unit for some tokens.

        Args:
            phase: "prefill", or "decode" for exactly one token.
            ids: the tokens, at least one.
            position: tokens before these, which have been run. What was run beyond is forgotten.
            rows: how many of the last tokens go through the head.
            logits: whether the logits of these rows are wanted.

        Returns:
            The largest logit's id of the last token, and the logits if asked for.

        Raises:
            DeviceError: a device failed; the message names its units.
        """
        self._begin(phase, position)
        piece = _Piece(np.array(ids, np.uint32), position, rows, logits)
        for segment in self._split.segments(phase):
            piece = self._through(phase, segment, False, piece)
        return piece.output

    def prefill(
        self,
        ids: Sequence[int],
        position: int,
        *,
        logits: bool = False,
        streams: bool = True,
        done: Callable[[int], None] = lambda tokens: None,
    ) -> Output:
        """Run every unit for a prompt, `PROMPT_STEP` tokens at a time.

        Args:
            ids: the tokens, at least one.
            position: tokens before these; see `forward`.
            logits: whether the logits of the last token are wanted.
            streams: whether keys and values that decode needs elsewhere leave at once, if any do.
            done: called after each piece but the last with how many tokens have been run. What it
                raises ends the prompt.

        Returns:
            See `forward`.

        Raises:
            DeviceError: a device failed; the message names its units.
        """
        starts = range(0, len(ids), PROMPT_STEP)
        streams = streams and self._streams
        self._begin("prefill", position)
        pieces = [
            _Piece(
                np.array(ids[start : start + PROMPT_STEP], np.uint32),
                position + start,
                rows=1,
                logits=logits and start == starts[-1],
            )
            for start in starts
        ]
        stages = [
            partial(self._through, "prefill", segment, streams) for segment in self._split.prefill
        ]
        output = _NOTHING
        with closing(run_stages(stages, pieces, _PIECES_WAITING)) as running:
            for number, piece in enumerate(running, 1):
                output = piece.output
                if number < len(pieces):
                    done(number * PROMPT_STEP)
        return output

    @contextmanager
    def checked_by(self, check: UnitCheck | None) -> Iterator[None]:
        """Compare what workers leave within the block with torch, from a text's first token on."""
        self._courier.settle()
        self._check = check
        try:
            yield
        finally:
            if check is not None:
                self._courier.settle()
            self._check = None

    def _begin(self, phase: Phase, position: int) -> None:
        """Forget what was run from a position on, as soon as nothing is on its way any more.

        What could not be delivered is reported where it is missed, in decode; a prompt that follows
        instead brings its own.
        """
        failure = self._courier.settle()
        if failure is not None and phase == "decode":
            raise failure
        for held in self._held.values():
            for target, length in held.items():
                held[target] = min(length, position)

    def _through(self, phase: Phase, segment: Segment, streams: bool, piece: _Piece) -> _Piece:
        """Run a segment for a piece, and return what the next one takes."""
        self._bring_kv(phase, segment, piece.position)
        target, count = segment.target, len(piece.source)
        stop = piece.position + count
        complete: dict[int, float] = {}

        def on_layer(layer: int) -> None:
            if layer not in complete:
                complete[layer] = time.perf_counter()
                self._held.setdefault(layer, {})[target] = stop
                if streams and self._needed_by[layer] != target:
                    self._courier.send(partial(self._deliver, layer, target, stop))

        work = Work(phase, piece.source, piece.position, piece.rows, piece.logits, on_layer)
        what = (target, phase, segment, count, piece.position)
        with self.recorder.span("compute", segment_name(segment), *what) as begin:
            output = self._stations[target].run(segment, work, begin)
        if phase == "prefill":
            self._note_layers(complete, *what)
        for layer in segment.layers:
            on_layer(layer)
        if self._check is not None:
            self._check.ran(segment, work, output, self._stations[target].read_kv)
        source = piece.source if output.hidden is None else output.hidden
        return replace(piece, source=source, output=output)

    def _note_layers(
        self,
        ends: Mapping[int, float],
        target: Target,
        phase: Phase,
        segment: Segment,
        tokens: int,
        position: int,
    ) -> None:
        """Record the layers whose ends a worker reported, but the first, whose start is unknown."""
        for (_, start), (layer, end) in pairwise(ends.items()):
            one = Segment(target, False, range(layer, layer + 1), False)
            what = (target, phase, one, tokens, position)
            self.recorder.add(Span("layer", segment_name(one), *what, start, start, end - start))

    def _deliver(self, layer: int, owner: Target, stop: int) -> None:
        """Give the worker that decodes a layer the keys and values up to `stop`."""
        self._copy_kv("prefill", layer, owner, self._needed_by[layer], stop)

    def _bring_kv(self, phase: Phase, segment: Segment, position: int) -> None:
        """Give the segment's worker the keys and values of its layers up to `position`."""
        for layer in segment.layers:
            held = self._held.setdefault(layer, {})
            if held.get(segment.target, 0) < position:
                owner = max(held, key=lambda target: held[target])
                self._copy_kv(phase, layer, owner, segment.target, position)

    def _copy_kv(self, phase: Phase, layer: int, owner: Target, taker: Target, stop: int) -> None:
        held = self._held[layer]
        start = held.get(taker, 0)
        what = (taker, phase, None, stop - start, start)
        with self.recorder.span("keys and values", f"layers.{layer} from {owner}", *what) as begin:
            rows = self._stations[owner].read_kv(layer, start, stop, begin)
            self._stations[taker].write_kv(layer, start, rows)
        if self._check is not None:
            self._check.took(taker, layer, start, rows)
        held[taker] = stop
