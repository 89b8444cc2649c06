"""The pass that is to be run: numbers for the names of the table of passes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import LOG2E, ONE, clean
from alula.gateware.control.command import carried, layout, opcode
from alula.gateware.sfu.lane import route
from alula.gateware.sfu.passes import ACTIVATIONS, ROUTINES, After, Pass, Path, Sink
from alula.gateware.sfu.scalar import Scalar
from alula.gateware.sfu.walk import LEVELS, path
from alula.isa.formats import GROUP
from alula.isa.instructions import Engine

__all__ = ["SfuPlan", "plan"]

plan = StructLayout(
    {
        "a": path,
        "b": path,
        "write": path,
        "uses_b": 1,
        "route": route,
        "sink": Sink,
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
"""One pass, as `alula.gateware.sfu.passes.Pass`. `words`: of `a`; `offset`: lane of the row's first
element; `last`: the row's last pass."""

moves = StructLayout({"src": 16, "dst": 16, "elements": 1, "rows": 1, "heads": 1})
"""What changes between rows, as `alula.gateware.sfu.passes.Routine`."""


class SfuPlan(wiring.Component):
    """Combinational: the pass number `step` of the row that is being worked on.

    Args:
        lanes: fp32 values of a word.

    Members:
        command (In): the instruction.
        step (In): number of the pass.
        src, dst (In): first words of the row.
        count (In): valid elements of the row.
        offset (In): lane of the row's first element.
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
                "offset": In(4),
                "plan": Out(plan),
                "moves": Out(moves),
                "row_words": Out(16),
                "groups": Out(12),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One case an instruction, one in it a pass."""
        m = Module()
        named = self.quantities(m)
        with m.Switch(self.command["opcode"]):
            for name, routine in ROUTINES.items():
                with m.Case(opcode(name)):
                    m.d.comb += [
                        self.moves["src"].eq(named[routine.src]),
                        self.moves["dst"].eq(named[routine.dst]),
                        self.moves["elements"].eq(named[routine.elements]),
                        self.moves["rows"].eq(routine.rows),
                        self.moves["heads"].eq(routine.heads),
                    ]
                    with m.Switch(self.step):
                        for number, one in enumerate(routine.passes):
                            last = one is routine.passes[-1]
                            with m.Default() if last else m.Case(number):
                                self._set(m, one, named)
                                m.d.comb += self.plan["last"].eq(last)
        return m

    def quantities(self, m: Module) -> dict[str | int, Value]:
        """The numbers that the table of passes names, beside the instruction's fields."""
        command, lane_bits = self.command, (self.lanes - 1).bit_length()

        def words(elements: Value) -> Value:
            return (elements + (self.lanes - 1)) >> lane_bits

        fields = {name: command[name] for name in layout(Engine.MISC).fields}
        more_rows = Mux(command["step"], command["rows"][:8] - Const(1, 8), 0)
        derived = {
            "src": self.src,
            "dst": self.dst,
            "elements": self.count,
            "valid": words(self.count),
            "last_count": command["len"] + more_rows,
            "bias": command["gain"] + self.row_words,
            "b_words": Mux(command["broadcast"], 0, command["words"]),
            "whole": command["dim"] >> lane_bits,
            "half": command["dim"] >> lane_bits + 1,
            "dim_words": words(command["dim"]),
            "head_end": command["dim"] + self.offset,
            "group_words": Cat(Const(0, 5), self.groups) >> lane_bits,
        }
        for name, value in derived.items():
            derived[name] = Signal(17, name=name)
            m.d.comb += derived[name].eq(value)
        grouped = Mux(
            carried(command["opcode"], Engine.MISC, "len"), command["len"], command["dim"]
        )
        m.d.comb += [
            self.row_words.eq(words(command["len"][:17])),
            self.groups.eq((grouped[:17] + (GROUP - 1)) >> 5),
        ]
        last_count = derived["last_count"]
        return {
            **{number: Const(number, 2) for number in range(3)},
            **fields,
            **derived,
            "row": self.row_words,
            "last_valid": words(last_count),
            "all": (((last_count + (GROUP - 1)) >> 5) << 5) >> lane_bits,
            "head_words": words(derived["head_end"]),
            "zero": Const(0, 32),
            "one": Const(ONE, 32),
            "log2e": Const(LOG2E, 32),
            "": Const(0xFFFF, 32),
        }

    def _set(self, m: Module, one: Pass, named: dict[str | int, Value]) -> None:
        """Drive `plan` with a pass."""
        out, way = self.plan, self.plan["route"]
        self._walk(m, "a", one.a, named)
        m.d.comb += [
            out["words"].eq(named[one.a.loops[0][0]]),
            out["sink"].eq(one.sink),
            out["after"].eq(one.after),
            out["scalar"].eq(one.scalar),
            out["sets_s"].eq(bool(one.s)),
            out["s"].eq(clean(named[one.s])),
            out["sets_t"].eq(bool(one.t)),
            out["t"].eq(clean(named[one.t])),
            out["limited"].eq(one.limited),
            out["limit"].eq(named[one.limit]),
            out["absolute"].eq(one.absolute),
            out["offset"].eq(self.offset),
            out["a_counted"].eq(named[one.a_counted]),
            out["b_counted"].eq(named[one.b_counted]),
        ]
        if one.write:
            self._walk(m, "write", one.write, named)
        if one.route is None:
            with m.Switch(self.command["func"]):
                for code, chosen in enumerate(ACTIVATIONS):
                    with m.Case(code):
                        m.d.comb += [way[field].eq(value) for field, value in chosen.items()]
        else:
            m.d.comb += [way[field].eq(value) for field, value in one.route.items()]
        if one.b:
            self._walk(m, "b", one.b, named)
            m.d.comb += out["uses_b"].eq(1)
        if one.b_if:
            there = self.command[one.b_if]
            m.d.comb += [out["uses_b"].eq(there), way["gate"].eq(there)]

    def _walk(self, m: Module, name: str, way: Path, named: dict[str | int, Value]) -> None:
        loops = (*way.loops, *[(1, 0)] * (LEVELS - len(way.loops)))
        out = self.plan[name]
        m.d.comb += out["base"].eq(named[way.base])
        for level, (count, stride) in enumerate(loops):
            m.d.comb += [
                out["counts"][level].eq(named[count]),
                out["strides"][level].eq(named[stride]),
            ]
