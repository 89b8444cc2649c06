"""The sizes that everything in the matrix engine shares."""

from dataclasses import dataclass

from alula.design import Design
from alula.design.engines import output_width
from alula.gateware.matrix.accumulator import ACCUMULATOR_BITS
from alula.gateware.matrix.chain import TOKENS
from alula.gateware.matrix.reason import NUMBER_BITS
from alula.gateware.stream.weight_stream import MOST_SEGMENTS


@dataclass(frozen=True, kw_only=True)
class MatrixSizes:
    """Sizes of a core's matrix engine, and of the buffers and the stream beside it.

    Attributes:
        rows: Rows of a block in this core: chains.
        block_rows: Rows of a block in all cores.
        tokens: Activation rows of a pass, a power of two, at least 2.
        lanes: Results of a vector buffer word, a power of two.
        groups: Groups of the activation buffer.
        words: Words of the vector buffer.
        stream_beats: Beats of the weight stream.
        channels: Memory channels of this core.
        accumulator_bits: Width that accumulators must fit.
        sparse: Weights may have a pattern.

    Raises:
        ValueError: A size that cannot be.
    """

    rows: int
    block_rows: int
    tokens: int
    lanes: int
    groups: int
    words: int
    stream_beats: int
    channels: int = 1
    accumulator_bits: int = ACCUMULATOR_BITS
    sparse: bool = False

    def __post_init__(self) -> None:
        channels, rows = self.channels, self.rows
        numbers, bits = range(2, 1 << NUMBER_BITS), range(32, ACCUMULATOR_BITS + 1)
        for name, holds, expected in (
            ("tokens", self.tokens >= TOKENS and _power(self.tokens), "a power of two, at least 2"),
            ("channels", channels >= 1, "at least 1"),
            ("rows", _multiple(rows, channels), f"a multiple of channels ({channels})"),
            ("block_rows", _multiple(self.block_rows, rows), f"a multiple of rows ({rows})"),
            ("lanes", _power(self.lanes), "a power of two"),
            ("groups", self.groups in numbers, f"2 to {numbers[-1]}"),
            ("words", self.words in numbers, f"2 to {numbers[-1]}"),
            ("stream_beats", self.stream_beats >= 1, "at least 1"),
            ("accumulator_bits", self.accumulator_bits in bits, f"32 to {bits[-1]}"),
        ):
            if not holds:
                raise ValueError(f"{name} must be {expected}, not {getattr(self, name)}")

    @classmethod
    def of(cls, design: Design) -> "MatrixSizes":
        """Return those of a design's cores."""
        return cls(
            rows=design.chains_per_core,
            block_rows=design.rows,
            tokens=design.mpe.tokens,
            lanes=design.sfu.lanes,
            groups=design.activation_groups,
            words=design.vector_words,
            stream_beats=design.stream_beats,
            channels=design.channels_per_core,
            accumulator_bits=design.mpe.accumulator_bits,
            sparse=design.mpe.sparse,
        )

    @property
    def segments(self) -> int:
        """The most segments of a row block."""
        return MOST_SEGMENTS if self.sparse else 1

    @property
    def width(self) -> int:
        """Results a cycle."""
        return output_width(
            rows=self.rows, block_rows=self.block_rows, tokens=self.tokens, lanes=self.lanes
        )

    @property
    def cycles(self) -> int:
        """Cycles in which the results of a segment of a row block are written."""
        return self.rows * self.tokens // self.width


def _power(number: int) -> bool:
    return number >= 1 and number & number - 1 == 0


def _multiple(number: int, factor: int) -> bool:
    return number >= factor >= 1 and number % factor == 0
