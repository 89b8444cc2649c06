"""The pass that is to be run: numbers for the names of the table of passes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from alula.design import GROUP
from alula.gateware.arithmetic.float_format import LOG2E, ONE
from alula.gateware.control.command import carried, layout, opcode
from alula.gateware.sfu.address_generator import LEVELS, path
from alula.gateware.sfu.lane import route
from alula.gateware.sfu.passes import ACTIVATIONS, ROUTINES, After, LoopNest, Pass, Sink
from alula.gateware.sfu.scalar import Scalar
from alula.isa.instructions import Engine

plan = StructLayout(
    {
        "a": path,
        "b": path,
        "write": path,
        "uses_b": 1,
        "route": route,
        "writes": 1,
        "sums": 1,
        "scans": 1,
        "steps": 1,
        "activates": 1,
        "stages": 1,
        "after": After,
        "scalar": Scalar,
        "sets_s": 1,
        "s": 32,
        "sets_t": 1,
        "t": 32,
        "limited": 1,
        "limit": 17,
        "a_counted": 16,
        "b_counted": 16,
        "offset": 4,
        "words": 16,
        "absolute": 1,
        "last": 1,
    }
)
"""One pass, as `alula.gateware.sfu.passes.Pass`. `writes`, `sums`, `scans`, `steps`, `activates`,
`stages`: what its sink is, decoded; `scans` of both sinks that take words as they are read.
`words`: of `a`; `offset`: lane of the row's first element; `last`: the row's last pass."""

moves = StructLayout({"src": 16, "dst": 16, "elements": 1, "rows": 1, "heads": 1})
"""What changes between rows, as `alula.gateware.sfu.passes.Routine`."""


class SfuPlan(wiring.Component):
    """The pass number `step` of the row that is being worked on.

    What follows from the instruction alone is there two cycles after `command`, what follows from
    the row (`src`, `count`, `element`) a cycle after it: for these, nothing has to hold still but
    the instruction. The choice of the pass is combinational.

    Args:
        lanes: fp32 values of a word.

    Members:
        command (In): the instruction.
        step (In): number of the pass.
        src, dst (In): first words of the row.
        count (In): valid elements of the row.
        element (In): number of the row's first element.
        plan (Out): the pass.
        moves (Out): what changes after the row.
        row_words (Out): words of a row of `len` elements.
        groups (Out): groups of a row of QUANT or QUANTKV.
    """

    def __init__(self, *, lanes: int) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        self.lanes = lanes
        super().__init__(
            {
                "command": In(layout(Engine.MISC)),
                "step": In(2),
                "src": In(17),
                "dst": In(17),
                "count": In(17),
                "element": In(16),
                "plan": Out(plan),
                "moves": Out(moves),
                "row_words": Out(16),
                "groups": Out(12),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One case an instruction, one in it a pass."""
        m = Module()
        self.offset = Signal(4)
        named = self.quantities(m)
        chosen = Signal(range(len(ROUTINES)))
        with m.Switch(self.command.opcode):
            for number, name in enumerate(ROUTINES):
                with m.Case(opcode(name)):
                    m.d.sync += chosen.eq(number)
        with m.Switch(chosen):
            for place, routine in enumerate(ROUTINES.values()):
                with m.Case(place):
                    m.d.comb += [
                        self.moves.src.eq(named[routine.src]),
                        self.moves.dst.eq(named[routine.dst]),
                        self.moves.elements.eq(named[routine.elements]),
                        self.moves.rows.eq(routine.rows),
                        self.moves.heads.eq(routine.heads),
                    ]
                    with m.Switch(self.step):
                        for number, one in enumerate(routine.passes):
                            last = one is routine.passes[-1]
                            with m.Default() if last else m.Case(number):
                                self._set(m, one, named)
                                m.d.comb += self.plan.last.eq(last)
        return m

    def quantities(self, m: Module) -> dict[str | int, Value]:
        """The numbers that the table of passes names, beside the instruction's fields.

        A sum a cycle: those of the instruction and of the row, then those that build on them.
        """
        command, lane_bits = self.command, (self.lanes - 1).bit_length()

        def words(elements: Value) -> Value:
            return (elements + (self.lanes - 1)) >> lane_bits

        def kept(values: dict[str, Value]) -> dict[str, Signal]:
            found = {name: Signal(17, name=name, reset_less=True) for name in values}
            m.d.sync += [found[name].eq(value) for name, value in values.items()]
            return found

        grouped = Mux(carried(command.opcode, Engine.MISC, "len"), command.len, command.dim)
        more_rows = Mux(command.step, command.rows[:8] - Const(1, 8), 0)
        first = kept(
            {
                "row": words(command.len[:17]),
                "group_count": (grouped[:17] + (GROUP - 1)) >> 5,
                "last_count": command.len + more_rows,
                "b_words": Mux(command.broadcast, 0, command.words),
                "dim_words": words(command.dim),
                "src": self.src + (self.element >> lane_bits),
                "valid": words(self.count),
                "head_end": command.dim + self.element[:lane_bits],
                "head_words": words(command.dim + self.element[:lane_bits]),
            }
        )
        last_count = first["last_count"]
        second = kept(
            {
                "bias": command.gain + first["row"],
                "last_valid": words(last_count),
                "all": (((last_count + (GROUP - 1)) >> 5) << 5) >> lane_bits,
            }
        )
        m.d.comb += [
            self.row_words.eq(first["row"]),
            self.groups.eq(first["group_count"]),
            self.offset.eq(self.element[:lane_bits]),
        ]
        return {
            **{number: Const(number, 2) for number in range(3)},
            **{name: command[name] for name in layout(Engine.MISC).fields},
            **first,
            **second,
            "dst": self.dst,
            "elements": self.count,
            "whole": command.dim >> lane_bits,
            "half": command.dim >> lane_bits + 1,
            "group_words": Cat(Const(0, 5), self.groups) >> lane_bits,
            "zero": Const(0, 32),
            "one": Const(ONE, 32),
            "log2e": Const(LOG2E, 32),
            "": Const(0xFFFF, 32),
        }

    def _set(self, m: Module, one: Pass, named: dict[str | int, Value]) -> None:
        """Drive `plan` with a pass."""
        out, way = self.plan, self.plan.route
        self._addresses(m, "a", one.a, named)
        m.d.comb += [
            out.words.eq(named[one.a.loops[0][0]]),
            out.writes.eq(one.sink in (Sink.WRITE, Sink.WRITE_SUM)),
            out.sums.eq(one.sink in (Sink.SUM, Sink.WRITE_SUM)),
            out.scans.eq(one.sink in (Sink.MAX, Sink.STEPS)),
            out.steps.eq(one.sink is Sink.STEPS),
            out.activates.eq(one.sink is Sink.ACTIVATION),
            out.stages.eq(one.sink is Sink.STAGING),
            out.after.eq(one.after),
            out.scalar.eq(one.scalar),
            out.sets_s.eq(bool(one.s)),
            out.s.eq(named[one.s]),
            out.sets_t.eq(bool(one.t)),
            out.t.eq(named[one.t]),
            out.limited.eq(one.limited),
            out.limit.eq(named[one.limit]),
            out.absolute.eq(one.absolute),
            out.offset.eq(self.offset),
            out.a_counted.eq(named[one.a_counted]),
            out.b_counted.eq(named[one.b_counted]),
        ]
        if one.write:
            self._addresses(m, "write", one.write, named)
        if one.route is None:
            with m.Switch(self.command.func):
                for code, chosen in enumerate(ACTIVATIONS):
                    with m.Case(code):
                        m.d.comb += [way[field].eq(value) for field, value in chosen.items()]
        else:
            m.d.comb += [way[field].eq(value) for field, value in one.route.items()]
        if one.b:
            self._addresses(m, "b", one.b, named)
            m.d.comb += out.uses_b.eq(1)
        if one.b_if:
            there = self.command[one.b_if]
            m.d.comb += [out.uses_b.eq(there), way.gate.eq(there)]

    def _addresses(
        self, m: Module, name: str, way: LoopNest, named: dict[str | int, Value]
    ) -> None:
        loops = (*way.loops, *[(1, 0)] * (LEVELS - len(way.loops)))
        out = self.plan[name]
        m.d.comb += out.base.eq(named[way.base])
        for level, (count, stride) in enumerate(loops):
            m.d.comb += [
                out.counts[level].eq(named[count]),
                out.strides[level].eq(named[stride]),
            ]
