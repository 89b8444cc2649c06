"""Whether a model fits a design, before anything is built: demand, bound and what would mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from alula.design import Design
from alula.ir import Architecture, Graph, Precision, build_graph
from alula.ir.padding import pad_heads
from alula.isa import FORMATS
from alula.isa.formats import GROUP
from alula.mapper.buffers import BufferMap, map_decode, map_prefill
from alula.mapper.memory import MemoryMap, map_memory


@dataclass(frozen=True)
class FitItem:
    """One resource: what the model needs of it, what the design has, and the levers."""

    resource: str
    phase: str
    demand: int
    bound: int
    unit: str
    levers: str

    @property
    def fits(self) -> bool:
        """Demand within the bound."""
        return self.demand <= self.bound


@dataclass(frozen=True)
class FitReport:
    """Demand against bound for every memory."""

    design: str
    context: int
    items: Sequence[FitItem]

    @property
    def fits(self) -> bool:
        """Everything fits."""
        return all(item.fits for item in self.items)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        items = [asdict(item) | {"fits": item.fits} for item in self.items]
        return {"design": self.design, "context": self.context, "fits": self.fits, "items": items}

    def table(self) -> str:
        """Text, a line a resource."""
        rows = [("resource", "phase", "demand", "bound", "used", "if it does not fit")]
        for item in self.items:
            used = f"{100 * item.demand / item.bound:.1f}%"
            demand, bound = (f"{value:,} {item.unit}" for value in (item.demand, item.bound))
            rows.append(
                (item.resource, item.phase, demand, bound, used, "" if item.fits else item.levers)
            )
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


class DoesNotFit(ValueError):
    """The model does not fit the design; `report` says where."""

    def __init__(self, report: FitReport) -> None:
        self.report = report
        worst = max(
            (item for item in report.items if not item.fits), key=lambda i: i.demand / i.bound
        )
        super().__init__(
            f"{worst.resource} ({worst.phase}) must be at most {worst.bound:,} {worst.unit} on "
            f"{report.design}, not {worst.demand:,}; {worst.levers}"
        )


def _memory_items(memory: MemoryMap, design: Design) -> list[FitItem]:
    beat = design.bytes_per_cycle
    capacity = design.channels * design.channel_bytes
    regions = memory.regions
    weights = sum(regions[name].beats for name in ("embed", "head", "layers", "position"))
    kv = regions["kv"].beats
    lever = "choose a design with more memory"
    return [
        FitItem("weights", "both", weights * beat, capacity, "bytes", lever),
        FitItem("KV cache", "both", kv * beat, capacity, "bytes", "choose a shorter --context"),
        FitItem(
            "memory",
            "both",
            memory.beats * beat,
            capacity,
            "bytes",
            lever + " or a shorter --context",
        ),
    ]


def _buffer_items(
    phase: str, buffers: BufferMap, memory: MemoryMap, design: Design
) -> list[FitItem]:
    staging = buffers.staging_rows * (memory.kv.head_dim + 2)
    return [
        FitItem(
            "vector buffer",
            phase,
            buffers.vector_words * design.vector_word_bytes,
            design.vector_words * design.vector_word_bytes,
            "bytes",
            "raise buffers.vector_kib, or lower prefill_chunk or --context",
        ),
        FitItem(
            "activation buffer",
            phase,
            buffers.activation_groups,
            design.activation_groups,
            "groups",
            "raise buffers.activation_kib, or lower prefill_chunk or --context",
        ),
        FitItem(
            "staging",
            phase,
            staging,
            design.staging_bytes,
            "bytes",
            "raise buffers.staging_kib or lower prefill_chunk",
        ),
    ]


def _stream_item(memory: MemoryMap, design: Design) -> FitItem:
    longest = max(
        matrix.format.beats(1, matrix.groups)
        for section in (memory.layer, memory.head)
        for matrix in section.matrices.values()
    )
    longest = max(longest, FORMATS["V8"].beats(1, memory.kv.context // GROUP))
    lever = "raise buffers.stream_kib: a row block is replayed from there"
    return FitItem("weight stream", "prefill", longest, design.stream_beats, "beats", lever)


def check_placement(
    graph: Graph, design: Design, context: int, precision: Precision
) -> tuple[MemoryMap, BufferMap, BufferMap, FitReport]:
    """Memory map, prefill and decode buffers, and the report on them."""
    memory = map_memory(graph, design, context, precision)
    prefill, decode = map_prefill(graph, design, memory), map_decode(graph, design, memory)
    architecture = graph.architecture
    limit = min(design.context_max, architecture.max_context)
    items = [
        FitItem("context", "both", context, limit, "positions", "choose a shorter --context"),
        *_memory_items(memory, design),
        *_buffer_items("prefill", prefill, memory, design),
        *_buffer_items("decode", decode, memory, design),
        _stream_item(memory, design),
    ]
    return memory, prefill, decode, FitReport(design.name, context, items)


def fit_report(
    architecture: Architecture, design: Design, context: int, precision: Precision = Precision()
) -> FitReport:
    """What a model of this shape needs of a design. UnsupportedShape if no design can run it."""
    return check_placement(build_graph(pad_heads(architecture)), design, context, precision)[3]
