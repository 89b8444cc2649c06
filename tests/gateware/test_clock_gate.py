"""The clock passes where it is wanted, whole or not at all."""

from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, Timer
from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, Mismatch, Unit, case, each_case
from alula.gateware.hdl.clock_gate import ClockGate


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


@each_case(BENCH)
def test_clock_gate(case: BoundCase) -> None:
    case.check()


def test_a_target_that_does_not_exist() -> None:
    refuses(
        "target must be one of portable, dsp48e2, mult18x18d, not 'lattice'",
        lambda: ClockGate(target="lattice"),  # pyright: ignore[reportArgumentType]
    )
