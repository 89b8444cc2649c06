"""The pass that is to be run: numbers for the names of the table of passes."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from alula.design import GROUP
from alula.gateware.arithmetic.float_format import LOG2E, ONE
from alula.gateware.control.command import carried, layout, opcode
from alula.gateware.sfu.address_generator import LEVELS, path
from alula.gateware.sfu.lane import route
from alula.gateware.sfu.passes import ACTIVATIONS, ROUTINES, After, Number, Pass, Sink
from alula.gateware.sfu.scalar import Scalar
from alula.isa.instructions import Engine

_known = StructLayout(
    {
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
        "sets_t": 1,
        "limited": 1,
        "absolute": 1,
        "last": 1,
    }
)
"""What a pass says that is no number."""

plan = StructLayout(
    {
        "a": path,
        "b": path,
        "write": path,
        "s": 32,
        "t": 32,
        "limit": 17,
        "a_counted": 16,
        "b_counted": 16,
        "offset": 4,
        "words": 16,
        **_known.members,
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
    the instruction. Which pass it is, is decoded a cycle after `step`: then a number of the plan is
    one of those that the table of passes names, a register choosing each.

    Args:
        lanes: fp32 values of a word.

    Members:
        command (In): the instruction.
        step (In): number of the pass.
        src, dst (In): first words of the row.
        count (In): valid elements of the row.
        element (In): number of the row's first element.
        plan (Out): the pass.
        moves (Out): what changes after the row, three cycles after `command`; registers.
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
        named, lane_bits = self.quantities(m), (self.lanes - 1).bit_length()
        chosen, known = Signal(range(len(ROUTINES))), Signal(_known)
        choices = _choices()
        picks = {
            field: Signal(len(names), name="_".join(field)) for field, names in choices.items()
        }
        m.d.sync += [register.eq(0) for register in (known.as_value(), *picks.values())]
        with m.Switch(self.command.opcode):
            for number, name in enumerate(ROUTINES):
                with m.Case(opcode(name)):
                    m.d.sync += chosen.eq(number)
        with m.Switch(chosen):
            for place, routine in enumerate(ROUTINES.values()):
                with m.Case(place):
                    m.d.sync += [
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
                                self._decode(m, one, known)
                                m.d.sync += known.last.eq(last)
                                m.d.sync += [
                                    picks[field].eq(1 << choices[field].index(name))
                                    for field, name in _numbers(one).items()
                                ]
        m.d.comb += [self.plan[name].eq(known[name]) for name in _known.members]
        m.d.comb += self.plan.offset.eq(self.element[:lane_bits])
        for field, names in choices.items():
            there = [Mux(picks[field][i], named[name], 0) for i, name in enumerate(names)]
            m.d.comb += _field(self.plan, field).eq(reduce(or_, there))
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

    def _decode(self, m: Module, one: Pass, known: View) -> None:
        """Say of a pass what is no number."""
        way = known.route
        m.d.sync += [
            known.uses_b.eq(one.b is not None),
            known.writes.eq(one.sink in (Sink.WRITE, Sink.WRITE_SUM)),
            known.sums.eq(one.sink in (Sink.SUM, Sink.WRITE_SUM)),
            known.scans.eq(one.sink in (Sink.MAX, Sink.STEPS)),
            known.steps.eq(one.sink is Sink.STEPS),
            known.activates.eq(one.sink is Sink.ACTIVATION),
            known.stages.eq(one.sink is Sink.STAGING),
            known.after.eq(one.after),
            known.scalar.eq(one.scalar),
            known.sets_s.eq(bool(one.s)),
            known.sets_t.eq(bool(one.t)),
            known.limited.eq(one.limited),
            known.absolute.eq(one.absolute),
        ]
        if one.route is None:
            with m.Switch(self.command.func):
                for code, chosen in enumerate(ACTIVATIONS):
                    with m.Case(code):
                        m.d.sync += [way[field].eq(value) for field, value in chosen.items()]
        else:
            m.d.sync += [way[field].eq(value) for field, value in one.route.items()]
        if one.b_if:
            there = self.command[one.b_if]
            m.d.sync += [known.uses_b.eq(there), way.gate.eq(there)]


Field = tuple[str, ...]
"""Where in a plan: names of members, and a level where it is of a path."""


def _numbers(one: Pass) -> dict[Field, Number]:
    """Return the names of a pass's numbers."""
    numbers: dict[Field, Number] = {
        ("words",): one.a.loops[0][0],
        ("s",): one.s,
        ("t",): one.t,
        ("limit",): one.limit,
        ("a_counted",): one.a_counted,
        ("b_counted",): one.b_counted,
    }
    for name, way in (("a", one.a), ("b", one.b), ("write", one.write)):
        if way:
            numbers[name, "base"] = way.base
            loops = (*way.loops, *[(1, 0)] * (LEVELS - len(way.loops)))
            for level, (count, stride) in enumerate(loops):
                numbers[name, "counts", str(level)] = count
                numbers[name, "strides", str(level)] = stride
    return numbers


def _choices() -> dict[Field, list[Number]]:
    """Return of each number of a plan all that it may be."""
    choices: dict[Field, list[Number]] = {}
    for routine in ROUTINES.values():
        for one in routine.passes:
            for field, name in _numbers(one).items():
                names = choices.setdefault(field, [])
                if name not in names:
                    names.append(name)
    return choices


def _field(view: View, field: Field) -> Value:
    """Return a number of a plan."""
    for name in field:
        view = view[int(name) if name.isdecimal() else name]
    return view
