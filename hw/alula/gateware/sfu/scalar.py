"""What becomes of a sum or a maximum before it goes back to the lanes."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_add import FloatAdd
from alula.gateware.arithmetic.float_format import ONE_127TH, rounds_up, to_bf16, widen
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.arithmetic.float_root import FloatRoot
from alula.gateware.hdl.repeat import shared
from alula.gateware.sfu import units


class Scalar(enum.Enum, shape=3):
    """What is computed.

    MEAN: `x * inv`. NORM: `rsqrt(x * inv + eps)`. RECIP: `recip(x)`. STEP: `x / 127`.
    KV: `c = bf16(x / 127)`, `recip(c)`, 0 where `c` is 0.
    """

    MEAN = 0
    NORM = 1
    RECIP = 2
    STEP = 3
    KV = 4


LATENCY = {
    Scalar.MEAN: units.MULTIPLY,
    Scalar.NORM: units.MULTIPLY + units.ADD + units.ROOT,
    Scalar.RECIP: units.ROOT,
    Scalar.STEP: units.MULTIPLY,
    Scalar.KV: units.MULTIPLY + 2 + units.ROOT,
}
"""Cycles from `x` to the result."""


class SfuScalar(wiring.Component):
    """A multiplier, an adder and a root in a row. MEAN and STEP take an `x` each cycle.

    Members:
        valid (In): `x` is there.
        operation (In): `Scalar`; holds still until the result.
        x (In): the argument.
        inv, eps (In): hold still until the result.
        result_valid, result (Out): the result.
        scale (Out): bf16, of KV; with the result and until the next one.
    """

    valid: In(1)
    operation: In(Scalar)
    x: In(32)
    inv: In(32)
    eps: In(32)
    result_valid: Out(1)
    result: Out(32)
    scale: Out(16)

    def elaborate(self, platform: object) -> Module:
        """The units and the muxes between them."""
        m = Module()
        multiply, add, root = FloatMultiply(), FloatAdd(), FloatRoot()
        m.submodules.multiply = shared(multiply)
        m.submodules.add = shared(add)
        m.submodules.root = shared(root)
        norm, recip, kv, small = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            norm.eq(self.operation == Scalar.NORM),
            recip.eq(self.operation == Scalar.RECIP),
            kv.eq(self.operation == Scalar.KV),
            small.eq((self.operation == Scalar.STEP) | kv),
        ]
        product, up, rounds, rounded = Signal(32), Signal(), Signal(), Signal()
        m.d.sync += [
            multiply.valid.eq(self.valid & ~recip),
            add.valid.eq(norm & multiply.result_valid),
            rounds.eq(kv & multiply.result_valid),
            rounded.eq(rounds),
        ]
        with m.If(self.valid):
            m.d.sync += multiply.a.eq(self.x)
            m.d.sync += multiply.b.eq(Mux(small, Const(ONE_127TH, 32), self.inv))
        with m.If(multiply.result_valid):
            m.d.sync += [add.a.eq(multiply.result), add.b.eq(self.eps)]
            m.d.sync += [product.eq(multiply.result), up.eq(rounds_up(multiply.result))]
        with m.If(rounds):
            m.d.sync += self.scale.eq(to_bf16(product, up))
        argued = Signal()
        m.d.comb += argued.eq(
            Mux(norm, add.result_valid, Mux(kv, rounded, self.valid & recip)),
        )
        m.d.sync += root.valid.eq(argued)
        with m.If(argued):
            m.d.sync += root.x.eq(Mux(norm, add.result, Mux(kv, widen(self.scale), self.x)))
        m.d.comb += root.root.eq(norm)
        with m.If(norm | recip | kv):
            m.d.comb += [
                self.result_valid.eq(root.result_valid),
                self.result.eq(Mux(kv & (self.scale == 0), 0, root.result)),
            ]
        with m.Else():
            m.d.comb += [
                self.result_valid.eq(multiply.result_valid),
                self.result.eq(multiply.result),
            ]
        return m
