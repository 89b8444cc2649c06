"""The queue in front of an engine: holds what waits, remembers what is in flight."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.hdl import fifo
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.isa.instructions import QUEUE_DEPTH, Engine

IN_FLIGHT = 16
"""Instructions that an engine may have taken and not finished."""
LATENCY = fifo.LATENCY + 1
"""Cycles from `push` to `command` where the queue is empty and no token is missing."""
ADDRESS_BITS = 16
"""Program addresses, in instructions."""
_RECORD = data.StructLayout({"address": ADDRESS_BITS, "signal": len(Engine)})
"""What is known of an instruction in flight."""


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

    That an engine takes what it is offered comes late in a cycle, so it is seen to in the next one.
    An instruction that is taken flies from three cycles later on; one that is done gives its tokens
    in the next cycle.

    Args:
        shape: Of the engine's command.

    Members:
        push: Stream of `entry(shape)`.
        command: Stream to the engine.
        done: The oldest instruction in flight is done; not before two cycles after it was taken.
        wait, available, take, signal, give: To `Tokens`. Tokens are taken in the first cycle in
            which the command is offered.
        waits: `wait` is that of an instruction which waits for its tokens, or takes them.
        busy: An instruction waits or is in flight.
        held: A cycle ago one was at the head of the queue or in flight.
        took: One was taken that does not fly yet.
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
                "waits": Out(1),
                "available": In(1),
                "take": Out(1),
                "signal": Out(len(Engine)),
                "give": Out(1),
                "busy": Out(1),
                "held": Out(1),
                "took": Out(1),
                "flying": Out(1),
                "oldest": Out(ADDRESS_BITS),
                "newest": Out(ADDRESS_BITS),
                "next": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.waiting = waiting = RegisteredFifo(shape=entry(self.shape), depth=QUEUE_DEPTH)
        m.submodules.flying = flying = RegisteredFifo(shape=_RECORD, depth=IN_FLIGHT)
        connect(m, flipped(self.push), waiting.items)
        head, oldest = waiting.taken.payload, flying.taken.payload
        taken = self.command.valid & self.command.ready
        moves, moved = Signal(), Signal()
        waits = waiting.taken.valid & ~self.command.valid & ~moves
        m.d.comb += [
            self.command.payload.eq(head.command),
            self.wait.eq(head.wait),
            self.waits.eq(waits | self.take),
            waiting.taken.ready.eq(moves),
            flying.items.valid.eq(moves),
            flying.items.payload.address.eq(head.address),
            flying.items.payload.signal.eq(head.signal),
            flying.taken.ready.eq(self.give),
            self.signal.eq(oldest.signal),
            self.took.eq(moves | moved),
            self.flying.eq(flying.taken.valid),
            self.next.eq(head.address),
            self.oldest.eq(Mux(self.flying, oldest.address, head.address)),
        ]
        m.d.sync += [
            self.give.eq(self.done),
            moves.eq(taken),
            moved.eq(moves),
            self.take.eq(0),
        ]
        with m.If(taken):
            m.d.sync += self.command.valid.eq(0)
        with m.If(moves):
            m.d.sync += self.newest.eq(head.address)
        with m.If(waits & self.available & flying.items.ready):
            m.d.sync += [self.command.valid.eq(1), self.take.eq(1)]
        self._count(m, waiting.taken.valid)
        return m

    def _count(self, m: Module, waits: Value) -> None:
        """Count what came and has not given its tokens."""
        count, there = Signal(range(QUEUE_DEPTH + IN_FLIGHT + 1)), Signal()
        pushed = self.push.valid & self.push.ready
        with m.If(pushed & ~self.give):
            m.d.sync += count.eq(count + 1)
        with m.Elif(self.give & ~pushed):
            m.d.sync += count.eq(count - 1)
        m.d.sync += there.eq(waits)
        m.d.comb += [self.busy.eq(count != 0), self.held.eq(there | self.flying)]
