"""What a run of a model on a design costs, by the cycle model: no weights, no RTL."""

from dataclasses import dataclass

from alula.cost.bound import Sizes, bound
from alula.cost.fitted import ERROR
from alula.cost.plans import Phase, plan_of, run_inputs
from alula.cost.run import time_program
from alula.design import Design
from alula.ir import Architecture, Precision
from alula.isa import RunInputs


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
        DoesNotFit: the design cannot run the model; the report names what would fix it.
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


def _least(design: Design, shape: Architecture, inputs: RunInputs, precision: Precision) -> float:
    """Cycles of the bound."""
    found = bound(
        Sizes.of(design),
        shape,
        position=inputs.position,
        tokens=inputs.tokens,
        precision=precision,
        first_layer=inputs.first_layer,
        layers=inputs.layers,
        head=inputs.head_rows > 0,
    )
    return float(found.cycles)
