"""A queue whose outputs are registers."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.hdl.level import level
from alula.gateware.hdl.skid_buffer import SkidBuffer

LATENCY = 2
"""Cycles from an item's transfer into an empty queue to its offer."""


class RegisteredFifo(Component):
    """A memory with a `SkidBuffer` behind it: `ready`, `valid` and payload are registers.

    An item a cycle passes. That one is taken, which is known late in a cycle, concerns the memory
    a cycle later. The memory has no read register, so it becomes LUTs: for few items.

    Args:
        shape: Of an item.
        depth: Items that it holds, two of them behind the memory; at least 4.

    Members:
        items: In stream. taken: Out stream of the same items, from `LATENCY` cycles later on.
    """

    def __init__(self, *, shape: ShapeLike, depth: int) -> None:
        if depth < 4:
            raise ValueError(f"depth must be at least 4, not {depth}")
        self.shape, self.depth = shape, depth
        super().__init__(
            {"items": In(stream.Signature(shape)), "taken": Out(stream.Signature(shape))}
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        items, most = self.items, self.depth - 2
        m.submodules.memory = memory = Memory(
            shape=self.shape, depth=1 << (most - 1).bit_length(), init=[]
        )
        m.submodules.behind = behind = SkidBuffer(shape=self.shape)
        write, read = memory.write_port(), memory.read_port(domain="comb")
        enters, leaves = Signal(), Signal()
        held = level(m, enters=enters, leaves=leaves, most=most, name="held")
        connect(m, flipped(self.taken), behind.taken)
        m.d.comb += [
            enters.eq(items.valid & held.room),
            leaves.eq(held.some & behind.items.ready),
            items.ready.eq(held.room),
            behind.items.valid.eq(held.some),
            behind.items.payload.eq(read.data),
            write.data.eq(items.payload),
            # Where there is room, nothing is lost by what is no item.
            write.en.eq(held.room),
        ]
        with m.If(enters):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(leaves):
            m.d.sync += read.addr.eq(read.addr + 1)
        return m
