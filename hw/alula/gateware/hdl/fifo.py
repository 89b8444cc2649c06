"""A queue whose outputs are registers."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.design.storage import SHALLOW
from alula.gateware.hdl.level import level

LATENCY = 2
"""Cycles from an item's transfer into an empty queue to its offer."""


class RegisteredFifo(Component):
    """A memory with a register behind it: `ready`, `valid` and payload are registers.

    An item a cycle passes. The memory is made of LUTs, however deep: for few items.

    Args:
        shape: Of an item.
        depth: Items that it holds, the offered one among them; at least 3.

    Members:
        items: In stream. taken: Out stream of the same items, from `LATENCY` cycles later on.
    """

    def __init__(self, *, shape: ShapeLike, depth: int) -> None:
        if depth < 3:
            raise ValueError(f"depth must be at least 3, not {depth}")
        self.shape, self.depth = shape, depth
        super().__init__(
            {"items": In(stream.Signature(shape)), "taken": Out(stream.Signature(shape))}
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        items, taken = self.items, self.taken
        most = self.depth - 1
        size = 1 << (most - 1).bit_length()
        attributes = {"ram_style": "distributed"} if size > SHALLOW else {}
        m.submodules.memory = memory = Memory(
            shape=self.shape, depth=size, init=[], attrs=attributes
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        offered = Signal(self.shape, reset_less=True)
        enters, leaves = Signal(), Signal()
        # Of `valid` the opposite: what all bits of an item depend on decides nothing else.
        vacant = Signal(init=1)
        held = level(m, enters=enters, leaves=leaves, most=most, name="held")
        m.d.comb += [
            enters.eq(items.valid & held.room),
            leaves.eq(held.some & (~taken.valid | taken.ready)),
            items.ready.eq(held.room),
            taken.payload.eq(offered),
            write.data.eq(items.payload),
            # Where there is room, nothing is lost by what is no item.
            write.en.eq(held.room),
        ]
        with m.If(enters):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(leaves):
            m.d.sync += read.addr.eq(read.addr + 1)
        with m.If(~taken.valid | taken.ready):
            m.d.sync += [taken.valid.eq(held.some), vacant.eq(~held.some)]
        with m.If(vacant | taken.ready):
            m.d.sync += offered.eq(read.data)
        return m
