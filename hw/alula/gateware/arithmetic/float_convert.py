"""Between fp32 and integers."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import BIAS, pack, significand
from alula.gateware.arithmetic.leading_zeros import leading_zeros
from alula.gateware.arithmetic.shift import shift_right

__all__ = [
    "FIXED_LATENCY",
    "INT8_LATENCY",
    "INTEGER_LATENCY",
    "FloatToFixed",
    "FloatToInt8",
    "IntegerToFloat",
]

INTEGER_LATENCY = 3
FIXED_LATENCY = 3
INT8_LATENCY = 2


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
        """Magnitude; normalise; round."""
        m = Module()
        v1, v2 = Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), self.result_valid.eq(v2)]

        sign1, magnitude1 = Signal(), Signal(self.width)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.value[-1]),
                magnitude1.eq(Mux(self.value[-1], -self.value, self.value)),
            ]

        zeros = leading_zeros(m, magnitude1)
        sign2, exponent2, wide2 = Signal(), Signal(signed(9)), Signal(self.width)
        with m.If(v1):
            m.d.sync += [
                sign2.eq(sign1),
                exponent2.eq(Mux(magnitude1.any(), BIAS + self.width - 1 - zeros, 0)),
                wide2.eq(magnitude1 << zeros),
            ]

        with m.If(v2):
            m.d.sync += self.result.eq(pack(sign2, exponent2, wide2))
        return m


class FloatToFixed(wiring.Component):
    """`floor(x * 2**fraction + 1/2)`, saturated to `width` bits, a result each cycle.

    Args:
        width: bits of the result, 8 to 25.

    Members:
        valid (In): the argument is there.
        x (In): +0 or normal.
        fraction (In): bits after the point, 0 to 31.
        result_valid (Out): `valid`, `FIXED_LATENCY` cycles later.
        result (Out): signed, `width` bits.
    """

    def __init__(self, *, width: int) -> None:
        if not 8 <= width <= 25:
            raise ValueError(f"width must be 8 to 25, not {width!r}")
        self.width = width
        super().__init__(
            {
                "valid": In(1),
                "x": In(32),
                "fraction": In(5),
                "result_valid": Out(1),
                "result": Out(signed(width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """How far to shift; shift; round."""
        m = Module()
        v1, v2 = Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), self.result_valid.eq(v2)]

        # x * 2**fraction = significand * 2**-right
        right = Signal(signed(10))
        m.d.comb += right.eq(BIAS + 23 - self.x[23:31] - self.fraction)
        sign1, over1, shift1, significand1 = Signal(), Signal(), Signal(5), Signal(24)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.x[31]),
                over1.eq(right < 0),
                shift1.eq(right[:5] | right[5:].any().replicate(5)),
                significand1.eq(significand(self.x)),
            ]

        shifted, lost = shift_right(m, Cat(Const(0, 2), significand1), shift1)
        sign2, over2, shifted2, lost2 = Signal(), Signal(), Signal(26), Signal()
        with m.If(v1):
            m.d.sync += [
                sign2.eq(sign1),
                over2.eq(over1),
                shifted2.eq(shifted),
                lost2.eq(lost),
            ]

        # A half rounds towards +infinity. The magnitude m + up is negated as ~m + 1 - up.
        up = shifted2[1] & (~sign2 | shifted2[0] | lost2)
        magnitude, value = Signal(26), Signal(signed(26))
        m.d.comb += [
            magnitude.eq(shifted2[2:]),
            value.eq((magnitude ^ sign2.replicate(26)) + (up ^ sign2)),
        ]
        beyond = value[self.width - 1 :]
        top = (1 << self.width - 1) - 1
        with m.If(v2):
            with m.If(over2 | (beyond.any() & ~beyond.all())):
                m.d.sync += self.result.eq(Mux(sign2, ~top, top))
            with m.Else():
                m.d.sync += self.result.eq(value)
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
        """How far to shift; shift, round and clamp."""
        m = Module()
        v1 = Signal()
        m.d.sync += [v1.eq(self.valid), self.result_valid.eq(v1)]

        left = Signal(signed(12))
        m.d.comb += left.eq(self.x[23:31] - (BIAS - 1) - self.exponent)
        sign1, over1, shift1, significand1 = Signal(), Signal(), Signal(3), Signal(24)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.x[31]),
                over1.eq(left > 7),
                shift1.eq(left),
                significand1.eq(Mux(left < 0, 0, significand(self.x))),
            ]

        shifted = Signal(32)
        m.d.comb += shifted.eq(significand1 << shift1)
        up = shifted[23] & (shifted[:23].any() | shifted[24])
        rounded = Signal(8)
        m.d.comb += rounded.eq(shifted[24:31] + up)
        magnitude = Mux(rounded[7] | over1, 127, rounded[:7])
        with m.If(v1):
            m.d.sync += self.result.eq(Mux(sign1, -magnitude, magnitude))
        return m
