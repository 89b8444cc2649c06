"""Counting tokens: one counter for each ordered pair of engines."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.isa.instructions import TOKEN_LIMIT, Engine

COUNT = len(Engine)

_MASKS = data.ArrayLayout(COUNT, COUNT)


class Tokens(Component):
    """36 counters of 8 bits.

    A token given in one cycle is seen by `available` in the next.

    Members:
        wait: For each engine the engines from which its next instruction takes a token; bits as in
            `alula.isa.Engine`.
        available: For each engine, all tokens that its `wait` names are there. Stays high until
            they are taken, as nobody else takes them.
        missing: For each engine, which of them are not.
        take: For each engine, its `wait` is taken now; only where `available`.
        signal: For each engine the engines that it gives a token to.
        give: For each engine, its `signal` is given now.
        clear: All counters to zero.
        fault: A full counter was to grow, two cycles earlier or more; sticky until `clear`. `giver`
            and `taker` name its pair, the first one.
    """

    wait: In(_MASKS)
    available: Out(COUNT)
    missing: Out(_MASKS)
    take: In(COUNT)
    signal: In(_MASKS)
    give: In(COUNT)
    clear: In(1)
    fault: Out(1)
    giver: Out(range(COUNT))
    taker: Out(range(COUNT))

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        overflows = Signal(COUNT * COUNT)
        m.d.sync += self.fault.eq(self.fault | overflows.any())
        some = [[Signal(name=f"some_{a}_{b}") for b in range(COUNT)] for a in range(COUNT)]
        for giver in range(COUNT):
            for taker in range(COUNT):
                count = Signal(range(TOKEN_LIMIT + 1), name=f"count_{giver}_{taker}")
                up = self.give[giver] & self.signal[giver][taker]
                down = self.take[taker] & self.wait[taker][giver]
                m.d.comb += some[giver][taker].eq(count != 0)
                full = up & ~down & (count == TOKEN_LIMIT)
                m.d.sync += overflows[COUNT * giver + taker].eq(full)
                with m.If((up ^ down) & ~full):
                    m.d.sync += count.eq(count + Mux(down, -1, 1))
                with m.If(self.clear):
                    m.d.sync += count.eq(0)
        self._name(m, [overflows.word_select(giver, COUNT) for giver in range(COUNT)])
        for taker in range(COUNT):
            there = Cat(some[giver][taker] for giver in range(COUNT))
            m.d.comb += [
                self.missing[taker].eq(self.wait[taker] & ~there),
                self.available[taker].eq(~self.missing[taker].any()),
            ]
        with m.If(self.clear):
            m.d.sync += [self.fault.eq(0), overflows.eq(0)]
        return m

    def _name(self, m: Module, overflows: list[Value]) -> None:
        """Keep the first pair whose counter was full, of the bits of each giver."""
        takers = [Signal(range(COUNT), name=f"taker_{giver}") for giver in range(COUNT)]
        # The last assignment wins, so the first pair comes last.
        for giver in reversed(range(COUNT)):
            for taker in reversed(range(COUNT)):
                with m.If(overflows[giver][taker]):
                    m.d.comb += takers[giver].eq(taker)
            with m.If(overflows[giver].any() & ~self.fault):
                m.d.sync += [self.giver.eq(giver), self.taker.eq(takers[giver])]
