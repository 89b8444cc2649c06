"""Programs of models on designs, from shapes alone; those that are alike are generated once."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from alula.codegen import ProgramPlan, attempt, generate
from alula.design import GROUP, Design
from alula.ir import Architecture, Graph, Precision
from alula.isa import Program, RunInputs
from alula.mapper import DoesNotFit, ModelPlacement

Phase = Literal["prefill", "decode"]
_KEPT = 256


@dataclass(frozen=True)
class Formats:
    """A precision that can be a key."""

    layers: str
    head: str
    matrices: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, precision: Precision) -> "Formats":
        """Return the formats of a precision."""
        return cls(precision.layers, precision.head, tuple(sorted(precision.matrices.items())))

    @property
    def precision(self) -> Precision:
        """The precision."""
        return Precision(self.layers, self.head, dict(self.matrices))


def plan_of(
    design: Design,
    shape: Architecture,
    phase: Phase,
    tokens: int,
    position: int,
    precision: Precision,
    context: int | None,
) -> ProgramPlan:
    """Return the programs of a model on a design, for a run of so many tokens.

    Raises:
        DoesNotFit: the design cannot run the model.
        UnsupportedShape: no design can.
        ValueError: there is no such run.
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
    key = design, shape, context or least, Formats.of(precision)
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


@lru_cache(maxsize=_KEPT)
def _planned(design: Design, shape: Architecture, context: int, formats: Formats) -> ProgramPlan:
    """The programs, not proved to be within limits that cost no time."""

    def make(graph: Graph, design: Design, placement: ModelPlacement) -> tuple[Program, Program]:
        key = _Generated(graph, design, placement, shape, formats)
        prefill, decode = _generated(key)
        return replace(prefill, design_hash=design.hash), replace(decode, design_hash=design.hash)

    found = attempt(shape, design, context, formats.precision, proved=False, make=make)
    if not isinstance(found, ProgramPlan):
        raise DoesNotFit(found)
    return found


class _Generated:
    """What programs are generated from, as a key: of a design only what its code depends on."""

    def __init__(
        self,
        graph: Graph,
        design: Design,
        placement: ModelPlacement,
        shape: Architecture,
        formats: Formats,
    ) -> None:
        self.parts = graph, design, placement
        buffers = placement.prefill
        self._key = (
            (shape, formats, placement.memory.context, placement.memory.chunk),
            (design.rows, design.sfu.lanes, design.mpe.tokens, design.bytes_per_cycle),
            (buffers.streams, buffers.rows, buffers.attention_rows, placement.decode.copies),
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Generated) and self._key == other._key


@lru_cache(maxsize=_KEPT)
def _generated(key: _Generated) -> tuple[Program, Program]:
    return generate(*key.parts)
