"""What MM or MV waits for."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.matrix.commands import PRODUCTS_AHEAD


class ProductUse(Component):
    """Says of one of the two engines whether it was starved or blocked a cycle ago; see `Activity`.

    Members:
        taken (In(1)): It takes a product.
        works (In(1)): The product whose blocks are next is its own.
        ends (In(1)): Some product's last block passes.
        there, passes (In(1)): A block and its activations are there; they pass.
        waits (In(1)): A result is not taken.
        starved, blocked (Out(1))
    """

    taken: In(1)
    works: In(1)
    ends: In(1)
    there: In(1)
    passes: In(1)
    waits: In(1)
    starved: Out(1)
    blocked: Out(1)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        left, ended = Signal(range(PRODUCTS_AHEAD + 1)), Signal()
        # That one ends is known late in a cycle: it leaves in the next.
        starves = Mux(self.works, ~self.there, left != ended)
        m.d.sync += [
            ended.eq(self.ends & self.works),
            left.eq(left + self.taken - ended),
            self.starved.eq(starves),
            self.blocked.eq(Mux(self.works, self.there & ~self.passes, self.waits) & ~starves),
        ]
        return m
