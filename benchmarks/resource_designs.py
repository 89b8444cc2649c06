"""Designs to synthesise: some that tell apart what modules grow with, others drawn by a seed."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alula.design import Design, DesignError, load_design

SEED, COUNT = 1, 6
_SMALL = {"memory.capacity_mib": 64, "prefill_chunk": 8}
_AXES = (
    "memory.beat_bytes", "memory.channels", "cores", "memory.ports", "mpe.tokens", "mpe.sparse",
    "sfu.lanes", "buffers.stream_kib", "buffers.vector_kib", "buffers.activation_kib",
    "buffers.staging_kib",
)  # fmt: skip
_CHOSEN = (
    (16, 1, 1, 1, 2, False, 4, 8, 64, 32, 4),
    (32, 1, 1, 2, 4, False, 8, 32, 128, 64, 16),
    (32, 2, 1, 1, 2, False, 16, 64, 256, 128, 32),
    (64, 1, 1, 1, 4, True, 4, 64, 64, 64, 16),
    (16, 2, 1, 1, 8, True, 8, 16, 256, 128, 16),
    (16, 2, 2, 1, 2, False, 16, 8, 512, 32, 64),
)
_DRAWN: Mapping[str, tuple[Any, ...]] = {
    "memory.beat_bytes": (16, 32, 64),
    "memory.channels": (1, 2),
    "cores": (1, 2),
    "memory.ports": (1, 2, 4),
    "mpe.tokens": (2, 4),
    "mpe.sparse": (False, True),
    "sfu.lanes": (4, 8, 16),
    "buffers.stream_kib": (16, 32, 64),
    "buffers.vector_kib": (64, 128, 256, 512),
    "buffers.activation_kib": (32, 64, 128),
    "buffers.staging_kib": (8, 16, 32),
}
_MOST_CHAINS = 8
"""Of a core: designs of more take an hour."""


@dataclass(frozen=True)
class Chosen:
    """A design to synthesise: the shipped one it is made from, and what is changed of it."""

    base: str
    changes: Mapping[str, Any]
    held_out: bool

    @property
    def design(self) -> Design:
        """The design."""
        return load_design(self.base).replace(self.changes)


def planned() -> Iterator[Chosen]:
    """Yield the designs that are fitted to: small ones that ship, and changed ones."""
    for name in ("nano", "tiny", "nano-sparse", "kv260", "kv260-sparse"):
        yield Chosen(name, {}, held_out=False)
    for values in _CHOSEN:
        yield Chosen("nano-sparse", _SMALL | dict(zip(_AXES, values, strict=True)), held_out=False)


def drawn(seed: int = SEED, count: int = COUNT) -> Iterator[Chosen]:
    """Yield held-out designs, the same ones of the same seed."""
    random_ = random.Random(seed)
    while count:
        changes = _SMALL | {key: random_.choice(values) for key, values in _DRAWN.items()}
        chosen = Chosen("nano-sparse", changes, held_out=True)
        try:
            design = chosen.design
        except DesignError:
            continue
        if design.chains_per_core <= _MOST_CHAINS:
            count -= 1
            yield chosen
