"""Number formats in memory: constants, and how many beats a matrix takes and where each part lies.

Symbols as in docs/explanation/machine.md: `R` rows of a row block, `G` groups of 32 inputs in a
row.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from alula.design import BLOCK

SCALE_MAX = 255
"""Largest scale of a group, of weights or of activations."""
Q_MAX = 127
"""Largest magnitude of an 8-bit value."""
EXCESS = 8
"""What is subtracted from a stored 4-bit value."""
MIN_UNIT = 4
"""A group's min counts in units of this many steps of the row's scale."""
PARTIAL_SUMS = 64
"""Partial sums of SUM."""
QUARTERS = 4
"""Quarters of a beat: the unit in which parts of a matrix are counted, 16 bits for each chain."""
SCALES_PER_BEAT = 4
"""Row blocks whose bf16 scales fill one beat, without a pattern."""


class BeatKind(IntEnum):
    """What a beat of a weight matrix holds."""

    VALUE = 0
    META = 1
    SCALE = 2
    INDEX = 3


STREAM_ORDER = (BeatKind.SCALE, BeatKind.META, BeatKind.VALUE, BeatKind.INDEX)
"""What comes first where several kinds are due before the same group."""


@dataclass(frozen=True)
class SparsityPattern:
    """N:M sparsity: of every `of` inputs in a row, `kept` have a weight, the others' are 0.

    The 16 values of a chain's block are those of `segments` rows, one of each segment of a row
    block: segment p of row block b is where row block ``b * segments + p`` of a dense matrix
    would.
    """

    name: str
    kept: int
    of: int

    @property
    def segments(self) -> int:
        """Rows whose values share a chain; a row block has this many times R rows."""
        return self.of // self.kept

    @property
    def index_bits(self) -> int:
        """Bits that say which of the `of` inputs a value belongs to; 0 without a pattern."""
        return (self.of - 1).bit_length() if self.segments > 1 else 0


DENSE = SparsityPattern("dense", BLOCK, BLOCK)
PATTERNS = {
    item.name: item
    for item in (
        DENSE,
        SparsityPattern("2:4", 2, 4),
        SparsityPattern("2:16", 2, 16),
        SparsityPattern("4:16", 4, 16),
        SparsityPattern("8:16", 8, 16),
    )
}
"""The patterns by the name that `nm` gives them, in the order of their codes."""


@dataclass(frozen=True)
class WeightFormat:
    """A weight format and the order of its beats in the weight stream.

    `bits` of a value; `scales`: rows have a bf16 factor; `metas`: groups have a scale and, without
    a pattern, a min. Values of groups with a min are unsigned, those with a pattern signed.
    """

    name: str
    bits: int
    scales: bool
    metas: bool
    pattern: SparsityPattern = DENSE

    @property
    def title(self) -> str:
        """`W4`, `W4 2:4`."""
        return self.name if self.pattern is DENSE else f"{self.name} {self.pattern.name}"

    @property
    def excess(self) -> int:
        """What is subtracted from a stored value; 0: it is signed."""
        return 1 << self.bits - 1 if self.metas and self.pattern is DENSE else 0

    def quarters(self, kind: BeatKind) -> int:
        """Quarters of a beat that a group takes, of SCALE a row block."""
        match kind:
            case BeatKind.VALUE:
                return 2 * self.bits
            case BeatKind.INDEX:
                return 2 * self.pattern.index_bits
            case BeatKind.META:
                return max(2, self.pattern.segments) // 2 if self.metas else 0
            case BeatKind.SCALE:
                return self.pattern.segments if self.scales else 0

    def count(self, kind: BeatKind, blocks: int, groups: int) -> int:
        """Beats of a kind in `blocks` row blocks of `groups` groups each, packed."""
        runs = blocks if kind is BeatKind.SCALE else blocks * groups
        return -(-runs * self.quarters(kind) // QUARTERS)

    def beats(self, blocks: int, groups: int) -> int:
        """Beats of `blocks` row blocks of `groups` groups each, packed."""
        return sum(self.count(kind, blocks, groups) for kind in BeatKind)

    def place(self, kind: BeatKind, number: int, groups: int) -> int:
        """Return the place of beat `number` of a kind; the arguments may be numpy arrays too.

        A beat comes before the first group that needs it, in `STREAM_ORDER`.
        """
        first = QUARTERS * number // self.quarters(kind)
        group = first * groups if kind is BeatKind.SCALE else first
        found = number
        earlier = 1
        for other in STREAM_ORDER:
            if other is kind:
                earlier = 0
            elif other is BeatKind.SCALE:
                found = found + self.count(other, group // groups + 1, groups)
            else:
                found = found + self.count(other, 1, group + earlier)
        return found

    def start(self, kind: BeatKind, block: int, group: int, groups: int) -> tuple[int, int]:
        """Beat and quarter in which that part of a group begins; of SCALE `group` is ignored."""
        run = block if kind is BeatKind.SCALE else block * groups + group
        number, quarter = divmod(run * self.quarters(kind), QUARTERS)
        return self.place(kind, number, groups), quarter


FORMATS = {
    item.name: item
    for item in (
        WeightFormat("W4", 4, scales=True, metas=True),
        WeightFormat("W8", 8, scales=True, metas=False),
        WeightFormat("V8", 8, scales=False, metas=False),
        WeightFormat("W3", 3, scales=True, metas=True),
        WeightFormat("W2", 2, scales=True, metas=True),
    )
}
"""The formats without a pattern by the name that `fmt` gives them, in the order of their codes."""
WEIGHT_FORMATS = {
    (item.name, pattern.name): replace(item, pattern=pattern)
    for item in FORMATS.values()
    for pattern in PATTERNS.values()
    if item.scales or pattern is DENSE
}
"""Every format by `fmt` and `nm`."""
MATRIX_FORMATS = {item.title: item for item in WEIGHT_FORMATS.values() if item.scales}
"""The formats of weight matrices by title: all but V8, which is that of cached values."""
