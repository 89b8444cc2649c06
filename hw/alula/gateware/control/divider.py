"""Unsigned division, one bit of the quotient a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

BITS = 32
LATENCY = BITS + 1
"""Cycles from `start` to `done`."""


class Divider(Component):
    """`quotient = dividend // divisor`, 32 bits, restoring.

    Members:
        dividend, divisor: Taken in the cycle of `start`. The divisor must not be 0.
        start: Begins a division; one that goes on is dropped.
        done: High for one cycle, `LATENCY` cycles after `start`.
        quotient: Valid with `done` and until the next `start`.
    """

    dividend: In(BITS)
    divisor: In(BITS)
    start: In(1)
    done: Out(1)
    quotient: Out(BITS)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        divisor, remainder = (
            Signal(BITS, name=name, reset_less=True) for name in ("divisor", "remainder")
        )
        left = Signal(range(BITS + 1))
        wide = Signal(BITS + 1)
        difference = Signal(BITS + 1)
        m.d.comb += [
            wide.eq(Cat(self.quotient[-1], remainder)),
            difference.eq(wide - divisor),
        ]
        fits = ~difference[-1] | wide[-1]
        m.d.sync += self.done.eq((left == 1) & ~self.start)
        with m.If(left != 0):
            m.d.sync += [
                remainder.eq(Mux(fits, difference, wide)),
                self.quotient.eq(Cat(fits, self.quotient[:-1])),
                left.eq(left - 1),
            ]
        with m.If(self.start):
            m.d.sync += [
                divisor.eq(self.divisor),
                remainder.eq(0),
                self.quotient.eq(self.dividend),
                left.eq(BITS),
            ]
        return m
