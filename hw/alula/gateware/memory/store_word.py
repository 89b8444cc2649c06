"""ST.W: one word of 32 bits."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from alula.gateware.control.fault import Code
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store_runs import Storer, run_layout


class StoreWord(Storer):
    """Writes one run, in the cycle of `start`.

    Members: those of `Storer`, and
        run: To `RunWriter`, which must be free.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        super().__init__(sizes, {"run": Out(stream.Signature(run_layout(sizes)))})

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        command, run, lane = self.command, self.run.payload, self.sizes.beat_bytes
        in_lane = lane.bit_length() - 1
        skipped, excess = Signal(range(self.sizes.whole_width)), Signal()
        m.d.sync += excess.eq(command.skip >= self.sizes.whole_width // 4)
        m.d.comb += [
            skipped.eq(command.skip << 2),
            run.address.eq(command.addr),
            run.channel.eq(skipped >> in_lane),
            run.data.eq(command.value.replicate(lane // 4)),
            run.strobe.eq(0b1111 << skipped[:in_lane]),
            self.over.eq(self.run.valid & self.run.ready),
        ]
        with m.If(self.start):
            with m.If(excess):
                self.refuse(m, Code.OUT_OF_RANGE, command.skip)
            with m.Else():
                m.d.comb += self.run.valid.eq(1)
        return m
