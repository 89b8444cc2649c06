"""Between fp32 and integers."""

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import BIAS, significand
from alula.gateware.arithmetic.normalise import normalise
from alula.gateware.arithmetic.shift import shift_right

INTEGER_LATENCY = 4
FIXED_LATENCY = 3
INT8_LATENCY = 3

UNMOVED = BIAS + 23
"""The exponent of a number whose significand, unshifted, is an integer."""


class IntegerToFloat(wiring.Component):
    """`fl` of a signed integer, a result each cycle.

    Args:
        width: bits of the integer, 26 to 64.

    Members:
        valid (In): the integer is there.
        value (In): signed, `width` bits.
        result_valid (Out): `valid`, `INTEGER_LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    def __init__(self, *, width: int = 48) -> None:
        if not 26 <= width <= 64:
            raise ValueError(f"width must be 26 to 64, not {width!r}")
        self.width = width
        super().__init__(
            {
                "valid": In(1),
                "value": In(signed(width)),
                "result_valid": Out(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Magnitude; normalise by multiples of 4; the rest of the way; round."""
        m = Module()
        v1, v2, v3 = Signal(), Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), v3.eq(v2), self.result_valid.eq(v3)]

        sign1, magnitude1 = Signal(reset_less=True), Signal(self.width, reset_less=True)
        negative = self.value[-1]
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(negative),
                magnitude1.eq((self.value ^ negative.replicate(self.width)) + negative),
            ]

        coarse, moves = normalise(m, magnitude1, 16, 4)
        sign2, moves2 = Signal(reset_less=True), Signal(4, reset_less=True)
        wide2 = Signal(self.width, reset_less=True)
        with m.If(v1):
            m.d.sync += [sign2.eq(sign1), moves2.eq(moves), wide2.eq(coarse)]

        fine, move = normalise(m, wide2, 1)
        below = self.width - 24
        up = fine[below - 1] & (fine[: below - 1].any() | fine[below])
        sign3, up3 = Signal(reset_less=True), Signal(reset_less=True)
        some3 = Signal(reset_less=True)
        exponent3, digits3 = Signal(8, reset_less=True), Signal(23, reset_less=True)
        with m.If(v2):
            m.d.sync += [
                sign3.eq(sign2),
                up3.eq(up),
                some3.eq(fine[-1]),
                exponent3.eq(BIAS + self.width - 1 - Cat(move, moves2)),
                digits3.eq(fine[below:-1]),
            ]

        rounded = Signal(32, reset_less=True)
        m.d.comb += self.result.eq(rounded)
        with m.If(v3):
            m.d.sync += rounded.eq(Cat((Cat(digits3, exponent3) + up3)[:31], sign3))
            with m.If(~some3):
                m.d.sync += rounded.eq(0)
        return m


class FloatToFixed(wiring.Component):
    """`floor(x * 2**fraction + 1/2)`, saturated to 25 bits, a result each cycle.

    Members:
        valid (In): the argument is there.
        x (In): +0 or normal.
        unmoved (In): `UNMOVED - fraction`, the exponent of an `x` whose significand is the result.
        result_valid (Out): `valid`, `FIXED_LATENCY` cycles later.
        result (Out): signed.
    """

    valid: In(1)
    x: In(32)
    unmoved: In(8)
    result_valid: Out(1)
    result: Out(signed(25))

    def elaborate(self, platform: object) -> Module:
        """How far to shift; shift; round."""
        m = Module()
        v1, v2 = Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), self.result_valid.eq(v2)]

        right = Signal(signed(9))
        m.d.comb += right.eq(self.unmoved - self.x[23:31])
        sign1, over1 = Signal(reset_less=True), Signal(reset_less=True)
        shift1, significand1 = Signal(5, reset_less=True), Signal(24, reset_less=True)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.x[31]),
                over1.eq(right[-1]),
                shift1.eq(right[:5] | right[5:8].any().replicate(5)),
                significand1.eq(significand(self.x)),
            ]

        shifted, lost = shift_right(m, Cat(Const(0, 1), significand1), shift1)
        sign2, over2 = Signal(reset_less=True), Signal(reset_less=True)
        shifted2, lost2 = Signal(25, reset_less=True), Signal(reset_less=True)
        with m.If(v1):
            m.d.sync += [sign2.eq(sign1), over2.eq(over1), shifted2.eq(shifted), lost2.eq(lost)]

        # A half rounds towards +infinity. The magnitude m + up is negated as ~m + 1 - up; what is
        # too large is ~0 or its complement.
        up = shifted2[0] & (~sign2 | lost2)
        carry = (up ^ sign2) & ~over2
        magnitude = (shifted2[1:] | over2.replicate(24)) ^ sign2.replicate(24)
        fixed = Signal(25, reset_less=True)
        m.d.comb += self.result.eq(fixed)
        with m.If(v2):
            m.d.sync += fixed.eq((Cat(carry, magnitude, sign2) + carry)[1:])
        return m


class FloatToInt8(wiring.Component):
    """`x * 2**-exponent` to the nearest integer, ties to even, clamped to -127..127.

    Members:
        valid (In): the argument is there.
        x (In): +0 or normal.
        exponent (In): signed, 10 bits; at least -133, which is that of the smallest row of QUANT.
        result_valid (Out): `valid`, `INT8_LATENCY` cycles later.
        result (Out): signed, 8 bits.
    """

    valid: In(1)
    x: In(32)
    exponent: In(signed(10))
    result_valid: Out(1)
    result: Out(signed(8))

    def elaborate(self, platform: object) -> Module:
        """How far to shift; shift; round and clamp."""
        m = Module()
        v1, v2 = Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), self.result_valid.eq(v2)]

        # Bits before the point are x's exponent - (BIAS - 1) - exponent: two more than this.
        less = Signal(signed(12))
        m.d.comb += less.eq(Cat(self.x[23:30], ~self.x[30]).as_signed() - self.exponent)
        before = less + 2
        none = less[-1] & ~(less[1:-1].all())
        sign1, over1 = Signal(reset_less=True), Signal(reset_less=True)
        shift1, significand1 = Signal(3, reset_less=True), Signal(24, reset_less=True)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.x[31]),
                over1.eq(~less[-1] & (less[3:-1].any() | less[1:3].all())),
                shift1.eq(before[:3]),
                significand1.eq(significand(self.x)),
            ]
            with m.If(none):
                m.d.sync += significand1.eq(0)

        shifted = Signal(31)
        m.d.comb += shifted.eq(significand1 << shift1)
        sign2, over2 = Signal(reset_less=True), Signal(reset_less=True)
        half2, rest2 = Signal(reset_less=True), Signal(reset_less=True)
        whole2 = Signal(7, reset_less=True)
        with m.If(v1):
            m.d.sync += [
                Cat(sign2, over2).eq(Cat(sign1, over1)),
                Cat(half2, whole2).eq(shifted[23:]),
                rest2.eq(shifted[:23].any()),
            ]

        # What would round up to 128 stays 127. The magnitude m + up is negated as ~m + 1 - up.
        up = half2 & (rest2 | whole2[0]) & ~whole2.all() & ~over2
        carry = up ^ sign2
        magnitude = (whole2 | over2.replicate(7)) ^ sign2.replicate(7)
        rounded = Signal(8, reset_less=True)
        m.d.comb += self.result.eq(rounded)
        with m.If(v2):
            m.d.sync += rounded.eq((Cat(carry, magnitude, sign2) + carry)[1:])
        return m
