"""What a run of a model on a design costs, by the cycle model: no weights, no RTL."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from alula.codegen import Plan, attempt
from alula.cost.bound import Sizes, bound
from alula.cost.fitted import ERROR
from alula.cost.run import time_program
from alula.design import Design
from alula.ir import Architecture, Precision
from alula.isa import RunInputs
from alula.isa.formats import GROUP
from alula.mapper import DoesNotFit

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Cost:
    """What a run costs: modelled, not measured.

    Attributes:
        cycles: core cycles from start to end.
        by_engine: core cycles in which each engine works, by its name; they overlap.
        accounts: core cycles by what the run waited for: compute, memory, issue (the sequencer)
            and dependency (latencies from one engine to the next). They add up to `cycles`.
        bytes_read, bytes_written: of memory.
        seconds: at the design's declared clock.
        bound: the fewest core cycles that any such machine takes (tier 0).
        error: the largest error that was found against RTL where nothing was fitted, as a share of
            the cycles.
    """

    cycles: float
    by_engine: dict[str, float]
    accounts: dict[str, float]
    bytes_read: float
    bytes_written: float
    seconds: float
    bound: float
    error: float

    @property
    def bytes(self) -> float:
        """Bytes that pass memory's ports, read and written."""
        return self.bytes_read + self.bytes_written


def predict(
    design: Design,
    shape: Architecture,
    phase: Phase,
    tokens: int = 1,
    position: int = 0,
    precision: Precision = Precision(),
    *,
    context: int | None = None,
    first_layer: int = 0,
    layers: int | None = None,
    embed: bool = True,
    head: bool = True,
) -> Cost:
    """Predict a run of a model on a design.

    Args:
        design: the accelerator.
        shape: of the model, such as one of `alula.ir.shapes.SHAPES` or of a checkpoint.
        phase: "prefill", of any number of tokens, or "decode", of one.
        tokens: that the run processes.
        position: tokens before them, in the KV cache.
        precision: formats of the weights.
        context: tokens that the program is made for; the least that holds the run if None.
        first_layer: of the part of the model that runs on this design.
        layers: of that part; all that follow if None.
        embed: whether the run starts from token ids, not from hidden states.
        head: whether it ends with the head, and a token; without, hidden states are stored.

    Raises:
        DoesNotFit: the design cannot run the model; the report names what would mend it.
        UnsupportedShape: no design can.
        ValueError: there are no such tokens or layers.
    """
    plan = plan_of(design, shape, phase, tokens, position, precision, context)
    inputs = run_inputs(
        shape, tokens, position, embed=embed, first_layer=first_layer, layers=layers, head=head
    )
    program = plan.decode if phase == "decode" else plan.prefill
    found = time_program(program, design, inputs.registers())
    least = _least(design, shape, inputs, precision)
    return Cost(
        cycles=found.cycles,
        by_engine=found.busy,
        accounts=found.accounts,
        bytes_read=found.bytes_read,
        bytes_written=found.bytes_written,
        seconds=found.cycles / design.clock_hz,
        bound=least,
        error=ERROR,
    )


def plan_of(
    design: Design,
    shape: Architecture,
    phase: Phase,
    tokens: int,
    position: int,
    precision: Precision,
    context: int | None,
) -> Plan:
    """Return the programs of a model on a design, for a run of so many tokens; kept.

    Raises:
        DoesNotFit, UnsupportedShape, ValueError: as of `predict`.
    """
    if phase not in ("prefill", "decode"):
        raise ValueError(f"phase must be prefill or decode, not {phase!r}")
    if phase == "decode" and tokens != 1:
        raise ValueError(f"tokens must be 1 in decode, not {tokens}")
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, not {tokens}")
    if position < 0:
        raise ValueError(f"position must be at least 0, not {position}")
    least = -(-(position + tokens) // GROUP) * GROUP
    key = design, shape, context or least, _Formats.of(precision)
    return _planned(*key)  # pyright: ignore[reportArgumentType]


def run_inputs(
    shape: Architecture,
    tokens: int,
    position: int,
    *,
    embed: bool = True,
    first_layer: int = 0,
    layers: int | None = None,
    head: bool = True,
) -> RunInputs:
    """Return the inputs of a run. ValueError if there are no such layers."""
    count = shape.layers - first_layer if layers is None else layers
    last = first_layer + count
    if first_layer < 0 or count < 0 or last > shape.layers:
        raise ValueError(f"layers must be within 0..{shape.layers}, not {first_layer}..{last}")
    return RunInputs(
        position=position,
        tokens=tokens,
        embed=embed,
        first_layer=first_layer,
        layers=count,
        head_rows=int(head),
        hidden_out=not head,
    )


def _least(design: Design, shape: Architecture, inputs: RunInputs, precision: Precision) -> float:
    """Cycles of the bound."""
    found = bound(
        Sizes.of(design),
        shape,
        position=inputs.position,
        tokens=inputs.tokens,
        precision=precision,
        layers=inputs.layers,
        head=inputs.head_rows > 0,
    )
    return float(found.cycles)


@dataclass(frozen=True)
class _Formats:
    """A precision that can be a key."""

    layers: str
    head: str
    matrices: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, precision: Precision) -> "_Formats":
        return cls(precision.layers, precision.head, tuple(sorted(precision.matrices.items())))

    @property
    def precision(self) -> Precision:
        return Precision(self.layers, self.head, dict(self.matrices))


@lru_cache(maxsize=256)
def _planned(design: Design, shape: Architecture, context: int, formats: _Formats) -> Plan:
    """The programs of a model on a design, not proved to be within limits that cost no time."""
    found = attempt(shape, design, context, formats.precision, proved=False)
    if not isinstance(found, Plan):
        raise DoesNotFit(found)
    return found
