"""The queue in front of an engine: holds what waits, remembers what is in flight."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from alula.isa.instructions import Engine

__all__ = ["ADDRESS_BITS", "IN_FLIGHT", "LATENCY", "QUEUE_DEPTH", "Queue", "entry"]

QUEUE_DEPTH = 16
"""Instructions that wait in front of an engine before the sequencer must."""
IN_FLIGHT = 16
"""Instructions that an engine may have taken and not finished."""
LATENCY = 2
"""Cycles from `push` to `command` where the queue is empty and no token is missing."""
ADDRESS_BITS = 16
"""Program addresses, in instructions."""


def entry(command: ShapeLike) -> data.StructLayout:
    """An instruction as the sequencer dispatches it."""
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "wait": len(Engine),
            "signal": len(Engine),
            "command": command,
        }
    )


class Queue(Component):
    """Offers instructions in order, each once its tokens are there.

    Args:
        shape: Of the engine's command.

    Members:
        push: Stream of `entry(shape)`.
        command: Stream to the engine. Tokens are taken where the engine takes it.
        done: The oldest instruction in flight is done; not before the cycle after it was taken.
        wait, available, take, signal, give: To `Tokens`.
        busy: An instruction waits or is in flight.
        flying: An instruction is in flight.
        oldest: Address of the oldest instruction in flight, while there is one; of the one that
            waits at the head otherwise.
        newest: Address of the instruction that the engine took last. next: Of the one at the head.
    """

    def __init__(self, *, shape: ShapeLike) -> None:
        self.shape = shape
        super().__init__(
            {
                "push": In(stream.Signature(entry(shape))),
                "command": Out(stream.Signature(shape)),
                "done": In(1),
                "wait": Out(len(Engine)),
                "available": In(1),
                "take": Out(1),
                "signal": Out(len(Engine)),
                "give": Out(1),
                "busy": Out(1),
                "flying": Out(1),
                "oldest": Out(ADDRESS_BITS),
                "newest": Out(ADDRESS_BITS),
                "next": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        shape = entry(self.shape)
        width = Shape.cast(shape).width
        m.submodules.waiting = waiting = SyncFIFOBuffered(width=width, depth=QUEUE_DEPTH)
        record = data.StructLayout({"address": ADDRESS_BITS, "signal": len(Engine)})
        m.submodules.flying = flying = SyncFIFO(width=record.size, depth=IN_FLIGHT)
        head = Signal(shape)
        oldest = Signal(record)
        m.d.comb += [
            waiting.w_data.eq(self.push.payload),
            waiting.w_en.eq(self.push.valid),
            self.push.ready.eq(waiting.w_rdy),
            head.eq(waiting.r_data),
            self.wait.eq(Mux(waiting.r_rdy, head.wait, 0)),
            self.command.payload.eq(head.command),
            self.command.valid.eq(waiting.r_rdy & self.available & flying.w_rdy),
            self.take.eq(self.command.valid & self.command.ready),
            waiting.r_en.eq(self.take),
            flying.w_data.eq(Cat(head.address, head.signal)),
            flying.w_en.eq(self.take),
            flying.r_en.eq(self.done),
            oldest.eq(flying.r_data),
            self.signal.eq(oldest.signal),
            self.give.eq(self.done),
            self.busy.eq((waiting.level != 0) | flying.r_rdy),
            self.flying.eq(flying.r_rdy),
            self.next.eq(head.address),
            self.oldest.eq(Mux(flying.r_rdy, oldest.address, head.address)),
        ]
        with m.If(self.take):
            m.d.sync += self.newest.eq(head.address)
        return m
