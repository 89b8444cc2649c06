"""A stream through registers in both directions."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

LATENCY = 1
"""Cycles from an item's transfer into the buffer to its offer."""


class SkidBuffer(Component):
    """Cuts all paths between the sides of a stream: `valid`, payload and `ready` are registers.

    It holds two items: one that is offered, and one that came while nobody took the first. An item
    a cycle passes. An empty register follows what comes, whether or not it is an item: that it is,
    and that the first item is taken, is known late in a cycle.

    Args:
        shape: Of an item.

    Members:
        items: In stream. taken: Out stream of the same items, `LATENCY` cycles later.
    """

    def __init__(self, *, shape: ShapeLike) -> None:
        self.shape = shape
        super().__init__(
            {"items": In(stream.Signature(shape)), "taken": Out(stream.Signature(shape))}
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        items, taken = self.items, self.taken
        offered = Signal(self.shape, reset_less=True)
        held = Signal(self.shape, reset_less=True)
        # Of `held`, twice: one goes to all bits of an item, the other stays near. Neither they nor
        # `valid` have an enable or a reset of their own, in front of which there were a level more.
        full, empty, stays = Signal(), Signal(init=1), Signal()
        leaves = ~taken.valid | taken.ready
        m.d.comb += [
            items.ready.eq(empty),
            taken.payload.eq(offered),
            stays.eq(taken.valid & ~taken.ready & (~empty | items.valid)),
        ]
        m.d.sync += [
            taken.valid.eq((taken.valid & ~taken.ready) | ~empty | items.valid),
            empty.eq(~stays),
            full.eq(stays),
        ]
        with m.If(leaves):
            m.d.sync += offered.eq(Mux(full, held, items.payload))
        with m.If(~full):
            m.d.sync += held.eq(items.payload)
        return m
