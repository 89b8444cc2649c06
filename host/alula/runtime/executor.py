"""Runs a model by its split: segments in order, hidden states and KV crossing as they must."""

from collections.abc import Mapping, Sequence

import numpy as np

from alula.runtime.split import Phase, Segment, Split, Target
from alula.runtime.worker import Output, Work, Worker


class Executor:
    """One sequence of tokens through the workers of a split.

    For each layer it knows which workers hold keys and values, and up to which token. Before a
    worker runs a layer, what it lacks is copied from the one that has it.

    Args:
        split: which target runs which unit.
        workers: a worker for each of the split's targets.
    """

    def __init__(self, split: Split, workers: Mapping[Target, Worker]) -> None:
        self._split = split
        self._workers = workers
        self._held: dict[int, dict[Target, int]] = {}

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
            self._bring_kv(segment, position)
            worker = self._workers[segment.target]
            output = worker.run(segment, Work(phase, source, position, rows, logits))
            for layer in segment.layers:
                self._held.setdefault(layer, {})[segment.target] = position + len(ids)
            if output.hidden is not None:
                source = output.hidden
        return output

    def _bring_kv(self, segment: Segment, position: int) -> None:
        """Give the segment's worker the keys and values of its layers up to `position`."""
        for layer in segment.layers:
            held = self._held.setdefault(layer, {})
            start = held.get(segment.target, 0)
            if start >= position:
                continue
            owner = max(held, key=lambda target: held[target])
            rows = self._workers[owner].read_kv(layer, start, position)
            self._workers[segment.target].write_kv(layer, start, rows)
            held[segment.target] = position
