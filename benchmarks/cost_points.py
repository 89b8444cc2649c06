"""Runs on which the cycle model is compared with RTL, drawn by a seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from alula.cost.plans import Phase
from alula.design import Design, load_design
from alula.ir import Architecture, Precision
from alula.ir.shapes import SHAPES

CHANNELS = {
    "cores": 1,
    "memory.channels": 2,
    "memory.capacity_mib": 512,
    "buffers.stream_kib": 128,
    "buffers.vector_kib": 256,
}
"""A U280 of one core with two channels, which can be simulated in seconds."""
DENSE = ("W4", "W4", "W3", "W2", "W8")
SPARSE = tuple(f"{bits} {pattern}" for bits in ("W4", "W8") for pattern in ("2:4", "8:16", "4:16"))
_LONGEST = {"nano": 250, "nano-sparse": 250}
_BUDGET = 4_000_000
"""Cycles of a run at most, about: a minute of simulation."""


def designs() -> dict[str, Design]:
    """Return the designs, by name."""
    found = {name: load_design(name) for name in ("nano", "nano-sparse", "kv260")}
    return found | {"two channels": load_design("u280").replace(CHANNELS)}


@dataclass(frozen=True)
class CostPoint:
    """One run: what of which model on which design."""

    design: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    layers: int
    vocabulary: int
    weights: str
    phase: Phase
    tokens: int
    position: int

    @property
    def shape(self) -> Architecture:
        """The model's shape."""
        return replace(
            SHAPES["smollm2-135m"],
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            intermediate_size=self.intermediate,
            attention_scale=self.head_dim**-0.5,
            rope_inverse_frequencies=tuple(
                10000.0 ** (-2 * i / self.head_dim) for i in range(self.head_dim // 2)
            ),
        )

    @property
    def precision(self) -> Precision:
        """The formats of its weights."""
        return Precision(self.weights)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def points(seed: int, count: int) -> list[CostPoint]:
    """Return runs by design: all designs, both phases, lengths 1 to 2,000, dense and N:M."""
    random = Random(seed)
    found = [_drawn(random, number) for number in range(count)]
    return sorted(found, key=lambda point: list(designs()).index(point.design))


def _drawn(random: Random, number: int) -> CostPoint:
    """Point `number`; designs and phases take turns, and are drawn again if a run is too long."""
    names = list(designs())
    design = names[number % len(names)]
    large = design not in _LONGEST
    while True:
        kv_heads = random.choice((1, 2, 3, 4))
        point = CostPoint(
            design=design,
            hidden=random.randrange(64, 1025 if large else 257, 32),
            heads=kv_heads * random.choice((1, 2, 3, 4)),
            kv_heads=kv_heads,
            head_dim=random.choice((64, 128) if large else (32, 64)),
            intermediate=random.randrange(128, 3073 if large else 769, 32),
            layers=random.choice((1, 2, 3, 6)),
            vocabulary=random.randrange(500, 5000),
            weights=random.choice(SPARSE if design == "nano-sparse" and number % 8 < 4 else DENSE),
            phase="decode" if number // len(names) % 2 == 0 else "prefill",
            tokens=1,
            position=_length(random, _LONGEST.get(design, 2000)) - 1,
        )
        if point.phase == "prefill":
            point = replace(point, tokens=point.position + 1, position=0)
        if _cycles(point) < _BUDGET:
            return point


def _length(random: Random, longest: int) -> int:
    """Short and long ones alike: uniform in its logarithm."""
    return round(longest ** random.random())


def _cycles(point: CostPoint) -> float:
    """Core cycles of a run, roughly, of which the time of its simulation follows."""
    from alula.cost import Sizes, bound

    sizes = Sizes.of(designs()[point.design])
    found = bound(sizes, point.shape, position=point.position, tokens=point.tokens)
    return 1.5 * float(found.cycles)


def by_design(chosen: list[CostPoint]) -> Iterator[tuple[str, list[CostPoint]]]:
    """Yield each design with its runs."""
    for name in designs():
        if mine := [point for point in chosen if point.design == name]:
            yield name, mine
