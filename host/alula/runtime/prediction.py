"""What the hardware would do, as far as it can be said without simulating its time: bounds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from alula.design import Design
from alula.mapper import Traffic
from alula.runtime.runs import Run

_RAN = "bound: bytes read in the machine model over the bandwidth, products over the MACs"
_MOVED = "bound: bytes that any design must read over the bandwidth"


@dataclass(frozen=True)
class Prediction:
    """Bounds of a decoded token on a design, at the clock that the design declares.

    Attributes:
        position: tokens before it; the mean of several.
        decode_cycles_at_least: cycles of it; the real number is larger.
        tokens_per_s_at_most: tokens a second at the clock; the real number is smaller.
        bytes_per_token: bytes read from memory for it.
        clock_mhz: the clock.
        clock: where the clock is from: "declared" by the design, not found by tools.
        source: how the numbers were found.
    """

    position: float
    decode_cycles_at_least: float
    tokens_per_s_at_most: float
    bytes_per_token: float
    clock_mhz: int
    clock: str
    source: str

    def as_dict(self) -> dict[str, object]:
        """Return the prediction as plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line for people."""
        return (
            f"behind {self.position:,.0f} tokens at least {self.decode_cycles_at_least:,.0f} "
            f"cycles a token, at most {self.tokens_per_s_at_most:,.1f} tokens/s at "
            f"{self.clock_mhz} MHz ({self.clock}), {self.bytes_per_token:,.0f} bytes read"
        )


def predicted(design: Design, traffic: Traffic, position: int) -> Prediction:
    """Return the bounds of a token that the whole model decodes on a design.

    Args:
        design: the accelerator.
        traffic: what the model must move.
        position: tokens before it.
    """
    read = traffic.read(position=position, tokens=1)
    return _bound(design, read, 0, position, _MOVED)


def predicted_of(design: Design, runs: Sequence[Run]) -> Prediction | None:
    """Return the bounds of the tokens that were decoded; None if none was on the accelerator.

    They are means over the tokens, of the units that ran on the accelerator.
    """
    decoded = [run for run in runs if run.phase == "decode"]
    positions = {run.position for run in decoded}
    if not positions:
        return None
    count = len(positions)
    read, macs = (sum(run.counters[name] for run in decoded) for name in ("bytes_read", "macs"))
    return _bound(design, read / count, macs / count, sum(positions) / count, _RAN)


def _bound(design: Design, read: float, macs: float, position: float, source: str) -> Prediction:
    cycles = max(read / design.bytes_per_cycle, macs / design.macs_per_cycle)
    return Prediction(
        position=position,
        decode_cycles_at_least=cycles,
        tokens_per_s_at_most=design.clock_hz / cycles,
        bytes_per_token=read,
        clock_mhz=design.clock_mhz,
        clock="declared",
        source=source,
    )
