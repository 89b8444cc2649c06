"""Whether an instruction has anything to do, and whether the SFU can do it."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.design.engines import MOST_ROW_GROUPS
from alula.gateware.buffers.ports import VECTOR_ADDRESS
from alula.gateware.control.command import carried, layout, opcode
from alula.gateware.control.fault import Code, Fault
from alula.gateware.sfu.passes import ROUTINES, Dim, Sink
from alula.isa.instructions import BY_NAME, MISC_COUNTS, Engine

_MISC = Engine.MISC
_COUNTS = {field: most.bit_length() for field, most in MISC_COUNTS.items()}
_PLACES = dict.fromkeys(
    ("src", "dst", "gain", "table", "scale", "a", "b", "stride"), VECTOR_ADDRESS
)
_FIELD_BITS = _COUNTS | _PLACES
"""Bits of each field that the hardware looks at: more than any design has."""


class SfuCheck(wiring.Component):
    """What can be said of an instruction before its first pass, two cycles after it is there.

    First each field is looked at, then what was found is sorted.

    Args:
        lanes: fp32 values of a word.

    Members:
        command (In): the instruction.
        groups (In): groups of a row of it, a cycle after it.
        nothing (Out): one of its counts is zero, or it is refused for its `dim`.
        refused (Out): it cannot be done.
        refusal (Out): why, a cycle after `refused`.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "command": In(layout(_MISC)),
                "groups": In(12),
                "nothing": Out(1),
                "refused": Out(1),
                "refusal": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Counts; what `dim` may be; sizes. The last that applies is reported."""
        m = Module()
        name, dim = self.command.opcode, self.command.dim
        zero, split = Signal(), Signal()
        lane_bits = (self.lanes - 1).bit_length()
        with m.Switch(name):
            for instruction, routine in ROUTINES.items():
                with m.Case(opcode(instruction)):
                    counts = BY_NAME[instruction].cycles.counts
                    none = [self.command[count][: _COUNTS.get(count)] == 0 for count in counts]
                    m.d.sync += zero.eq(Cat(none).any())
                    m.d.sync += split.eq(0)
                    if routine.dim is Dim.PAIRS:
                        m.d.sync += split.eq(dim[: lane_bits + 1].any() | (dim == 0))
                    elif routine.dim is Dim.WORDS:
                        parts = [1 << bit for bit in range(lane_bits)]
                        m.d.sync += split.eq(dim[:lane_bits].any() & ~dim.matches(*parts))
            with m.Default():
                m.d.sync += [zero.eq(1), split.eq(0)]
        beyond = {field: Signal(name=f"{field}_beyond") for field in _FIELD_BITS}
        m.d.sync += [
            beyond[field].eq((self.command[field] >> bits).any() & carried(name, _MISC, field))
            for field, bits in _FIELD_BITS.items()
        ]
        m.d.sync += self.nothing.eq(zero | split)
        self._sort(m, split & ~zero, beyond, zero | split)
        return m

    def _sort(self, m: Module, split: Value, beyond: dict[str, Signal], nothing: Value) -> None:
        """Say whether it is refused, and for the last of what was found."""
        quantised = [
            opcode(instruction)
            for instruction, routine in ROUTINES.items()
            if routine.passes[-1].sink is Sink.ACTIVATION
        ]
        found = [
            ("dim", split),
            *((at, flag & ~(nothing & (at not in _COUNTS))) for at, flag in beyond.items()),
            ("len", self.command.opcode.matches(*quantised) & (self.groups > MOST_ROW_GROUPS)),
        ]
        flags, last = Signal(len(found)), Signal(len(found))
        m.d.comb += flags.eq(Cat(flag for _, flag in found))
        m.d.sync += [
            self.refused.eq(flags.any()),
            last.eq(Cat(flags[i] & ~flags[i + 1 :].any() for i in range(len(found)))),
        ]
        details = [Mux(last[i], self.command[at], 0) for i, (at, _) in enumerate(found)]
        m.d.sync += [
            self.refusal.code.eq(Mux(last[0], Code.UNIMPLEMENTED, Code.OUT_OF_RANGE)),
            self.refusal.detail.eq(reduce(or_, details)),
        ]
