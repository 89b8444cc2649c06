"""Comparison with a constant: every value, of every width."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from alula.gateware.arithmetic.compare import reaches

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("bound", [1, 2, 3, 8, 12, 32, 64, 100, 128])
def test_every_value(width: int, bound: int) -> None:
    value, result = Signal(width), Signal()
    m = Module()
    m.d.comb += result.eq(reaches(value, bound))

    async def look(ctx) -> None:
        for number in range(1 << width):
            ctx.set(value, number)
            assert ctx.get(result) == (number >= bound)

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()


def test_a_bound_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"^bound must be at least 1, not 0$"):
        reaches(Signal(4), 0)
