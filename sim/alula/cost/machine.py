"""What the cycle model knows of a design: latencies, sizes, memory."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alula.cost.fitted import FITTED
from alula.cost.kernels import timeline
from alula.cost.listing import issue_cycles
from alula.cost.memory import MemoryTerm, memory_term
from alula.design import Design
from alula.gateware.control.queue import LATENCY as QUEUE
from alula.gateware.stream.weight_stream import ring_depths
from alula.gateware.top.latencies import latencies, sizes
from alula.isa.formats import BeatKind, WeightFormat


@dataclass(frozen=True)
class TimedDesign:
    """A design as the cycle model sees it.

    Attributes:
        known: what the contract's formulas need, by name, but an instruction's own: cycles, sizes.
        issue: the sequencer's cycles of each instruction, by its name.
        memory: how reads and writes wait, and how fast a stream is.
        latencies: those of `alula.cost.kernels.timeline`, in cycles.
        depths: beats that each ring of the weight stream holds.
        beat_bytes: of a beat, all channels.
        channels: of memory, that writes are spread over.
        chains: that a channel feeds.
    """

    known: dict[str, int]
    issue: dict[str, int]
    memory: MemoryTerm
    latencies: np.ndarray
    depths: dict[BeatKind, int]
    beat_bytes: int
    channels: int
    chains: int

    def share(self, item: WeightFormat, blocks: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The share of the weight stream's places that matrices need, of their scarcest ring."""
        shares = [
            item.count(kind, blocks, groups) / depth  # pyright: ignore[reportArgumentType]
            for kind, depth in self.depths.items()
        ]
        return np.maximum.reduce(shares)


@lru_cache(maxsize=1024)
def machine(design: Design) -> TimedDesign:
    """Return what the cycle model knows of a design."""
    term = memory_term(design)
    known = latencies(design) | sizes(design)
    known |= {"READ": round(term.read), "ACK": round(term.write)}
    numbers = np.zeros(timeline.LATENCIES)
    for place, value in {
        timeline.READ: term.read,
        timeline.BEAT: term.beat,
        timeline.STORE: max(0.0, term.store - term.spare * FITTED["run"]),
        timeline.FIFO: QUEUE - 1,
        timeline.ASK_ROW: FITTED["ask_row"],
        timeline.ASK_MATRIX: FITTED["ask_matrix"],
        timeline.DELIVER: FITTED["deliver"],
        timeline.GAP: FITTED["gap"],
        timeline.BEGIN: FITTED["begin"],
        timeline.FINISH: known["PRODUCT"] - FITTED["begin"] + FITTED["finish"],
        timeline.FREE: FITTED["free"],
        timeline.STARTED: FITTED["started"],
        timeline.HELD_ROW: FITTED["held_row"],
        timeline.HELD_MATRIX: FITTED["held_matrix"],
        timeline.ENDED: FITTED["ended"],
    }.items():
        numbers[place] = value
    depths = ring_depths(design.stream_beats, sparse=design.mpe.sparse)
    return TimedDesign(
        known,
        issue_cycles(known),
        term,
        numbers,
        depths,
        design.bytes_per_cycle,
        design.channels,
        design.chains_per_channel,
    )
