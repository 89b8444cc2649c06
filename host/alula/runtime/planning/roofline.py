"""Times from a device's figures: what it multiplies or what it reads, whichever takes longer.

Williams, Waterman and Patterson, "Roofline", CACM 52 (2009).
"""

from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Estimate, Request
from alula.runtime.planning.work import UnitWork
from alula.runtime.split import Phase


class Roofline:
    """An estimator from peak and bandwidth.

    A step reads its weights once, and the keys and values that are held; it writes its own.
    """

    def __init__(self, request: Request) -> None:
        record = request.record
        if record.bandwidth_gbs is None or record.computes not in record.peak_tops:
            raise PlanError(
                f"a roofline must have peak_tops of {record.computes} and bandwidth_gbs, not less"
                f" ({request.name})"
            )
        self._record = record
        self._bytes_per_s = record.bandwidth_gbs * 1e9 * record.efficiency
        self._macs_per_s = record.peak_tops[record.computes] * 1e12 / 2 * record.efficiency

    def estimate(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> Estimate:
        """Return the time of one step; see `Estimator.estimate`."""
        record = self._record
        moved = unit.read_bytes(record.format, tokens) + (held + tokens) * unit.kv_bytes(
            record.keeps
        )
        times = {
            "memory": moved / self._bytes_per_s,
            "compute": unit.products(phase, tokens, held) / self._macs_per_s,
        }
        bound = max(times, key=lambda name: times[name])
        launch = record.launch_us * 1e-6
        bound = bound if times[bound] > launch else "launch"
        return Estimate(max(times.values()) + launch, bound, "estimated")
