"""The clock passes where it is wanted, whole or not at all; MISC's is wanted while it works."""

from collections import deque

from amaranth.hdl import ClockSignal, Module
from amaranth.lib.wiring import Component, Out, connect, flipped
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, Timer
from tests.gateware.refusals import refuses
from tests.gateware.sfu_machine import encoded
from tests.rtl.programs import NANO

from alula.bench import Bench, BoundCase, Mismatch, Unit, case, each_case
from alula.gateware.hdl.clock_gate import ClockGate
from alula.gateware.hdl.repeat import shared
from alula.gateware.sfu.engine import Sfu
from alula.gateware.top.core import SFU_TAIL, Core


@case
async def edges_that_are_wanted(unit: Unit) -> None:
    """What is wanted may still change while the clock is high."""
    gated = unit.dut.clock
    wanted = 0
    for number in range(400):
        await RisingEdge(unit.clock)
        unit.set(enable=unit.random.getrandbits(1))
        await ReadOnly()
        if number and int(gated.value) != wanted:
            raise Mismatch(f"an edge must be {('left out', 'passed')[wanted]} in cycle {number}")
        await FallingEdge(unit.clock)
        # At the clock's fall itself what counts is what was wanted before it.
        wanted = int(unit.wires["enable"].get())
        await ReadOnly()
        if int(gated.value):
            raise Mismatch(f"the clock must be low in the second half of cycle {number}")
        await Timer(1, "step")


BENCH = Bench("clock_gate", ClockGate, [edges_that_are_wanted])


class Clocked(Component):
    """MISC and its clock, as a core makes them."""

    def __init__(self) -> None:
        self._core = Core(design=NANO)
        self._sfu = Sfu(lanes=2, tokens=2)
        members = self._sfu.signature.members
        names = ("command", "busy", "a", "b", "write")
        super().__init__({name: members[name] for name in names} | {"clock": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._core._clocks(m, self._sfu)
        m.submodules.sfu = shared(self._sfu, "sfu")
        for name in ("a", "b", "write"):
            connect(m, flipped(getattr(self, name)), getattr(self._sfu, name))
        command = self._core.command_misc
        m.d.comb += [
            command.payload.eq(self.command.payload),
            command.valid.eq(self.command.valid),
            self.command.ready.eq(command.ready),
        ]
        m.d.comb += [self.busy.eq(self._sfu.busy), self.clock.eq(ClockSignal("sfu"))]
        return m


class Work:
    """Whether MISC held or was offered an instruction at an edge. Join it before other roles."""

    moved = False

    def __init__(self, unit: Unit) -> None:
        self.unit, self.wanted = unit, False

    def cycle(self) -> None:
        command = self.unit.inputs["command"]
        self.wanted = bool(self.unit.wires["busy"].get()) or command.valid_now()


@case
async def misc_works_or_stands(unit: Unit) -> None:
    """Its clock passes a cycle after an instruction comes, and for a tail; then it stands."""
    unit.join(work := Work(unit))
    for port in ("a", "b"):
        unit.respond(f"{port}__request", f"{port}__data", lambda _: [[0, 0]])
    unit.watch("write", lambda _: None)
    driver = unit.drive("command")
    act = encoded("ACT", {"func": "relu", "gated": 0, "dst": 0, "a": 0, "b": 0, "count": 9})
    pauses = deque([SFU_TAIL // 2, 2 * SFU_TAIL, SFU_TAIL // 3, SFU_TAIL - 3, 5 * SFU_TAIL, 9])
    begins = worked = quiet = before = 0
    ran = True
    while pauses:
        await unit.cycles()
        await ReadOnly()
        runs = bool(int(unit.dut.clock.value))
        before, quiet = quiet, 0 if work.wanted else quiet + 1
        worked += work.wanted
        if worked and runs != (before < SFU_TAIL):
            raise Mismatch(f"the clock must not be {runs:d}, {quiet} cycles after the work")
        begins += runs > ran
        ran = runs
        if quiet == pauses[0]:
            pauses.popleft()
            driver.send(act)
    if begins != 2 or worked < 5 * 9:
        raise Mismatch(f"the clock must begin again twice, not {begins} times; {worked} worked")


SFU_CLOCK = Bench("sfu_clock", Clocked, [misc_works_or_stands])


@each_case(BENCH, SFU_CLOCK)
def test_clock_gate(case: BoundCase) -> None:
    case.check()


def test_a_target_that_does_not_exist() -> None:
    refuses(
        "target must be one of portable, dsp48e2, mult18x18d, not 'lattice'",
        lambda: ClockGate(target="lattice"),  # pyright: ignore[reportArgumentType]
    )
