"""What the engines on memory, LD and ST, have in common."""

from collections.abc import Callable, Mapping

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Member, Out, Signature, connect, flipped

from alula.gateware.control.command import layout
from alula.gateware.control.fault import Code, Fault, FaultLatch
from alula.gateware.memory.read_master import ReadMaster, axi_address_bits
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.write_master import WriteMaster
from alula.isa.instructions import Engine

DECODING = ("Size", "End", "Compare", "Begin")
"""States from an instruction to its start, a cycle each: its sizes; where it ends; whether that
exists. What is known of it is registered when it begins.
"""


class MemoryEngine(Component):
    """An engine with a port for each memory channel, beside the vector buffer.

    Args:
        engine: Which.
        port: Makes a channel's port, of so many address bits and bytes.
        members: What it has beside the following.
        sizes: Of the memory.

    Members:
        command, done, busy, error: As docs/explanation/gateware.md says for every engine.
        axi: A port for each channel.
        cancel: Drop everything; stay so until reset.
        quiet: Memory owes nothing: a reset does no harm.
        starved, blocked: See `Activity`; while it holds instructions, of the cycle before.
    """

    def __init__(
        self,
        engine: Engine,
        port: Callable[[int, int], Signature],
        members: Mapping[str, Member],
        sizes: MemorySizes,
    ) -> None:
        self.sizes = sizes
        axi = port(axi_address_bits(sizes.beat_bits, sizes.beat_bytes), sizes.beat_bytes)
        super().__init__(
            {
                "command": In(stream.Signature(layout(engine))),
                "done": Out(1),
                "busy": Out(1),
                "error": Out(Fault),
                "axi": Out(axi).array(sizes.channels),
                "cancel": In(1),
                "quiet": Out(1),
                "starved": Out(1),
                "blocked": Out(1),
                **members,
            }
        )

    def attach(self, m: Module, master: ReadMaster | WriteMaster) -> tuple[FaultLatch, Value]:
        """Place what works the ports. Return the latch of the engine's faults, and if it stops.

        A fault cancels what is under way, as `cancel` does, a cycle later.
        """
        m.submodules.master = master
        m.submodules.latch = latch = FaultLatch(sources=2)
        for ours, theirs in zip(self.axi, master.axi, strict=True):
            connect(m, theirs, flipped(ours))
        stops = Signal()
        m.d.sync += stops.eq(self.cancel | (latch.fault.code != Code.NONE))
        m.d.comb += [
            master.cancel.eq(stops),
            self.error.eq(latch.fault),
            self.quiet.eq(master.quiet),
        ]
        return latch, stops
