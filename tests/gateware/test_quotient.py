"""Constants as factors and divisors: every value, of every width."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from alula.gateware.arithmetic.quotient import multiple, quotient, quotient_up

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("width", [1, 2, 7, 9])
@pytest.mark.parametrize("constant", [1, 2, 3, 5, 12, 15, 240, 1920, 1 << 40])
def test_every_value(width: int, constant: int) -> None:
    value = Signal(width)
    made = multiple(value, constant), quotient(value, constant), quotient_up(value, constant)
    results = [Signal(max(1, len(each))) for each in made]
    m = Module()
    m.d.comb += [result.eq(each) for result, each in zip(results, made, strict=True)]

    async def look(ctx) -> None:
        for number in range(1 << width):
            ctx.set(value, number)
            found = tuple(ctx.get(result) for result in results)
            assert found == (number * constant, number // constant, -(-number // constant))

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()


def test_constants_that_are_none() -> None:
    for divided in (quotient, quotient_up):
        with pytest.raises(ValueError, match=r"^divisor must be at least 1, not 0$"):
            divided(Signal(4), 0)
    with pytest.raises(ValueError, match=r"^factor must be at least 0, not -3$"):
        multiple(Signal(4), -3)
