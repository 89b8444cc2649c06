"""A stream through a register, forward alone."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["LATENCY", "RegisterSlice"]

LATENCY = 1
"""Cycles from an item's transfer into the slice to its offer."""


class RegisterSlice(Component):
    """Cuts the paths forward, of `valid` and payload; `ready` passes back through one LUT.

    It holds one item, half of a `SkidBuffer`'s registers. An item a cycle passes.

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
        m.d.comb += [
            items.ready.eq(~taken.valid | taken.ready),
            taken.payload.eq(offered),
        ]
        with m.If(items.ready):
            m.d.sync += taken.valid.eq(items.valid)
            with m.If(items.valid):
                m.d.sync += offered.eq(items.payload)
        return m
