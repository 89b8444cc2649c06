"""Times of an accelerator from its design: the cycles of its memory and of its matrix engine."""

from alula.design import load_design
from alula.mapper import traffic
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Estimate, Request
from alula.runtime.planning.work import UnitWork
from alula.runtime.split import Phase


class Cycles:
    """An estimator of an accelerator: a lower bound of its cycles at the clock of its design.

    A step takes the cycles in which memory can deliver what it must read, or in which the matrix
    engine can multiply, whichever are more. A prompt's weights are read once a chunk.
    """

    def __init__(self, request: Request) -> None:
        assert request.record.design is not None
        self._design = load_design(request.record.design)
        if request.model.architecture is None:
            raise PlanError(
                f"the model must be one that Alula compiles, not {request.model.name}"
                f" ({request.name})"
            )
        self._traffic = traffic(request.model.architecture)

    def estimate(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> Estimate:
        """Return the time of one step; see `Estimator.estimate`."""
        design, moved = self._design, self._traffic
        chunks = -(-tokens // design.prefill_chunk) if unit.kind != "head" else 1
        weights = {
            "embed": tokens * moved.embedding,
            "head": moved.head,
            "layer": chunks * moved.layer,
        }
        read = weights[unit.kind] + (chunks * held + tokens / 2 * (chunks - 1)) * unit.kv_contract
        cycles = {
            "memory": read / design.bytes_per_cycle,
            "compute": unit.products(phase, tokens, held) / design.macs_per_cycle,
        }
        bound = max(cycles, key=lambda name: cycles[name])
        return Estimate(cycles[bound] / design.clock_hz, bound, "estimated")
