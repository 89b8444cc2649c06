"""Operands of ROPE: words of both halves of a head joined with cosines and sines."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.buffers.ports import word


class SfuRotate(wiring.Component):
    """Two operations from two pairs of words: `x, cosine` and then `y, sine`.

    The first is `p * cosine - q * sine` of `p = x, q = y`, the second `p * cosine + q * sine` of
    `p = y, q = x`. The second is issued while the next first pair is taken.

    Args:
        lanes: fp32 values of a word.

    Members:
        go (In): words may go, until all of them have.
        room (In): an operation may be issued.
        words_valid (In): `a` and `b` are there.
        a, b (In): `x, cosine` or `y, sine`.
        take (Out): `a` and `b` are taken.
        issue (Out): an operation is issued.
        p, cosine, q, sine (Out): its operands.
        idle (Out): everything that was taken has been issued.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        words = {name: Out(word(lanes)) for name in ("p", "cosine", "q", "sine")}
        super().__init__(
            {
                "go": In(1),
                "room": In(1),
                "words_valid": In(1),
                "a": In(word(lanes)),
                "b": In(word(lanes)),
                "take": Out(1),
                "issue": Out(1),
                **words,
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Four registers of a word."""
        m = Module()
        x, cosine, y, sine = (Signal(word(self.lanes), reset_less=True) for _ in range(4))
        # The first pair is held; the second operation is due.
        held, due = Signal(), Signal()
        m.d.comb += [
            self.idle.eq(~held & ~due),
            self.p.eq(Mux(due, y, x)),
            self.q.eq(Mux(due, x, self.a)),
            self.cosine.eq(cosine),
            self.sine.eq(Mux(due, sine, self.b)),
        ]
        m.d.comb += [
            self.take.eq(self.go & self.room & self.words_valid),
            # Of words that went: `go` is still high.
            self.issue.eq(self.room & (due | (self.words_valid & held))),
        ]
        with m.If(self.room):
            m.d.sync += due.eq(0)
        with m.If(self.take):
            m.d.sync += [held.eq(~held), due.eq(held)]
        # Registers that are free follow what comes: that it is taken is known late.
        with m.If(~held & (~due | self.room)):
            m.d.sync += [x.eq(self.a), cosine.eq(self.b)]
        with m.If(~due):
            m.d.sync += [y.eq(self.a), sine.eq(self.b)]
        return m
