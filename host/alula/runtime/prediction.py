"""What the hardware would do: bounds, and what the cycle model says."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from alula.codegen import Build
from alula.cost import time_program
from alula.cost.fitted import ERROR
from alula.design import Design
from alula.isa import RunInputs
from alula.mapper import Traffic
from alula.runtime.runs import Run

_LENGTHS = (1, 512, 2048)
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


@dataclass(frozen=True)
class Modelled:
    """A decoded token by the cycle model.

    Attributes:
        tokens: in the context, this one among them.
        predicted_cycles: of it.
        accounts: the same by what the token waited for: compute, memory, issue, dependency.
        tokens_per_s: at the clock.
        clock_mhz: the best known clock, and how it is known (`clock`).
        clock: placed, estimated or declared.
        error: the largest error of the model against RTL that was found, as a share.
    """

    tokens: int
    predicted_cycles: float
    accounts: dict[str, float]
    tokens_per_s: float
    clock_mhz: float
    clock: str
    error: float

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line for people."""
        largest = max(self.accounts, key=lambda name: self.accounts[name])
        share = self.accounts[largest] / self.predicted_cycles
        return (
            f"{self.tokens:>6,} tokens: {self.predicted_cycles:,.0f} cycles a token, "
            f"{self.tokens_per_s:,.1f} tokens/s at {self.clock_mhz:.0f} MHz ({self.clock}), "
            f"{share:.0%} {largest}"
        )


def modelled(build: Build) -> Iterator[Modelled]:
    """Yield a decoded token at some lengths up to the context that a model is compiled for."""
    from alula.synth.clock import clock_of

    clock = clock_of(build.design)
    lengths = {length for length in _LENGTHS if length < build.context} | {build.context}
    for length in sorted(lengths):
        inputs = RunInputs(position=length - 1, tokens=1, layers=build.architecture.layers)
        found = time_program(build.decode, build.design, inputs.registers())
        rate = clock.mhz * 1e6 / found.cycles
        yield Modelled(length, found.cycles, found.accounts, rate, clock.mhz, clock.source, ERROR)


def predicted_cycles(design: Design, runs: Sequence[Run]) -> float:
    """Return the cycles that a design would take for all runs, by the cycle model."""
    return sum(time_program(run.program, design, run.inputs).cycles for run in runs)


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
