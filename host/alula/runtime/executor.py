"""Runs a model by its split: segments in order, hidden states and KV crossing as they must."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from alula.runtime.errors import DeviceError
from alula.runtime.spans import Recorder, segment_name
from alula.runtime.split import Phase, Segment, Split, Target
from alula.runtime.worker import Output, Work, Worker


class Executor:
    """One sequence of tokens through the workers of a split.

    For each layer it knows which workers hold keys and values, and up to which token. Before a
    worker runs a layer, what it lacks is copied from the one that has it.

    Args:
        split: which target runs which unit.
        workers: a worker for each of the split's targets.

    Attributes:
        recorder: takes a span for everything that a worker does.
    """

    def __init__(self, split: Split, workers: Mapping[Target, Worker]) -> None:
        self._split = split
        self._workers = workers
        self._held: dict[int, dict[Target, int]] = {}
        self.recorder = Recorder()

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
        """
        for held in self._held.values():
            for target, length in held.items():
                held[target] = min(length, position)
        source: np.ndarray = np.array(ids, np.uint32)
        output = Output()
        for segment in self._split.segments(phase):
            self._bring_kv(phase, segment, position)
            worker, name = self._workers[segment.target], segment_name(segment)
            what = (segment.target, phase, segment, len(ids), position)
            with self.recorder.span("compute", name, *what), _told(segment):
                output = worker.run(segment, Work(phase, source, position, rows, logits))
            for layer in segment.layers:
                self._held.setdefault(layer, {})[segment.target] = position + len(ids)
            if output.hidden is not None:
                source = output.hidden
        return output

    def _bring_kv(self, phase: Phase, segment: Segment, position: int) -> None:
        """Give the segment's worker the keys and values of its layers up to `position`."""
        for layer in segment.layers:
            held = self._held.setdefault(layer, {})
            start = held.get(segment.target, 0)
            if start >= position:
                continue
            owner = max(held, key=lambda target: held[target])
            name = f"layers.{layer} from {owner}"
            what = (segment.target, phase, None, position - start, start)
            with self.recorder.span("keys and values", name, *what), _told(segment):
                rows = self._workers[owner].read_kv(layer, start, position)
                self._workers[segment.target].write_kv(layer, start, rows)
            held[segment.target] = position


@contextmanager
def _told(segment: Segment) -> Iterator[None]:
    """Tell with what fails in a device which units it was to run. DeviceError."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__module__.startswith("alula."):
            raise
        reason = " ".join(str(error).split())
        units = segment_name(segment)
        raise DeviceError(f"{units} on {segment.target} failed: {reason}") from error
