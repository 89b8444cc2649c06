"""Everything a program can change except the sequencer's registers."""

import numpy as np

from alula.design import Design
from alula.isa.effects import sizes
from alula.isa.kv import STAGING_VALUES, row_bytes
from alula.model.memory import Memory
from alula.model.stream import WeightStream


class State:
    """Memory, buffers and stream of a design, and the totals that handlers add up.

    Attributes:
        vector: float32, flat. `vector_bits` is the same as uint32.
        activations: q int8 [group, T, 32], scale uint8 and exponent int16 [group, T].
        staging, staging_scale: int8 [row, STAGING_VALUES] and bf16 bits [row].
        sizes: What formulas of effects know of the design.
        best, best_index: What ARGMAX found; the index is -1 before the first.
    """

    def __init__(self, design: Design) -> None:
        channel = design.memory.beat_bytes
        self.sizes = sizes(design)
        self.cores = design.cores
        self.rows = design.rows
        self.lanes = design.sfu.lanes
        self.tokens = design.mpe.tokens
        self.sparse = design.mpe.sparse
        self.vector_words = design.vector_words
        self.groups = design.activation_groups
        self.staging_bytes = design.staging_bytes
        self.accumulator_limit = 1 << design.mpe.accumulator_bits - 1
        self.memory = Memory(design.channel_bytes // channel, design.channels * channel, channel)
        self.stream = WeightStream(design.stream_beats)
        self._scratch: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
        self.clear()

    def clear(self) -> None:
        """All zeros."""
        self.memory.clear()
        self.stream.clear()
        self.vector = np.zeros(self.vector_words * self.lanes, np.float32)
        self.vector_bits = self.vector.view(np.uint32)
        self.activations = (
            np.zeros((self.groups, self.tokens, 32), np.int8),
            np.zeros((self.groups, self.tokens), np.uint8),
            np.zeros((self.groups, self.tokens), np.int16),
        )
        rows = self.staging_bytes // row_bytes(1)
        self.staging = np.zeros((rows, STAGING_VALUES), np.int8)
        self.staging_scale = np.zeros(rows, np.uint16)
        self.best = 0.0
        self.best_index = -1
        self.clear_totals()

    @property
    def buffers(self) -> tuple[np.ndarray, ...]:
        """All that a program changes and finds again, but for memory and ARGMAX's best."""
        return (self.vector, *self.activations, self.staging, self.staging_scale)

    def clear_totals(self) -> None:
        """Start counting from zero."""
        self.bytes_read = self.bytes_written = self.macs = 0

    def scratch(self, rows: int, groups: int) -> tuple[np.ndarray, ...]:
        """Room for the activations of a product: x, scales, sums, powers; x flat and scaled."""
        found = self._scratch.get((rows, groups))
        if found is None:
            if len(self._scratch) > 64:
                self._scratch.clear()
            found = self._scratch[rows, groups] = (
                np.empty((rows, groups, 32), np.int16),
                np.empty((rows, groups), np.int64),
                np.empty((rows, groups), np.int64),
                np.empty(rows, np.int64),
                np.empty((rows, 32 * groups), np.int16),
            )
        return found

    def words(self, elements: int) -> int:
        """Vector buffer words that hold so many elements."""
        return -(-elements // self.lanes)
