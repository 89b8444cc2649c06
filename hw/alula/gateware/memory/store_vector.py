"""ST.V: a vector of fp32; and what stores nothing, ST.SYNC among it."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.arithmetic.quotient import quotient
from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.memory.pack import Pack
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store_runs import Storer, own
from alula.gateware.memory.write_master import beat_layout, channels_layout


class StoreVector(Storer):
    """Streams bursts, a beat a cycle; asks for words while it writes.

    Members: those of `Storer`, and
        number: Of this core; constant.
        request, word: A reader's ports of the vector buffer.
        transfer, beat: To `WriteMaster`.
        asks: The transfer has not been taken. packs: The last beat has not.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        super().__init__(
            sizes,
            {
                "number": In(range(max(2, sizes.cores))),
                "request": Out(stream.Signature(address_bits(sizes.words))),
                "word": In(stream.Signature(data.ArrayLayout(32, sizes.lanes))),
                "transfer": Out(stream.Signature(channels_layout(sizes.beat_bits, sizes.channels))),
                "beat": Out(stream.Signature(beat_layout(sizes.channels, sizes.beat_bytes))),
                "asks": Out(1),
                "packs": Out(1),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes, command = self.sizes, self.command
        m.submodules.pack = pack = Pack(
            channels=sizes.cores * sizes.channels,
            beat_bytes=sizes.beat_bytes,
            lanes=sizes.lanes,
            most=sizes.elements,
        )
        connect(m, flipped(self.word), pack.word)
        words, beats, nothing, excess, beyond = self._extent(m)
        asked, left = Signal(address_bits(sizes.words) + 1), Signal(range(sizes.words + 1))
        transfer, beat = self.transfer.payload, self.beat.payload
        held = Signal(len(transfer.transfer.beats))
        m.d.comb += [
            self.request.payload.eq(asked),
            self.request.valid.eq(left != 0),
            pack.count.eq(command.count),
            self.transfer.valid.eq(self.asks),
            transfer.transfer.address.eq(command.addr),
            transfer.transfer.beats.eq(held),
            transfer.channels.eq((1 << sizes.channels) - 1),
            self.beat.valid.eq(pack.beat.valid),
            beat.data.eq(own(sizes, self.number, pack.beat.payload.data, 8 * sizes.beat_bytes)),
            beat.strobe.eq(own(sizes, self.number, pack.beat.payload.strobe, sizes.beat_bytes)),
            pack.beat.ready.eq(self.beat.ready),
            self.packs.eq(pack.busy),
        ]
        with m.If(self.transfer.valid & self.transfer.ready):
            m.d.sync += self.asks.eq(0)
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [asked.eq(asked + 1), left.eq(left - 1)]
        with m.If(self.start):
            with m.If(nothing):
                m.d.comb += self.over.eq(1)
            with m.Elif(excess):
                self.refuse(m, Code.OUT_OF_RANGE, command.src)
            with m.Elif(beyond):
                self.refuse(m, Code.OUT_OF_RANGE, command.addr)
            with m.Else():
                m.d.comb += [self.over.eq(1), pack.start.eq(1)]
                m.d.sync += [self.asks.eq(1), held.eq(beats)]
                m.d.sync += [asked.eq(command.src), left.eq(words)]
        return m

    def _extent(self, m: Module) -> tuple[Signal, Signal, Signal, Signal, Signal]:
        """Return words and beats of the vector, and what its start depends on.

        That is: there is nothing to store; the vector buffer, or memory, ends before the vector.
        """
        sizes, command = self.sizes, self.command
        short = command.count[: sizes.elements.bit_length()]
        size = Signal(range(4 * sizes.elements + sizes.whole_width))
        words, beats = Signal(len(short) + 1), Signal(sizes.beat_bits + 8)
        nothing, long, excess, beyond = (Signal(name=name) for name in _FLAGS)
        end, memory_end = Signal(33), Signal(34)
        # Yosys makes fewer levels of this than of `quotient_up`; of LD's choice of sizes, more.
        m.d.comb += size.eq((short << 2) + (sizes.whole_width - 1))
        m.d.sync += [
            words.eq(quotient(short + (sizes.lanes - 1), sizes.lanes)),
            beats.eq(quotient(size, sizes.whole_width)),
            nothing.eq((command.opcode != opcode("ST.V")) | (command.count == 0)),
            long.eq(command.count > sizes.elements),
            end.eq(command.src + words),
            memory_end.eq(command.addr + beats),
            excess.eq(long | (end > sizes.words)),
            beyond.eq(memory_end > sizes.memory_beats),
        ]
        return words, beats, nothing, excess, beyond


_FLAGS = ("nothing", "long", "excess", "beyond")
