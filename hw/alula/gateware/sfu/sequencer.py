"""An instruction's rows and passes, one after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from alula.gateware.control.command import carried, layout
from alula.gateware.control.fault import Fault
from alula.gateware.sfu.check import SfuCheck
from alula.gateware.sfu.passes import After
from alula.gateware.sfu.plan import SfuPlan, plan
from alula.isa.instructions import Engine

place = StructLayout({"dst": 17, "slot": 8, "group": 18, "groups": 12})
"""Where a row's int8 go: `dst` of the row, its slot, the first group of its slot's row of groups;
`groups`: its groups."""

ways = StructLayout(
    {"alone": 1, "joint": 1, "rotate": 1, "scan": 1, "single": 1, "pairs": 1, "at_once": 1}
)
"""Words may go: `a` into the lanes, `a` and `b`, or both through the pairs of ROPE; or `a` past the
lanes. `single`: without a `b`; `pairs`: with one; `at_once`: one that is taken together with `a`.
"""

row_state = StructLayout(
    {"src": 17, "dst": 17, "elements": 17, "element": 16, "rows": 8, "heads": 8}
)
"""The row whose next pass is planned: its first words, its valid elements, the number of the first
one of its head; rows and heads left, this one among them."""


class SfuSequencer(wiring.Component):
    """Takes an instruction, sets up its passes one after the other, and says when it is done.

    Args:
        lanes: fp32 values of a word.
        tokens: rows that share an activation group, a power of two.

    Members:
        command, done, busy: as of every engine.
        over (In): nothing of the running pass is under way.
        reducing (In): a sum or a maximum is not finished; `reduces`: it is in this cycle.
        begin (Out): `instruction` is in its first cycle.
        instruction (Out): the instruction that is there.
        start (Out): the pass `now` starts; a register.
        start_b (Out): the same of a pass with a second operand; a register of its own.
        now (Out): the pass that runs, from `start` on; registers.
        go (Out): words of the pass may go, one of `ways`: nothing else is being
            reduced. Registers.
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
                "reduces": In(1),
                "begin": Out(1),
                "instruction": Out(layout(Engine.MISC)),
                "start": Out(1),
                "start_b": Out(1),
                "now": Out(plan),
                "go": Out(ways),
                "reduce": Out(1),
                "place": Out(place),
                "refusal": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The instruction, its row, its pass.

        BEGIN and CHECK: what follows from the instruction is worked out. DECIDE: whether it can be
        done, and its first pass; PLAN: the next pass. SETUP: it starts. ROW: a row's last pass is
        over; the next row has been planned since that pass started.
        """
        m = Module()
        m.submodules.plan = planner = SfuPlan(lanes=self.lanes)
        m.submodules.check = check = SfuCheck(lanes=self.lanes)
        command, now, row, before = (
            Signal(shape, name=name, reset_less=True) for name, shape in _KEPT.items()
        )
        place, step = self.place, Signal(2)
        # Behind the row or head that is worked on: another one follows; it is of another row.
        again, turned = Signal(), Signal()
        m.d.comb += [
            self.instruction.eq(command),
            self.now.eq(now),
            planner.command.eq(command),
            planner.step.eq(step),
            planner.src.eq(row.src),
            planner.dst.eq(row.dst),
            planner.count.eq(row.elements),
            planner.element.eq(row.element),
            check.command.eq(command),
            check.groups.eq(planner.groups),
            place.groups.eq(planner.groups),
            self.command.ready.eq(~self.busy),
        ]
        rows_before = command.slot[(self.tokens - 1).bit_length() : 8]
        m.d.sync += before.eq(rows_before * planner.groups)
        # `now` follows the plan where DECIDE or PLAN is the state: many bits depend on it. Which
        # pass is next is known from RUN on, as a plan is decoded a cycle after its step.
        plans = Signal()
        m.d.sync += [self.start.eq(0), self.start_b.eq(0), plans.eq(0)]
        with m.If(plans):
            m.d.sync += now.eq(planner.plan)
        starts = [self.start.eq(1), self.start_b.eq(planner.plan.uses_b)]
        goes = self._goes(now)
        with m.FSM():
            with m.State("IDLE"):
                self._take(m, command, row)
                m.d.sync += [step.eq(0), self.busy.eq(self.command.valid)]
                with m.If(self.command.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += self.begin.eq(1)
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += plans.eq(1)
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.sync += place.group.eq(command.dst + before)
                with m.If(check.refused):
                    m.next = "STOPPED"
                with m.Elif(check.nothing):
                    m.next = "DONE"
                with m.Else():
                    m.d.sync += starts
                    m.next = "SETUP"
            with m.State("STOPPED"):
                m.d.comb += self.refusal.eq(check.refusal)
            with m.State("PLAN"):
                m.d.sync += starts
                m.next = "SETUP"
            with m.State("SETUP"):
                m.d.sync += [*goes, step.eq(step + 1)]
                with m.If(now.last):
                    more, last_head = self._next_row(m, row, planner.moves)
                    m.d.sync += [step.eq(0), again.eq(more), turned.eq(last_head)]
                m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += goes
                with m.If(self.over & ~self.reducing):
                    m.d.comb += self.reduce.eq(now.after != After.NOTHING)
                    m.d.sync += [self.go.eq(0), plans.eq(~now.last)]
                    m.next = "PLAN"
                    with m.If(now.last):
                        m.next = "ROW"
            with m.State("ROW"), m.If(~self.reducing):
                self._next_place(m, row, turned)
                m.next = "DONE"
                with m.If(again):
                    m.d.sync += plans.eq(1)
                    m.next = "PLAN"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.d.sync += self.busy.eq(0)
                m.next = "IDLE"
        return m

    def _goes(self, now) -> list:
        """Say which way the words of a pass may go, once nothing else is being reduced."""
        reduced = ~self.reducing | self.reduces
        rotates, scans, joins = now.route.rotate, now.scans, now.uses_b & ~now.route.rotate
        kinds = {
            "alone": ~(scans | now.uses_b),
            "joint": joins,
            "rotate": rotates,
            "scan": scans,
            "single": ~now.uses_b,
            "pairs": now.uses_b,
            "at_once": now.uses_b & ~now.route.gate,
        }
        return [self.go[name].eq(reduced & kind) for name, kind in kinds.items()]

    def _take(self, m: Module, command, row) -> None:
        """An instruction, and its first row."""
        new = self.command.payload
        has_length = carried(new.opcode, Engine.MISC, "len")
        m.d.sync += [
            command.eq(new),
            row.src.eq(new.src),
            row.dst.eq(new.dst),
            row.elements.eq(Mux(has_length, new.len, new["count"])),
            row.element.eq(0),
            row.rows.eq(new.rows),
            row.heads.eq(new.heads),
            self.place.dst.eq(new.dst),
            self.place.slot.eq(new.slot[: (self.tokens - 1).bit_length()]),
        ]

    def _next_row(self, m: Module, row, moves) -> tuple[Signal, Signal]:
        """Go on to the next head or row. Return whether there is one, and whether it is a row."""
        last_head, more = Signal(), Signal()
        m.d.comb += [
            last_head.eq(~moves.heads | (row.heads == 1)),
            more.eq(moves.rows & ~((row.rows == 1) & last_head)),
        ]
        m.d.sync += [
            row.dst.eq(row.dst + moves.dst),
            row.heads.eq(Mux(last_head, self.instruction.heads, row.heads - 1)),
            row.element.eq(Mux(last_head, 0, row.element + self.instruction.dim)),
        ]
        with m.If(last_head):
            m.d.sync += [
                row.rows.eq(row.rows - 1),
                row.src.eq(row.src + moves.src),
                row.elements.eq(row.elements + moves.elements),
            ]
        return more, last_head

    def _next_place(self, m: Module, row, turned: Signal) -> None:
        """Go on to where the next head or row goes."""
        place = self.place
        m.d.sync += place.dst.eq(row.dst)
        with m.If(turned):
            m.d.sync += place.slot.eq(place.slot + 1)
            with m.If(place.slot == self.tokens - 1):
                m.d.sync += [place.slot.eq(0), place.group.eq(place.group + place.groups)]


_KEPT = {
    "command": layout(Engine.MISC),
    "now": plan,
    "row": row_state,
    "before": 18,
}
"""What is set before it is used: a reset leaves it."""
