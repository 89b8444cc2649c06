"""Number formats in memory: constants, and how many beats a matrix takes and where each part lies.

Symbols as in docs/architecture.md: `R` rows of a row block, `G` groups of 32 inputs in a row.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BLOCK",
    "EXCESS",
    "FORMATS",
    "GROUP",
    "METAS_PER_BEAT",
    "MIN_UNIT",
    "PARTIAL_SUMS",
    "Q_MAX",
    "SCALES_PER_BEAT",
    "SCALE_MAX",
    "WeightFormat",
]

BLOCK = 16
"""Inputs of a block: the multipliers of one chain."""
GROUP = 32
"""Inputs that share a scale: of weights, with a min, and of activations."""
SCALE_MAX = 255
"""Largest scale of a group, of weights or of activations."""
Q_MAX = 127
"""Largest magnitude of an 8-bit value."""
EXCESS = 8
"""What is subtracted from a stored 4-bit value."""
MIN_UNIT = 4
"""A 4-bit group's min counts in units of this many steps of the row's scale."""
PARTIAL_SUMS = 64
"""Partial sums of SUM."""
SCALES_PER_BEAT = 4
"""Row blocks whose bf16 scales fill one beat."""
METAS_PER_BEAT = 4
"""Groups (of a whole row block) whose scales and mins fill one beat."""


@dataclass(frozen=True)
class WeightFormat:
    """A weight format and the order of its beats in the weight stream.

    `bits` of a value; `scales`: rows have a bf16 factor; `metas`: groups have a scale and a min.
    """

    name: str
    bits: int
    scales: bool
    metas: bool

    @property
    def beats_per_group(self) -> int:
        """Value beats of one group of one row block."""
        return self.bits // 2

    def beats(self, blocks: int, groups: int) -> int:
        """Beats of `blocks` row blocks of `groups` groups each, packed."""
        count = blocks * groups
        return self._sum(-(-blocks // SCALES_PER_BEAT), -(-count // METAS_PER_BEAT), count)

    def scale_beat(self, block: int, groups: int) -> int:
        """Beat that holds the scales of row block `block`; only where there are `scales`."""
        first = block - block % SCALES_PER_BEAT
        index = first * groups
        return self._sum(first // SCALES_PER_BEAT, index // METAS_PER_BEAT, index)

    def meta_beat(self, block: int, group: int, groups: int) -> int:
        """Beat that holds the scale and min of a group; only where there are `metas`."""
        index = block * groups + group
        index -= index % METAS_PER_BEAT
        scales = index // groups // SCALES_PER_BEAT + 1
        return self._sum(scales, index // METAS_PER_BEAT, index)

    def value_beat(self, block: int, group: int, groups: int) -> int:
        """First beat of a group's values."""
        index = block * groups + group
        return self._sum(block // SCALES_PER_BEAT + 1, index // METAS_PER_BEAT + 1, index)

    def _sum(self, scales: int, metas: int, groups: int) -> int:
        """Beats of so many scale beats, meta beats (as far as the format has them) and groups."""
        return scales * self.scales + metas * self.metas + groups * self.beats_per_group


FORMATS = {
    item.name: item
    for item in (
        WeightFormat("W4", 4, scales=True, metas=True),
        WeightFormat("W8", 8, scales=True, metas=False),
        WeightFormat("V8", 8, scales=False, metas=False),
    )
}
"""The formats that programs may use today; W3 and W2 have codes but are refused."""
