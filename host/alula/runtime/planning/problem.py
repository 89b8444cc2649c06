"""What is decided: a chain of units, the devices, and what each choice takes, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from alula.runtime.planning.handover import Backlog, Streaming, Table
from alula.runtime.split import PHASES, Phase

Placement = Mapping[Phase, Sequence[int]]
"""For each phase the index of the device of each unit."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A request, which is a prompt and its answer, on devices.

    Hidden states cross where neighbours run on different devices. Keys and values of a unit cross
    once where its two devices differ: all of them between the phases, or layer by layer while the
    prompt is still being read. Token ids go from the head's device to the embedding's.

    Attributes:
        units: their names, in order.
        devices: their names.
        work: for each phase [units, devices], seconds; inf where a unit may not run.
        hops: for each phase [from, to], seconds for the hidden states of the whole phase.
        moves: [units, from, to], seconds for keys and values of the prompt.
        streaming: how these leave while the prompt is read; None: between the phases.
        ids: [from, to], seconds for one token id.
        steps: tokens that are decoded.
        memory: [units, devices], bytes of weights, keys and values.
        shared: [devices], bytes of the last unit that the first has, too.
        capacity: [devices], bytes; inf without limit.
    """

    units: tuple[str, ...]
    devices: tuple[str, ...]
    work: Mapping[Phase, Table]
    hops: Mapping[Phase, Table]
    moves: Table
    streaming: Streaming | None = None
    ids: Table
    steps: int
    memory: Table
    shared: Table
    capacity: Table

    @property
    def covered(self) -> Table:
        """[units, devices], seconds of prefill under which keys and values may move."""
        if self.streaming is None:
            return np.zeros_like(self.memory)
        work = self.work["prefill"]
        return np.where(self.streaming.shared & np.isfinite(work), work, 0.0)


@dataclass(frozen=True)
class Price:
    """What a placement takes.

    Attributes:
        work: for each phase, seconds of computing on each device.
        hidden: for each phase, seconds of hidden states on their way.
        moved: seconds of keys and values on their way.
        waited: of these, seconds that decode waits for.
        ids: seconds of token ids on their way.
        memory: bytes held on each device.
    """

    work: Mapping[Phase, tuple[float, ...]]
    hidden: Mapping[Phase, float]
    moved: float
    waited: float
    ids: float
    memory: tuple[float, ...]

    @property
    def prefill_s(self) -> float:
        """Seconds of computing in prefill."""
        return sum(self.work["prefill"])

    @property
    def decode_s(self) -> float:
        """Seconds of computing in decode, all steps."""
        return sum(self.work["decode"])

    @property
    def transfer_s(self) -> float:
        """Seconds of everything that crosses between devices and is waited for."""
        return sum(self.hidden.values()) + self.waited + self.ids

    @property
    def crossing_s(self) -> float:
        """Seconds that the links are busy, whether anything waits for them or not."""
        return sum(self.hidden.values()) + self.moved + self.ids

    @property
    def total_s(self) -> float:
        """Seconds from the prompt to the last token, one thing after the other."""
        return self.prefill_s + self.decode_s + self.transfer_s

    @property
    def first_token_s(self) -> float:
        """Seconds from the prompt to the first token."""
        return self.prefill_s + self.hidden["prefill"]


def price(problem: Problem, placement: Placement) -> Price:
    """Return what a placement takes, as `Problem` says it."""
    devices = range(len(problem.devices))
    before, after = placement["prefill"], placement["decode"]
    work = {
        phase: tuple(
            float(
                sum(problem.work[phase][unit, one] for unit, one in enumerate(chosen) if one == d)
            )
            for d in devices
        )
        for phase, chosen in placement.items()
    }
    hidden = {
        phase: float(sum(problem.hops[phase][one, other] for one, other in pairwise(chosen)))
        for phase, chosen in placement.items()
    }
    pairs = list(zip(before, after, strict=True))
    returned = problem.ids[before[-1], after[0]] + problem.steps * problem.ids[after[-1], after[0]]
    memory = [
        float(sum(problem.memory[unit, d] for unit, pair in enumerate(pairs) if d in pair))
        - (float(problem.shared[d]) if d in pairs[0] and d in pairs[-1] else 0.0)
        for d in devices
    ]
    return Price(
        work={phase: work[phase] for phase in PHASES},
        hidden={phase: hidden[phase] for phase in PHASES},
        moved=float(sum(problem.moves[unit, a, b] for unit, (a, b) in enumerate(pairs))),
        waited=_waited(problem, pairs),
        ids=float(returned),
        memory=tuple(memory),
    )


def _waited(problem: Problem, pairs: Sequence[tuple[int, int]]) -> float:
    """Return the seconds that decode waits for keys and values."""
    moves = [problem.moves[unit, a, b] for unit, (a, b) in enumerate(pairs)]
    streaming = problem.streaming
    if streaming is None:
        return float(sum(moves))
    backlog, last = Backlog.empty(1), pairs[0][0]
    for unit, (here, _) in enumerate(pairs):
        backlog = backlog.after(
            begins=np.array([here != last]),
            covered=problem.covered[unit, here, None],
            moved=np.array([moves[unit]]),
            by_layer=streaming.by_layer[here, None],
        )
        last = here
    return float(backlog.waited(streaming.pieces)[0])
