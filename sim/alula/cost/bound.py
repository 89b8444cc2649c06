"""Tier 0: what no machine of a size can be faster than, for whole spaces of designs at once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alula.cost.plans import Formats
from alula.design import Design
from alula.design.engines import BLOCK
from alula.ir import Architecture, Precision, build_graph
from alula.ir.padding import pad_heads
from alula.ir.precision import in_layer
from alula.isa.formula import numbers
from alula.mapper import Traffic, traffic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """What tier 0 knows of designs: a number, or an array of one for each.

    Attributes:
        bytes_per_cycle: of memory, all channels.
        rows: of a row block, all cores.
        tokens: rows of activations that share a pass of the weights.
    """

    bytes_per_cycle: ArrayLike
    rows: ArrayLike
    tokens: ArrayLike

    @classmethod
    def of(cls, design: Design) -> "Sizes":
        """Return those of a design."""
        return cls(design.bytes_per_cycle, design.rows, design.mpe.tokens)


@dataclass(frozen=True)
class LowerBounds:
    """Core cycles of runs that cannot be fewer.

    Attributes:
        memory: bytes over the bandwidth.
        compute: blocks of weights that pass the chains, and products of attention over the peak.
    """

    memory: Floats
    compute: Floats

    @property
    def cycles(self) -> Floats:
        """The larger of the two."""
        return np.maximum(self.memory, self.compute)


@dataclass(frozen=True)
class _Product:
    """A band of a matrix: results of a row, segments of its pattern, cycles of a row block."""

    outputs: int
    segments: int
    cycles: int


@dataclass(frozen=True)
class _Demand:
    layers: tuple[tuple[range, tuple[_Product, ...]], ...]
    """Runs of layers with the same formats, and the matrices of each of their layers."""
    head: tuple[_Product, ...]
    pairs: int
    """Products of a query and a cached position, in a layer."""
    traffic: Traffic


def bound(
    sizes: Sizes,
    shape: Architecture,
    *,
    position: ArrayLike,
    tokens: ArrayLike,
    precision: Precision = Precision(),
    first_layer: int = 0,
    layers: int | None = None,
    head: bool = True,
) -> LowerBounds:
    """Return the fewest cycles of runs, of arrays of any shapes that numpy broadcasts.

    Args:
        sizes: of the designs.
        shape: of the model.
        position: tokens before a run.
        tokens: tokens of a run.
        precision: formats of the weights.
        first_layer: the first layer that it goes through.
        layers: how many; all if None.
        head: whether it ends with the head, of one row.
    """
    demand = _demand(shape, Formats.of(precision))
    count = shape.layers - first_layer if layers is None else layers
    through = range(first_layer, first_layer + count)
    start, many = np.asarray(position, np.float64), np.asarray(tokens, np.float64)
    flow = demand.traffic
    read = flow.read(position=start, tokens=many, layers=through, head=head)  # type: ignore[arg-type]
    rows, shared = np.asarray(sizes.rows), np.asarray(sizes.tokens)
    passes = sum(_shared(run, through) * _blocks(products, rows) for run, products in demand.layers)
    compute = passes * np.ceil(many / shared)
    if head:
        compute = compute + _blocks(demand.head, rows)
    pairs = count * demand.pairs * many * (start + (many + 1) / 2)
    compute = compute + pairs / (rows * BLOCK * shared)
    return LowerBounds(read / np.asarray(sizes.bytes_per_cycle), compute)


def _shared(one: range, other: range) -> int:
    """How many layers two ranges have in common."""
    return len(range(max(one.start, other.start), min(one.stop, other.stop)))


def _blocks(products: tuple[_Product, ...], rows: NDArray[np.int64]) -> Floats:
    """Cycles in which the weights of a row of activations pass, a block a cycle."""
    return sum(-(-item.outputs // (item.segments * rows)) * item.cycles for item in products)  # type: ignore[return-value]


@lru_cache(maxsize=256)
def _demand(shape: Architecture, formats: Formats) -> _Demand:
    precision = formats.precision
    padded = pad_heads(shape)
    graph = build_graph(padded)

    def products(section: str, layer: int | None = None) -> tuple[_Product, ...]:
        found = []
        for node in graph.sections[section]:
            if node.op == "product":
                rows = graph.width(node.output)
                for band in precision.bands(in_layer(node.unit, layer), rows):
                    fmt = band.format
                    known = numbers({"fmt": fmt.name, "nm": fmt.pattern.name})
                    cycles = known["HALVES"] * graph.values[node.inputs[0]].groups
                    found.append(_Product(band.rows, known["P"], cycles))
        return tuple(found)

    units = [node.unit for node in graph.sections["layer"] if node.op == "product"]
    return _Demand(
        tuple(
            (range(first, first + layers), products("layer", first))
            for first, layers in precision.runs(units, shape.layers)
        ),
        products("head"),
        2 * padded.heads * padded.head_dim,
        traffic(shape, precision),
    )
