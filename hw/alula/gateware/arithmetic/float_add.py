"""fp32 addition."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import significand
from alula.gateware.arithmetic.normalise import normalise
from alula.gateware.arithmetic.shift import shift_right

LATENCY = 4
"""Cycles from operands to result; SUM of 16 lanes never waits because it is not more."""

_GUARD = 2
"""Bits below the larger operand's last: what a shift left by one brings in, and a half."""
_WIDTH = 1 + 24 + _GUARD


class FloatAdd(wiring.Component):
    """`fl(a + b)` or `fl(a - b)`, a result each cycle.

    Stages: swap by magnitude; align and add; normalise; round. A stage holds still while it has
    nothing valid.

    Members:
        valid (In): the operands are there.
        a, b (In): operands, +0 or normal.
        subtract (In): 1: a - b.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    valid: In(1)
    a: In(32)
    b: In(32)
    subtract: In(1)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """One pipeline of `LATENCY` stages."""
        m = Module()
        v1, v2, v3 = Signal(), Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), v3.eq(v2), self.result_valid.eq(v3)]
        self._swap(m)
        self._add(m, v1)
        self._normalise(m, v2)
        self._round(m, v3)
        return m

    def _swap(self, m: Module) -> None:
        """The operand of the larger magnitude first, and how far the other lies below.

        Exponents and fractions are compared side by side. If the exponent of `a` is less, the
        complement of their difference is the distance less one: the smaller operand moves by one
        before it is kept.
        """
        a, b = self.a[:31], self.b[:31]
        difference, less = Signal(9), Signal()
        m.d.comb += [difference.eq(a[23:] - b[23:]), less.eq(a[:23] < b[:23])]
        more = difference[8]
        swap = more | ((a[23:] == b[23:]) & less)
        distance = difference[:8] ^ more.replicate(8)
        small = Mux(swap, significand(a), significand(b))
        b_sign = self.b[31] ^ self.subtract

        self.sign1 = Signal(reset_less=True)
        self.differ1 = Signal(reset_less=True)
        self.exponent1 = Signal(8, reset_less=True)
        self.shift1 = Signal(5, reset_less=True)
        self.big1 = Signal(24, reset_less=True)
        self.small1 = Signal(25, reset_less=True)
        with m.If(self.valid):
            m.d.sync += [
                self.sign1.eq(Mux(swap, b_sign, self.a[31])),
                self.differ1.eq(self.a[31] ^ b_sign),
                self.exponent1.eq(Mux(swap, b[23:], a[23:])),
                self.shift1.eq(distance[:5] | distance[5:].any().replicate(5)),
                self.big1.eq(Mux(swap, significand(b), significand(a))),
                self.small1.eq(Mux(more, small, Cat(Const(0, 1), small))),
            ]

    def _add(self, m: Module, valid: Value) -> None:
        """What is lost at the low end is remembered apart: it decides how a half is rounded."""
        aligned, lost = shift_right(m, Cat(Const(0, _GUARD - 1), self.small1), self.shift1)
        self.sign2 = Signal(reset_less=True)
        self.differ2 = Signal(reset_less=True)
        self.lost2 = Signal(reset_less=True)
        self.exponent2 = Signal(8, reset_less=True)
        self.sum2 = Signal(_WIDTH, reset_less=True)
        base = Cat(Const(0, _GUARD), self.big1)
        # Both operands are longer by a bit, whose sum carries into them.
        addend = Cat(aligned, Const(0, 1)) ^ self.differ1.replicate(_WIDTH)
        with m.If(valid):
            m.d.sync += [
                self.sign2.eq(self.sign1),
                self.differ2.eq(self.differ1),
                self.lost2.eq(lost),
                self.exponent2.eq(self.exponent1),
                self.sum2.eq((Cat(self.differ1, base) + Cat(self.differ1, addend))[1:]),
            ]

    def _normalise(self, m: Module, valid: Value) -> None:
        """All but the last bit of the way."""
        total, exponent = self.sum2, self.exponent2
        moved, moves = normalise(m, total, 8, 2)
        self.sign3 = Signal(reset_less=True)
        self.above3 = Signal(reset_less=True)
        self.below3 = Signal(reset_less=True)
        self.exponent3 = Signal(signed(9), reset_less=True)
        self.moves3 = Signal(2, reset_less=True)
        self.sum3 = Signal(_WIDTH, reset_less=True)
        self.over3 = Signal(reset_less=True)
        self.whole3 = Signal(reset_less=True)
        # Larger than all numbers, or so large that it would be rounded up to that.
        ones = total[3 : _WIDTH - 2].all()
        over = (exponent == 254) & total[-1]
        full = ones & Mux(
            total[-1], (exponent == 253) & total[-2], (exponent == 254) & total[-2] & total[2]
        )
        with m.If(valid):
            m.d.sync += [
                self.sign3.eq(self.sign2),
                self.exponent3.eq(exponent - Cat(Const(0, 3), moves[2:])),
                self.moves3.eq(moves[:2]),
                self.sum3.eq(moved),
                self.above3.eq(self.lost2 & ~self.differ2),
                self.below3.eq(self.lost2 & self.differ2),
                self.over3.eq(over),
                self.whole3.eq(over | full),
            ]

    def _round(self, m: Module, valid: Value) -> None:
        """The last bit of the way; to the nearest number, ties to even."""
        total, exponent = self.sum3, self.exponent3
        there = total[-1]
        last, half, rest = (
            Mux(there, total[bit], total[bit - 1]) for bit in (_GUARD + 1, _GUARD, _GUARD - 1)
        )
        rest |= there & total[0]
        up = half & (rest | self.above3 | (last & ~self.below3)) & ~self.whole3
        fraction = Mux(there, total[3:-1], total[2:-2]) | self.over3.replicate(23)
        # The exponent moves by 1 - zeros, which are moves and ~there.
        high, low = self.moves3[1], self.moves3[0]
        change = Cat(there & ~self.over3, low, high ^ low, (high | low).replicate(5))
        zeros = Cat(~there, self.moves3)
        small = exponent[-1] | (~exponent[3:].any() & (exponent[:3] < zeros))
        magnitude = Cat(up, Const(0, 23), exponent[:8]) + Cat(up, fraction, change)
        rounded = Signal(32)  # which SUM resets to +0
        m.d.comb += self.result.eq(rounded)
        with m.If(valid):
            m.d.sync += rounded.eq(Cat(magnitude[1:32], self.sign3))
        # Not within the other: then synthesis joins it with the reset.
        with m.If(valid & (small | ~total[-2:].any())):
            m.d.sync += rounded.eq(0)
