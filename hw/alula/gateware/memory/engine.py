"""What the engines on memory, LD and ST, have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amaranth.hdl import Module, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped
from amaranth.utils import ceil_log2

from alula.gateware.control.command import layout
from alula.gateware.control.fault import Code, Fault, FaultLatch
from alula.gateware.memory.read_master import ReadMaster, axi_address_bits
from alula.gateware.memory.write_master import WriteMaster
from alula.isa.instructions import Engine

__all__ = ["MemoryEngine"]


class MemoryEngine(Component):
    """An engine with a port for each memory channel, beside the vector buffer.

    Parameters:
        channels, beat_bytes: Memory channels and the bytes of one channel's part of a beat.
        memory_beats: Beats of the memory.
        words, lanes: Of the vector buffer.
        cores: Cores that each have a part of every beat, this one among them.

    Members:
        command, done, busy, error: As docs/explanation/gateware.md says for every engine.
        axi: A port for each channel.
        cancel: Drop everything; stay so until reset.
        quiet: Memory owes nothing: a reset does no harm.
        starved, blocked: As of `Use`, while it holds instructions.
    """

    def __init__(
        self,
        engine: Engine,
        port: Callable[[int, int], Signature],
        members: Mapping[str, In | Out],
        *,
        channels: int,
        beat_bytes: int,
        memory_beats: int,
        words: int,
        lanes: int,
        cores: int,
    ) -> None:
        if memory_beats < 2:
            raise ValueError(f"memory_beats must be at least 2, not {memory_beats}")
        self.channels, self.beat_bytes = channels, beat_bytes
        self.memory_beats, self.words, self.lanes = memory_beats, words, lanes
        self.cores = cores
        self.beat_bits = ceil_log2(memory_beats)
        self.width = channels * beat_bytes
        self.whole_width = cores * self.width
        axi = port(axi_address_bits(self.beat_bits, beat_bytes), beat_bytes)
        super().__init__(
            {
                "command": In(stream.Signature(layout(engine))),
                "done": Out(1),
                "busy": Out(1),
                "error": Out(Fault),
                "axi": Out(axi).array(channels),
                "cancel": In(1),
                "quiet": Out(1),
                "starved": Out(1),
                "blocked": Out(1),
                **members,
            }
        )

    def attach(self, m: Module, master: ReadMaster | WriteMaster) -> tuple[FaultLatch, Value]:
        """Place what works the ports. Return the latch of the engine's faults, and if it has one.

        A fault cancels what is under way.
        """
        m.submodules.master = master
        m.submodules.latch = latch = FaultLatch(sources=2)
        for ours, theirs in zip(self.axi, master.axi, strict=True):
            connect(m, theirs, flipped(ours))
        stopped = latch.fault.code != Code.NONE
        m.d.comb += [
            master.cancel.eq(self.cancel | stopped),
            self.error.eq(latch.fault),
            self.quiet.eq(master.quiet),
        ]
        return latch, stopped
