"""What runs a segment of a model: the protocol, and what passes from one to the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alula.runtime.split import Phase, Segment

PROMPT_STEP = 256
"""Tokens of a prompt that run, and cross, at once."""

Ids = NDArray[np.uint32]
Floats = NDArray[np.float32]


def ignore(layer: int) -> None:
    """Stand for `Work.on_layer` where nobody waits for a layer."""


@dataclass(frozen=True)
class KvRows:
    """Keys and values of some tokens in one layer, in the contract's format.

    Attributes:
        k: int8 [tokens, kv_heads, head_dim], rope applied.
        k_scale: float32 that is bf16, [tokens, kv_heads].
        v: int8 [tokens, kv_heads, head_dim].
        v_scale: float32 that is bf16, [tokens, kv_heads].
    """

    k: NDArray[np.int8]
    k_scale: Floats
    v: NDArray[np.int8]
    v_scale: Floats

    def __len__(self) -> int:
        return len(self.k)


@dataclass(frozen=True)
class Work:
    """Some tokens that a segment is run for.

    Attributes:
        phase: "decode" is always one token.
        source: token ids [tokens] if the segment has the embedding, else hidden states
            [tokens, hidden_size].
        position: tokens before these; keys and values of each layer are held up to here, and
            what is held beyond is forgotten.
        rows: how many of the last tokens go through the head, at least 1.
        logits: whether the logits of these rows are wanted.
        on_layer: may be called with the number of a layer whose keys and values are complete, in
            order; those of the other layers are complete when the work is done.
    """

    phase: Phase
    source: Ids | Floats
    position: int
    rows: int
    logits: bool
    on_layer: Callable[[int], None] = ignore


@dataclass(frozen=True)
class Output:
    """What a segment leaves.

    Attributes:
        hidden: hidden states of all tokens, [tokens, hidden_size]; None after the head.
        token: the id with the largest logit of the last token; None without the head.
        logits: [rows, vocab_size] of the last rows, if asked for.
    """

    hidden: Floats | None = None
    token: int | None = None
    logits: Floats | None = None


class Worker(Protocol):
    """Runs segments on one target and keeps the keys and values of the layers it ran."""

    @property
    def shared(self) -> bool:
        """Whether keys and values of tokens that were run may be read and written meanwhile."""
        ...

    def run(self, segment: Segment, work: Work) -> Output:
        """Run the segment's units for some tokens."""
        ...

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        """Return keys and values of the tokens from `start` up to `stop`, which are held."""
        ...

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Take keys and values of the tokens from `start` on; those before it are held."""
        ...
