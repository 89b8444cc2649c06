"""Writes of beats to all channels, or to some, in step."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import Burst, writer
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.memory.bursts import Bursts, transfer_layout
from alula.gateware.memory.read_master import axi_address_bits

OUTSTANDING = 32
"""Bursts that a channel may owe an answer for."""
LATENCY = 6
"""Cycles of a beat beside `bursts.LATENCY` and memory: its burst begins, its address and it are
dealt out and leave; its answer is taken and nothing is owed any more."""
_AHEAD = 4


def beat_layout(channels: int, beat_bytes: int) -> data.StructLayout:
    """A beat and the bytes of it that are written."""
    return data.StructLayout({"data": 8 * beat_bytes * channels, "strobe": beat_bytes * channels})


def channels_layout(beat_bits: int, channels: int) -> data.StructLayout:
    """A transfer, never metered, and the channels that it goes to."""
    return data.StructLayout({"transfer": transfer_layout(beat_bits), "channels": channels})


def _ahead_layout(channels: int) -> data.StructLayout:
    """A burst whose address has been handed on: its beats less one, and its channels."""
    return data.StructLayout({"last": 8, "channels": channels})


class WriteMaster(Component):
    """Turns transfers into bursts on the channels that they name, and deals out the beats.

    After an error nothing new begins; from a cycle after `cancel` on what is still owed to the
    channels is sent without strobes. All ports are registered.

    Args:
        channels: AXI ports, each with the same part of every beat.
        beat_bits: Width of a beat's address.
        beat_bytes: Bytes of one channel's part.

    Members:
        axi: The ports.
        transfer: Stream of `channels_layout(beat_bits, channels)`.
        beat: Stream of `beat_layout(channels, beat_bytes)`, as many as the transfers have.
        cancel: Drop everything; stay so until reset.
        error: A channel answered with an error; sticky, with `response` and `refused`, the first
            beat of the burst that was refused.
        quiet: Every transfer taken has been written and acknowledged.
    """

    def __init__(self, *, channels: int, beat_bits: int, beat_bytes: int) -> None:
        if channels < 1:
            raise ValueError(f"channels must be at least 1, not {channels}")
        self.channels, self.beat_bits, self.beat_bytes = channels, beat_bits, beat_bytes
        port = writer(axi_address_bits(beat_bits, beat_bytes), beat_bytes)
        super().__init__(
            {
                "axi": Out(port).array(channels),
                "transfer": In(stream.Signature(channels_layout(beat_bits, channels))),
                "beat": In(stream.Signature(beat_layout(channels, beat_bytes))),
                "cancel": In(1),
                "error": Out(1),
                "response": Out(2),
                "refused": Out(beat_bits),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.bursts = bursts = Bursts(beat_bits=self.beat_bits, beat_bytes=self.beat_bytes)
        drop, cutting, begins = Signal(), Signal(), Signal()
        chosen = Signal(self.channels)
        m.d.comb += [
            bursts.transfer.payload.eq(self.transfer.payload.transfer),
            bursts.transfer.valid.eq(self.transfer.valid & ~cutting & ~drop),
            self.transfer.ready.eq(bursts.transfer.ready & ~cutting & ~drop),
            begins.eq(self.transfer.valid & self.transfer.ready),
        ]
        m.d.sync += drop.eq(self.cancel | self.error)
        with m.If(begins):
            m.d.sync += [chosen.eq(self.transfer.payload.channels), cutting.eq(1)]
        start, asking = self._ask(m, bursts.burst, chosen, drop)
        with m.If(start & bursts.burst.payload.ends):
            m.d.sync += cutting.eq(0)
        open_ = self._deal(m, drop)
        owes = [self._answer(m, number, start & chosen[number]) for number in range(self.channels)]
        lengths = m.submodules.lengths
        moving = asking | open_ | lengths.r_rdy | Cat(owes).any() | (cutting & ~drop)
        m.d.sync += self.quiet.eq(~moving & ~begins & ~start)
        return m

    def _ask(
        self, m: Module, burst: stream.Interface, chosen: Value, drop: Value
    ) -> tuple[Signal, Signal]:
        """Show each burst to the channels that it names. Return whether one begins, or is shown."""
        start, asking = Signal(), Signal()
        held, left = Signal.like(burst.payload), Signal(self.channels)
        full, accepted = Signal(self.channels), Signal(self.channels)
        layout = _ahead_layout(self.channels)
        m.submodules.lengths = lengths = SyncFIFOBuffered(width=layout.size, depth=_AHEAD)
        m.d.comb += [
            start.eq(burst.valid & ~asking & ~drop & ~full.any() & lengths.w_rdy),
            burst.ready.eq(start),
            lengths.w_en.eq(start),
            lengths.w_data.eq(Cat(burst.payload.last, chosen)),
        ]
        with m.If(start):
            m.d.sync += [asking.eq(1), held.eq(burst.payload), left.eq(chosen)]
        with m.Elif(asking):
            m.d.sync += left.eq(left & ~accepted)
            with m.If((left & ~accepted) == 0):
                m.d.sync += asking.eq(0)
        power = (self.beat_bytes - 1).bit_length()
        shape = data.StructLayout({"address": self.beat_bits, "last": 8})
        for number, port in enumerate(self.axi):
            m.submodules[f"aw_{number}"] = buffer = SkidBuffer(shape=shape)
            owed = SyncFIFO(width=self.beat_bits, depth=OUTSTANDING)
            m.submodules[f"owed_{number}"] = owed
            m.d.comb += [
                buffer.items.payload.address.eq(held.address),
                buffer.items.payload.last.eq(held.last),
                buffer.items.valid.eq(asking & left[number]),
                accepted[number].eq(buffer.items.ready),
                port.awaddr.eq(buffer.taken.payload.address << power),
                port.awlen.eq(buffer.taken.payload.last),
                port.awsize.eq(power),
                port.awburst.eq(Burst.INCR),
                port.awvalid.eq(buffer.taken.valid),
                buffer.taken.ready.eq(port.awready),
                owed.w_data.eq(burst.payload.address),
            ]
            # Bursts begin two cycles apart or more.
            m.d.sync += full[number].eq(owed.level >= OUTSTANDING - 1)
        return start, asking

    def _deal(self, m: Module, drop: Value) -> Signal:
        """Send the beats of each burst to its channels. Return whether one is at hand."""
        lengths, layout = m.submodules.lengths, _ahead_layout(self.channels)
        now, coming = Signal(layout), Signal(layout)
        open_, last, moves = Signal(), Signal(), Signal()
        waits = Signal(self.channels)
        m.d.comb += [
            coming.eq(lengths.r_data),
            self.beat.ready.eq(open_ & ~drop & ~waits.any()),
            moves.eq(open_ & ~waits.any() & (self.beat.valid | drop)),
            lengths.r_en.eq(~open_ | (moves & last)),
        ]
        with m.If(lengths.r_en):
            m.d.sync += [open_.eq(lengths.r_rdy), now.eq(coming), last.eq(coming.last == 0)]
        with m.Elif(moves):
            m.d.sync += [now.last.eq(now.last - 1), last.eq(now.last == 1)]
        size = self.beat_bytes
        shape = data.StructLayout({"data": 8 * size, "strobe": size, "last": 1})
        for number, port in enumerate(self.axi):
            m.submodules[f"w_{number}"] = buffer = SkidBuffer(shape=shape)
            strobe = self.beat.payload.strobe.word_select(number, size)
            m.d.comb += [
                buffer.items.payload.data.eq(self.beat.payload.data.word_select(number, 8 * size)),
                buffer.items.payload.strobe.eq(strobe & ~drop.replicate(size)),
                buffer.items.payload.last.eq(last),
                buffer.items.valid.eq(moves & now.channels[number]),
                waits[number].eq(now.channels[number] & ~buffer.items.ready),
                port.wdata.eq(buffer.taken.payload.data),
                port.wstrb.eq(buffer.taken.payload.strobe),
                port.wlast.eq(buffer.taken.payload.last),
                port.wvalid.eq(buffer.taken.valid),
                buffer.taken.ready.eq(port.wready),
            ]
        return open_

    def _answer(self, m: Module, number: int, begins: Value) -> Value:
        """Take a channel's answers, a cycle after they come. Return whether it owes one."""
        port, owed = self.axi[number], m.submodules[f"owed_{number}"]
        answered, response = Signal(name=f"answered_{number}"), Signal(2, name=f"response_{number}")
        m.d.comb += [
            port.bready.eq(1),
            owed.w_en.eq(begins),
            owed.r_en.eq(answered),
        ]
        m.d.sync += [answered.eq(port.bvalid), response.eq(port.bresp)]
        with m.If(answered & response[1] & ~self.error):
            m.d.sync += [
                self.error.eq(1),
                self.response.eq(response),
                self.refused.eq(owed.r_data),
            ]
        return owed.r_rdy
