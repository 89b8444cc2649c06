"""What a family of chips is to Alula."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alula.chips.arcs import DelayModel
from alula.chips.nets import Nets
from alula.chips.use import Use

FamilyName = Literal["ultrascale+", "versal", "ecp5"]


@dataclass(frozen=True, kw_only=True)
class DspBlocks:
    """What one DSP block does, and how many the units of a core take.

    The counts are those of the gateware as synthesised (`alula synth`).

    Attributes:
        name: the block's name.
        int8_macs: INT8 products that one block makes a cycle.
        accumulator: blocks that scale and accumulate the groups of one chain and token.
        output: blocks of a lane of the output stage: an fp32 multiplier.
        lane: blocks of an SFU lane: two fp32 multipliers and that of a table.
        scalar: blocks of what an SFU has once: an fp32 multiplier, a table, an address.
        address: blocks in a core's LD and ST. pattern: more of them where weights have patterns.
        sequencer: blocks of the sequencer, which all cores share.
    """

    name: str
    int8_macs: int
    accumulator: int
    output: int
    lane: int
    scalar: int
    address: int
    pattern: int
    sequencer: int


@dataclass(frozen=True, kw_only=True)
class ChipFamily:
    """A family of chips.

    Attributes:
        name: as a design's `part.family` says it.
        title: with an article, for messages.
        order_number: what order numbers of its chips look like, whatever the case.
        example: one of them.
        dsp: its DSP blocks.
        multiplier: the `target` of the gateware: of multipliers, clock gates and fp32 units.
        table_words: up to so many words, Yosys makes a memory of look-up tables by itself.
        cells: what each kind of cell that Yosys makes takes of a chip.
        synthesis: what Yosys runs; ``-top`` and the module's name are added.
        delays: the arcs of each kind of cell, in ns.
        nets: what nets take, by setting: typical, fast and slow.
        flow: the tools that place and route, which constraints and scripts are written for.
    """

    name: FamilyName
    title: str
    order_number: str
    example: str
    dsp: DspBlocks
    multiplier: Literal["dsp48e2", "mult18x18d"]
    table_words: int
    cells: Mapping[str, Use]
    synthesis: str
    delays: Mapping[str, DelayModel]
    nets: Mapping[str, Nets]
    flow: Literal["vivado", "nextpnr"]

    def use_of(self, cells: Mapping[str, int]) -> Use:
        """Return what cells take, by how many there are of each kind. KeyError: one is unknown."""
        return sum((self.cells[kind] * count for kind, count in cells.items()), Use())
