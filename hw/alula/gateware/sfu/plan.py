"""The passes of every SFU instruction: what each reads, computes and leaves where."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_activation import EXP, NUMBERS
from alula.gateware.control.command import layout, opcode
from alula.gateware.sfu.lane import Entry, route
from alula.gateware.sfu.scalar import Scalar
from alula.gateware.sfu.walk import path
from alula.isa.formats import GROUP
from alula.isa.functions import FUNCTIONS, Function
from alula.isa.instructions import Engine

__all__ = ["After", "SfuPlan", "Sink", "plan"]


class Sink(enum.Enum, shape=3):
    """Where the words of a pass go. MAX and STEPS take them as they are read."""

    WRITE = 0
    SUM = 1
    WRITE_SUM = 2
    MAX = 3
    STEPS = 4
    PACK = 5


class Factor(enum.Enum, shape=2):
    """What the lanes' factor becomes when a pass is set up."""

    KEEP = 0
    LOG2E = 1
    ONE = 2


class After(enum.Enum, shape=2):
    """What becomes of a pass's sum or maximum."""

    NOTHING = 0
    SCALAR = 1
    TOP = 2
    BEST = 3


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
        "factor": Factor,
        "clear_s": 1,
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
"""One pass. `limit`: elements that count; `a_counted`, `b_counted`: words of a row that hold them;
`last`: the row's last pass."""


def _activation(way: View, function: Function) -> list:
    """How the lanes compute one of ACT's functions."""
    if function.table is None:
        return [way["entry"].eq(Entry.MULTIPLY), way["relu"].eq(1)]
    number = NUMBERS[function.table.name]
    return [way["entry"].eq(Entry.FUNCTION), way["function"].eq(number)]


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
                "row_words": Out(16),
                "groups": Out(12),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One case an instruction."""
        m = Module()
        command, out = self.command, self.plan
        lane_bits = (self.lanes - 1).bit_length()
        way = out["route"]

        def words(elements: Value) -> Value:
            return (elements + (self.lanes - 1)) >> lane_bits

        def walk(name: str, base: Value, *loops: tuple[Value | int, Value | int]) -> None:
            m.d.comb += out[name]["base"].eq(base)
            for level in range(4):
                count, stride = loops[level] if level < len(loops) else (1, 0)
                m.d.comb += out[name]["counts"][level].eq(count)
                m.d.comb += out[name]["strides"][level].eq(stride)

        def row(name: str, base: Value, count: Value) -> None:
            walk(name, base, (count, 1))
            if name == "a":
                m.d.comb += out["words"].eq(count)
            if name == "b":
                m.d.comb += [out["uses_b"].eq(1), way["gate"].eq(1)]

        last_count = Signal(17)
        m.d.comb += [
            self.row_words.eq(words(command["len"][:17])),
            last_count.eq(
                command["len"] + Mux(command["step"], command["rows"][:8] - Const(1, 8), 0)
            ),
            out["limit"].eq(self.count),
            out["offset"].eq(self.offset),
            out["a_counted"].eq(~0),
            out["b_counted"].eq(~0),
        ]
        group_words = Signal(16)
        m.d.comb += group_words.eq(Cat(Const(0, 5), self.groups) >> lane_bits)

        def case(name: str):
            return m.Case(opcode(name))

        multiply = [way["entry"].eq(Entry.MULTIPLY)]
        from_s = [way["entry"].eq(Entry.ADD), way["multiply"].eq(1)]
        with m.Switch(command["opcode"]):
            with case("RMSNORM"):
                m.d.comb += multiply
                row("a", self.src, self.row_words)
                with m.If(self.step == 0):
                    m.d.comb += [
                        way["square"].eq(1),
                        out["sink"].eq(Sink.SUM),
                        out["after"].eq(After.SCALAR),
                        out["scalar"].eq(Scalar.NORM),
                        out["limited"].eq(1),
                    ]
                with m.Else():
                    row("b", command["gain"], self.row_words)
                    row("write", self.dst, self.row_words)
                    m.d.comb += [out["limited"].eq(1), out["last"].eq(1)]
            with case("LAYERNORM"):
                row("a", self.src, self.row_words)
                m.d.comb += [out["limited"].eq(1), out["after"].eq(After.SCALAR)]
                with m.Switch(self.step):
                    with m.Case(0):
                        m.d.comb += [
                            way["entry"].eq(Entry.ADD),
                            out["clear_s"].eq(1),
                            out["sink"].eq(Sink.SUM),
                            out["scalar"].eq(Scalar.MEAN),
                        ]
                    with m.Case(1):
                        m.d.comb += from_s
                        m.d.comb += [
                            way["square"].eq(1),
                            out["sink"].eq(Sink.SUM),
                            out["scalar"].eq(Scalar.NORM),
                        ]
                    with m.Case(2):
                        m.d.comb += from_s
                        m.d.comb += out["after"].eq(After.NOTHING)
                        row("b", command["gain"], self.row_words)
                        row("write", self.dst, self.row_words)
                    with m.Default():
                        row("a", self.dst, self.row_words)
                        row("b", command["gain"] + self.row_words, self.row_words)
                        row("write", self.dst, self.row_words)
                        m.d.comb += [
                            way["gate"].eq(0),
                            way["entry"].eq(Entry.ADD),
                            way["operand"].eq(1),
                            out["after"].eq(After.NOTHING),
                            out["last"].eq(1),
                        ]
            with case("SOFTMAX"):
                valid_words = Signal(16)
                all_words = Signal(16)
                m.d.comb += [
                    valid_words.eq(words(self.count)),
                    all_words.eq((((last_count + (GROUP - 1)) >> 5) << 5) >> lane_bits),
                    out["limited"].eq(1),
                ]
                with m.Switch(self.step):
                    with m.Case(0):
                        row("a", self.src, valid_words)
                        m.d.comb += [out["sink"].eq(Sink.MAX), out["after"].eq(After.TOP)]
                    with m.Case(1):
                        row("a", self.src, valid_words)
                        row("write", self.src, valid_words)
                        m.d.comb += from_s
                        m.d.comb += [
                            way["exp"].eq(1),
                            way["function"].eq(EXP),
                            out["sink"].eq(Sink.WRITE_SUM),
                            out["after"].eq(After.SCALAR),
                            out["scalar"].eq(Scalar.RECIP),
                            out["factor"].eq(Factor.LOG2E),
                        ]
                    with m.Default():
                        row("a", self.src, all_words)
                        row("b", command["scale"], all_words)
                        m.d.comb += out["b_counted"].eq(words(last_count))
                        row("write", self.src, all_words)
                        m.d.comb += multiply
                        m.d.comb += out["last"].eq(1)
            with case("ROPE"):
                half, whole = Signal(10), Signal(10)
                m.d.comb += [
                    half.eq(command["dim"] >> lane_bits + 1),
                    whole.eq(command["dim"] >> lane_bits),
                    way["rotate"].eq(1),
                    out["uses_b"].eq(1),
                    out["last"].eq(1),
                ]
                heads, rows = command["heads"], command["rows"]
                place = ((2, half), (half, 1), (heads, whole), (rows, command["stride"]))
                walk("a", self.src, *place)
                walk("write", self.src, *place)
                walk("b", command["table"], (2, half), (half, 1), (heads, 0), (rows, whole))
            with case("ACT"):
                row("a", command["a"], command["count"])
                with m.If(command["gated"]):
                    row("b", command["b"], command["count"])
                row("write", self.dst, command["count"])
                m.d.comb += [
                    out["last"].eq(1),
                    out["factor"].eq(Factor.ONE),
                ]
                with m.Switch(command["func"]):
                    for code, function in enumerate(FUNCTIONS.values()):
                        with m.Case(code):
                            m.d.comb += _activation(way, function)
            with case("ADD"):
                length, rows = command["words"], command["rows"]
                walk("a", command["a"], (length, 1), (rows, length))
                walk("b", command["b"], (length, 1), (rows, Mux(command["broadcast"], 0, length)))
                walk("write", self.dst, (length, 1), (rows, length))
                m.d.comb += [
                    out["uses_b"].eq(1),
                    out["last"].eq(1),
                    way["entry"].eq(Entry.ADD),
                    way["operand"].eq(1),
                ]
            with case("QUANT"):
                m.d.comb += [self.groups.eq((command["len"][:17] + (GROUP - 1)) >> 5)]
                row("a", self.src, group_words)
                m.d.comb += out["a_counted"].eq(self.row_words)
                m.d.comb += [out["limited"].eq(1), out["absolute"].eq(1)]
                with m.If(self.step == 0):
                    m.d.comb += [out["sink"].eq(Sink.STEPS), out["scalar"].eq(Scalar.STEP)]
                    m.d.comb += out["after"].eq(After.SCALAR)
                with m.Else():
                    m.d.comb += from_s
                    m.d.comb += [out["clear_s"].eq(1), out["sink"].eq(Sink.PACK), out["last"].eq(1)]
            with case("QUANTKV"):
                m.d.comb += [self.groups.eq((command["dim"] + (GROUP - 1)) >> 5)]
                m.d.comb += [
                    out["limited"].eq(1),
                    out["absolute"].eq(1),
                    out["limit"].eq(command["dim"] + self.offset),
                    out["a_counted"].eq(words(out["limit"])),
                ]
                with m.If(self.step == 0):
                    row("a", self.src, words(command["dim"]))
                    m.d.comb += [
                        out["sink"].eq(Sink.MAX),
                        out["after"].eq(After.SCALAR),
                        out["scalar"].eq(Scalar.KV),
                    ]
                with m.Else():
                    row("a", self.src, group_words)
                    m.d.comb += multiply
                    m.d.comb += [out["sink"].eq(Sink.PACK), out["last"].eq(1)]
            with case("ARGMAX"):
                row("a", self.src, words(command["count"][:17]))
                m.d.comb += [
                    out["limited"].eq(1),
                    out["sink"].eq(Sink.MAX),
                    out["after"].eq(After.BEST),
                    out["last"].eq(1),
                ]
        return m
