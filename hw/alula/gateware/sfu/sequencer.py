"""An instruction's rows and passes, one after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from alula.gateware.control.command import carried, layout
from alula.gateware.control.fault import Code, Fault
from alula.gateware.sfu.check import SfuCheck
from alula.gateware.sfu.passes import After
from alula.gateware.sfu.plan import SfuPlan, plan
from alula.isa.instructions import Engine

__all__ = ["SfuSequencer", "place"]

place = StructLayout({"dst": 17, "slot": 8, "group": 18, "groups": 12})
"""Where a row's int8 go: `dst` of the row, its slot, the first group of its slot's row of groups;
`groups`: its groups."""


class SfuSequencer(wiring.Component):
    """Takes an instruction, sets up its passes one after the other, and says when it is done.

    Args:
        lanes: fp32 values of a word.
        tokens: rows that share an activation group, a power of two.

    Members:
        command, done, busy: as of every engine.
        over (In): nothing of the running pass is under way.
        reducing (In): a sum or a maximum is not finished.
        begin (Out): `instruction` is in its first cycle.
        instruction (Out): the instruction that is there.
        start (Out): the pass `next` starts.
        next (Out): the pass that starts with `start`.
        now (Out): the pass that runs, from the cycle after `start`; its paths' bases are `next`'s.
        running (Out): words of the pass may go.
        reduce (Out): the pass is over, and what it left is to be finished.
        place (Out): see `place`.
        refusal (Out): why it stopped: the instruction is never done.
    """

    def __init__(self, *, lanes: int, tokens: int) -> None:
        self.lanes = lanes
        self.tokens = tokens
        super().__init__(
            {
                "command": In(stream.Signature(layout(Engine.MISC))),
                "done": Out(1),
                "busy": Out(1),
                "over": In(1),
                "reducing": In(1),
                "begin": Out(1),
                "instruction": Out(layout(Engine.MISC)),
                "start": Out(1),
                "next": Out(plan),
                "now": Out(plan),
                "running": Out(1),
                "reduce": Out(1),
                "place": Out(place),
                "refusal": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The instruction, its row, its pass."""
        m = Module()
        m.submodules.plan = planner = SfuPlan(lanes=self.lanes)
        m.submodules.check = check = SfuCheck(lanes=self.lanes)
        command, now, step = self.instruction, Signal(plan), Signal(2)
        row = Signal(
            StructLayout({"src": 17, "elements": 17, "element": 16, "rows": 8, "heads": 8})
        )
        lane_bits = (self.lanes - 1).bit_length()
        m.d.comb += [
            planner.command.eq(command),
            planner.step.eq(step),
            planner.src.eq(row["src"] + (row["element"] >> lane_bits)),
            planner.dst.eq(self.place["dst"]),
            planner.count.eq(row["elements"]),
            planner.offset.eq(row["element"][:lane_bits]),
            check.command.eq(command),
            check.groups.eq(planner.groups),
            self.place["groups"].eq(planner.groups),
            self.next.eq(planner.plan),
            self.now.eq(now),
            self.busy.eq(1),
        ]
        m.d.comb += [
            self.now[name]["base"].eq(planner.plan[name]["base"]) for name in ("a", "b", "write")
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.command.ready.eq(1), self.busy.eq(0)]
                self._take(m, row)
                m.d.sync += step.eq(0)
                with m.If(self.command.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.begin.eq(1), self.refusal.eq(check.refusal)]
                rows_before = command["slot"][(self.tokens - 1).bit_length() : 8]
                m.d.sync += self.place["group"].eq(command["dst"] + rows_before * planner.groups)
                m.next = "SETUP"
                with m.If(check.nothing):
                    m.next = "DONE"
                with m.If(check.refusal["code"] != Code.NONE):
                    m.next = "STOPPED"
            with m.State("STOPPED"):
                pass
            with m.State("SETUP"):
                m.d.comb += self.start.eq(1)
                m.d.sync += now.eq(planner.plan)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.over & ~self.reducing):
                    m.d.comb += self.reduce.eq(now["after"] != After.NOTHING)
                    m.d.sync += step.eq(step + 1)
                    m.next = "SETUP"
                    with m.If(now["last"]):
                        m.next = "ROW"
            with m.State("ROW"), m.If(~self.reducing):
                m.d.sync += step.eq(0)
                m.next = "DONE"
                with m.If(self._next_row(m, row, planner)):
                    m.next = "SETUP"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _take(self, m: Module, row) -> None:
        """An instruction, and its first row."""
        new = self.command.payload
        has_length = carried(new["opcode"], Engine.MISC, "len")
        m.d.sync += [
            self.instruction.eq(new),
            row["src"].eq(new["src"]),
            row["elements"].eq(Mux(has_length, new["len"], new["count"])),
            row["element"].eq(0),
            row["rows"].eq(new["rows"]),
            row["heads"].eq(new["heads"]),
            self.place["dst"].eq(new["dst"]),
            self.place["slot"].eq(new["slot"][: (self.tokens - 1).bit_length()]),
        ]

    def _next_row(self, m: Module, row, planner: SfuPlan) -> Signal:
        """Go on to the next head or row; whether there is one."""
        moves, command, slot = planner.moves, self.instruction, self.place["slot"]
        last_head = Signal()
        m.d.comb += last_head.eq(~moves["heads"] | (row["heads"] == 1))
        m.d.sync += [
            self.place["dst"].eq(self.place["dst"] + moves["dst"]),
            row["heads"].eq(Mux(last_head, command["heads"], row["heads"] - 1)),
            row["element"].eq(Mux(last_head, 0, row["element"] + command["dim"])),
        ]
        with m.If(last_head):
            m.d.sync += [
                row["rows"].eq(row["rows"] - 1),
                row["src"].eq(row["src"] + moves["src"]),
                row["elements"].eq(row["elements"] + moves["elements"]),
                slot.eq(slot + 1),
            ]
            with m.If(slot == self.tokens - 1):
                m.d.sync += [
                    slot.eq(0),
                    self.place["group"].eq(self.place["group"] + planner.groups),
                ]
        more = Signal()
        m.d.comb += more.eq(moves["rows"] & ~((row["rows"] == 1) & last_head))
        return more
