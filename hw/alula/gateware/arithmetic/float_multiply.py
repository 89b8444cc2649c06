"""fp32 multiplication."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.dsp48e2 import PCIN_17, M, dsp48e2
from alula.gateware.arithmetic.float_format import BIAS, significand

LATENCY = 4
"""Cycles from operands to result."""

_LOW = 17
"""Bits of a factor that a signed multiplier of 18 bits takes; the others are multiplied apart."""


class FloatMultiply(wiring.Component):
    """`fl(a * b)`, a result each cycle.

    Stages: operands; product of the lower bits; product; normalise and round. A stage holds still
    while it has nothing valid. The 24 by 24 bits take two DSP48E2, the second of which adds.

    Members:
        valid (In): the operands are there.
        a, b (In): operands, +0 or normal.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    valid: In(1)
    a: In(32)
    b: In(32)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """One pipeline of `LATENCY` stages."""
        m = Module()
        v1, v2, v3 = Signal(), Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), v3.eq(v2), self.result_valid.eq(v3)]
        factors = [significand(self.a), significand(self.b)]
        product = Signal(48 - _LOW)
        rest = Signal(reset_less=True)
        if platform == "dsp48e2":
            self._blocks(m, factors, (v1, v2), product, rest)
        else:
            parts = platform == "mult18x18d"
            self._multiply(m, factors, (v1, v2), product, rest, parts=parts)
        self._round(m, self._exponent(m, v1, v2), product, rest, v3)
        return m

    def _multiply(
        self,
        m: Module,
        factors: list[Value],
        valid: tuple[Value, Value],
        product: Signal,
        rest: Signal,
        *,
        parts: bool,
    ) -> None:
        """The product of the next cycle but one, its lower bits as one; in `parts` of 18 bits."""
        a1, b1 = (Signal(24, name=f"{name}1", reset_less=True) for name in "ab")
        product3 = Signal.like(product, reset_less=True)
        m.d.comb += product.eq(product3)
        with m.If(self.valid):
            m.d.sync += Cat(a1, b1).eq(Cat(*factors))
        if not parts:
            product2 = Signal(48, reset_less=True)
            with m.If(valid[0]):
                m.d.sync += product2.eq(a1 * b1)
            with m.If(valid[1]):
                m.d.sync += [product3.eq(product2[_LOW:]), rest.eq(product2[:_LOW].any())]
            return
        pairs = [
            [Signal(2 * _LOW, name=f"product2_{i}{j}", reset_less=True) for j in range(2)]
            for i in range(2)
        ]
        pieces = [[one[:_LOW], one[_LOW:]] for one in (a1, b1)]
        with m.If(valid[0]):
            m.d.sync += [
                pairs[i][j].eq(pieces[0][i] * pieces[1][j]) for i in (0, 1) for j in (0, 1)
            ]
        middle = Cat(pairs[0][0][_LOW:], pairs[1][1][: 48 - 2 * _LOW])
        with m.If(valid[1]):
            m.d.sync += [
                product3.eq(middle + (pairs[0][1][:24] + pairs[1][0][:24])),
                rest.eq(pairs[0][0][:_LOW].any()),
            ]

    def _blocks(
        self,
        m: Module,
        factors: list[Value],
        valid: tuple[Value, Value],
        product: Signal,
        rest: Signal,
    ) -> None:
        """The same of two blocks, the second a cycle behind: it adds what the first has above."""
        a, b = factors
        low, cascade, high = Signal(48), Signal(48), Signal(48)
        m.d.comb += product.eq(high)
        given = {"A1": self.valid, "B1": self.valid}
        m.submodules.low = dsp48e2(
            M,
            inputs={"A": a, "B": b[:_LOW]},
            outputs={"P": low, "PCOUT": cascade},
            registers={"MREG": 0},
            enables={"A2": self.valid, "B2": self.valid, "P": valid[0]},
        )
        m.submodules.high = dsp48e2(
            M | PCIN_17,
            inputs={"A": a, "B": b[_LOW:], "PCIN": cascade},
            outputs={"P": high},
            registers={"AREG": 2, "BREG": 2, "MREG": 0},
            enables=given | {"A2": valid[0], "B2": valid[0], "P": valid[1]},
        )
        with m.If(valid[1]):
            m.d.sync += rest.eq(low[:_LOW].any())

    def _exponent(self, m: Module, v1: Value, v2: Value) -> tuple[Value, Value, Value, Value]:
        """Sign and sum of the exponents beside the product, and how near the sum is to the end.

        The exponent of a product whose top bit is 1 is the sum less `BIAS - 1`. A sum that is too
        large whatever the product is replaced by the largest that may do.
        """
        top = 254 + BIAS
        sign1, sign2, sign3 = (Signal(name=f"sign{stage}", reset_less=True) for stage in (1, 2, 3))
        sum1, sum2, sum3 = (Signal(9, name=f"sum{stage}", reset_less=True) for stage in (1, 2, 3))
        over2, over3 = (Signal(name=f"over{stage}", reset_less=True) for stage in (2, 3))
        last2, last3 = (Signal(name=f"last{stage}", reset_less=True) for stage in (2, 3))
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(self.a[31] ^ self.b[31]),
                sum1.eq(self.a[23:31] + self.b[23:31]),
            ]
        with m.If(v1):
            m.d.sync += [
                Cat(sign2, sum2).eq(Cat(sign1, sum1)),
                over2.eq(sum1 > top),
                last2.eq(sum1 == top),
            ]
        with m.If(v2):
            m.d.sync += Cat(sign3, sum3, over3, last3).eq(Cat(sign2, sum2, over2, last2))
            with m.If(over2):
                m.d.sync += sum3.eq(top)
        return sign3, sum3, over3, last3

    def _round(
        self,
        m: Module,
        exponent: tuple[Value, Value, Value, Value],
        product: Value,
        rest: Value,
        valid: Value,
    ) -> None:
        """Move left by a bit or not; to the nearest number, ties to even."""
        sign, exponents, over, last = exponent
        there = product[-1]
        above = Signal()
        m.d.comb += above.eq(over | (last & there))
        below = len(product) - 24
        half = Mux(there, product[below - 1], product[below - 2])
        under = product[: below - 2].any() | rest | (there & product[below - 2])
        odd = Mux(there, product[below], product[below - 1])
        # Where the largest exponent is reached without the top bit, it would be rounded up to more.
        full = last & product[below - 1 : -2].all()
        up = ties_to_even(half, under, odd) & ~above & ~full
        fraction = Mux(there, product[below:-1], product[below - 1 : -2]) | above.replicate(23)
        # The exponent is the sum - BIAS, and one more for the top bit; modulo 256.
        more = there & ~above
        change = Cat(~more, more, Const(0, 5), Const(1, 1))
        small = ~exponents[8] & ~exponents[7] & ~(exponents[:7].all() & there)
        magnitude = Cat(up, Const(0, 23), exponents[:8]) + Cat(up, fraction, change)
        rounded = Signal(32, reset_less=True)
        m.d.comb += self.result.eq(rounded)
        with m.If(valid):
            m.d.sync += rounded.eq(Cat(magnitude[1:32], sign))
            with m.If(small | ~product[-2:].any()):
                m.d.sync += rounded.eq(0)


def ties_to_even(half: Value, below: Value, odd: Value) -> Value:
    """Whether to round up: the first bit left out is 1, and another one is, or the last kept."""
    return half & (below | odd)
