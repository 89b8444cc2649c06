"""Designs to synthesise: some that tell apart what modules grow with, others drawn by a seed."""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alula.design import Design, load_design

SEED, COUNT = 1, 6
ECP5_COUNT = 4
_MEMORIES = ((16, 1), (32, 1), (16, 2), (64, 1))
"""Bytes of a beat, and channels."""
_CHOSEN = (
    ((16, 1), 4, 2, False),
    ((64, 1), 8, 2, True),
    ((32, 1), 16, 4, False),
    ((16, 2), 4, 4, True),
)
"""Memory, lanes of the SFU, tokens of the MPE, whether it is sparse."""
_EMITTED: tuple[Mapping[str, Any], ...] = (
    {"memory.beat_bytes": 64, "memory.channels": 2, "sfu.lanes": 16, "buffers.vector_kib": 1024},
    {"memory.beat_bytes": 32, "memory.channels": 2, "mpe.tokens": 8, "mpe.sparse": True},
    {"memory.beat_bytes": 32, "memory.channels": 2, "cores": 2, "sfu.lanes": 16},
    {"memory.beat_bytes": 64, "memory.ports": 2, "mpe.tokens": 4, "sfu.lanes": 16},
    {"memory.beat_bytes": 16, "memory.channels": 4, "sfu.lanes": 8, "mpe.sparse": True},
)
"""What is only emitted, to see how modules grow."""
_ECP5: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (
        "tiny",
        {
            "memory.beat_bytes": 8,
            "mpe.tokens": 4,
            "buffers.stream_kib": 48,
            "buffers.vector_kib": 192,
            "buffers.activation_kib": 16,
        },
    ),
    ("nano", {"mpe.sparse": True, "sfu.lanes": 2, "buffers.vector_kib": 32}),
    ("nano", {"memory.beat_bytes": 8, "mpe.sparse": True, "sfu.lanes": 8}),
    ("nano", {"memory.beat_bytes": 8, "sfu.lanes": 8, "buffers.vector_kib": 128}),
)
"""Of an ECP5, and the shipped design that each is made from."""
_ECP5_HELD_OUT = (
    (2, 2, False),
    (2, 2, True),
    (2, 4, True),
    (4, 2, False),
    (4, 2, True),
    (4, 4, False),
)
"""Lanes, tokens and whether it is sparse, of what an ECP5-85F has room for beside `_ECP5`."""
_ROOM = {
    "memory.capacity_mib": 64,
    "mpe.sparse": False,
    "prefill_chunk": 8,
    "buffers.stream_kib": 32,
    "buffers.vector_kib": 256,
    "buffers.activation_kib": 128,
    "buffers.staging_kib": 32,
}


@dataclass(frozen=True)
class Chosen:
    """A design to synthesise: the shipped one it is made from, and what is changed of it."""

    base: str
    changes: Mapping[str, Any]
    held_out: bool = False
    emitted: bool = False
    """It need not be synthesised."""

    @property
    def design(self) -> Design:
        """The design."""
        return load_design(self.base).replace(self.changes)


def planned() -> Iterator[Chosen]:
    """Yield the designs that are fitted to: small ones that ship, and changed ones."""
    for name in ("nano", "tiny", "nano-sparse", "kv260", "kv260-sparse"):
        yield Chosen(name, {})
    for memory, lanes, tokens, sparse in _CHOSEN:
        yield _changed(memory, lanes, tokens, sparse)
    for base, changes in _ECP5:
        yield Chosen(base, changes)
    for changes in _EMITTED:
        yield Chosen("nano-sparse", {**_ROOM, **changes}, emitted=True)


def drawn(seed: int = SEED, count: int = COUNT) -> Iterator[Chosen]:
    """Yield held-out designs, the same ones of the same seed; none is one that is fitted to."""
    space = [
        sizes
        for sizes in itertools.product(_MEMORIES, (4, 8, 16), (2, 4), (False, True))
        if sizes not in _CHOSEN and sizes != ((16, 1), 4, 2, True)
    ]
    for sizes in random.Random(seed).sample(space, count):
        yield _changed(*sizes, held_out=True)
    yield from _drawn_ecp5(random.Random(seed))


def _drawn_ecp5(draw: random.Random) -> Iterator[Chosen]:
    """Their buffers are drawn too."""
    for lanes, tokens, sparse in draw.sample(_ECP5_HELD_OUT, ECP5_COUNT):
        changes = {
            "memory.beat_bytes": 8,
            "mpe.tokens": tokens,
            "mpe.sparse": sparse,
            "sfu.lanes": lanes,
            "buffers.stream_kib": draw.choice((8, 16, 32)),
            "buffers.vector_kib": lanes * draw.choice((16, 32)),
            "buffers.activation_kib": tokens * draw.choice((8, 16)),
            "buffers.staging_kib": draw.choice((4, 8, 16)),
        }
        yield Chosen("tiny", changes, held_out=True)


def _changed(
    memory: tuple[int, int], lanes: int, tokens: int, sparse: bool, *, held_out: bool = False
) -> Chosen:
    """Change nano-sparse. Buffers keep their depth: modules of several designs are the same."""
    beat, channels = memory
    wide = beat * channels // 16
    changes = {
        "memory.beat_bytes": beat,
        "memory.channels": channels,
        "memory.capacity_mib": 16 * wide,
        "mpe.tokens": tokens,
        "mpe.sparse": sparse,
        "sfu.lanes": lanes,
        "buffers.stream_kib": 8 * wide,
        "buffers.vector_kib": 16 * lanes,
        "buffers.activation_kib": 16 * tokens,
    }
    return Chosen("nano-sparse", changes, held_out)
