"""Writes of beats to all channels, or to some, in step."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import Burst, writer
from alula.gateware.memory.bursts import Bursts, transfer_layout
from alula.gateware.memory.read_master import axi_address_bits

__all__ = ["OUTSTANDING", "WriteMaster", "beat_layout", "channels_layout"]

OUTSTANDING = 32
"""Bursts that a channel may owe an answer for."""
_AHEAD = 4


def beat_layout(channels: int, beat_bytes: int) -> data.StructLayout:
    """A beat and the bytes of it that are written."""
    return data.StructLayout({"data": 8 * beat_bytes * channels, "strobe": beat_bytes * channels})


def channels_layout(beat_bits: int, channels: int) -> data.StructLayout:
    """A transfer, never metered, and the channels that it goes to."""
    return data.StructLayout({"transfer": transfer_layout(beat_bits), "channels": channels})


class WriteMaster(Component):
    """Turns transfers into bursts on the channels that they name, and deals out the beats.

    Data follow their address. After an error nothing new begins; while `cancel` is high what is
    still owed to the channels is sent without strobes.

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
        channels, size = self.channels, self.beat_bytes
        m.submodules.bursts = bursts = Bursts(beat_bits=self.beat_bits, beat_bytes=size)
        drop = Signal()
        chosen = Signal(channels)
        cutting = Signal()
        m.d.comb += [
            drop.eq(self.cancel | self.error),
            bursts.transfer.payload.eq(self.transfer.payload.transfer),
            bursts.transfer.valid.eq(self.transfer.valid & ~cutting & ~drop),
            self.transfer.ready.eq(bursts.transfer.ready & ~cutting & ~drop),
        ]
        with m.If(self.transfer.valid & self.transfer.ready):
            m.d.sync += [chosen.eq(self.transfer.payload.channels), cutting.eq(1)]

        # Addresses: one burst at a time, shown until every channel that it names has taken it.
        ahead = data.StructLayout({"last": 8, "channels": channels})
        m.submodules.lengths = lengths = SyncFIFO(width=ahead.size, depth=_AHEAD)
        asking, start = Signal(), Signal()
        held = Signal.like(bursts.burst.payload)
        left = Signal(channels)
        full, owes = Signal(channels), Signal(channels)
        accepted = Cat(port.awready for port in self.axi)
        m.d.comb += [
            start.eq(bursts.burst.valid & ~asking & ~drop & ~full.any() & lengths.w_rdy),
            bursts.burst.ready.eq(start),
            lengths.w_en.eq(start),
            lengths.w_data.eq(Cat(bursts.burst.payload.last, chosen)),
        ]
        with m.If(start):
            m.d.sync += [asking.eq(1), held.eq(bursts.burst.payload), left.eq(chosen)]
            with m.If(bursts.burst.payload.ends):
                m.d.sync += cutting.eq(0)
        with m.Elif(asking):
            m.d.sync += left.eq(left & ~accepted)
            with m.If((left & ~accepted) == 0):
                m.d.sync += asking.eq(0)

        # Data: a beat is held until every channel of its burst has taken its part.
        ahead_now = Signal(ahead)
        beat, there = Signal(beat_layout(channels, size)), Signal()
        waiting = Signal(channels)
        index, last = Signal(8), Signal()
        taken = Cat(port.wready for port in self.axi)
        gone, next_ready = Signal(), Signal()
        m.d.comb += [
            ahead_now.eq(lengths.r_data),
            gone.eq(there & ((waiting & ~taken) == 0)),
            next_ready.eq(lengths.r_rdy & (~there | gone)),
            self.beat.ready.eq(next_ready & ~drop),
        ]
        with m.If(there):
            m.d.sync += waiting.eq(waiting & ~taken)
        with m.If(gone):
            m.d.sync += there.eq(0)
        with m.If(next_ready & (self.beat.valid | drop)):
            m.d.sync += [
                there.eq(1),
                beat.eq(self.beat.payload),
                waiting.eq(ahead_now.channels),
                last.eq(index == ahead_now.last),
                index.eq(index + 1),
            ]
            with m.If(drop):
                m.d.sync += beat.strobe.eq(0)
            with m.If(index == ahead_now.last):
                m.d.comb += lengths.r_en.eq(1)
                m.d.sync += index.eq(0)

        moving = asking | there | lengths.r_rdy | owes.any()
        m.d.comb += self.quiet.eq(~moving & (~cutting | drop))
        for number, port in enumerate(self.axi):
            owed = SyncFIFO(width=self.beat_bits, depth=OUTSTANDING)
            m.submodules[f"owed_{number}"] = owed
            m.d.comb += [
                port.awaddr.eq(held.address << (size - 1).bit_length()),
                port.awlen.eq(held.last),
                port.awsize.eq((size - 1).bit_length()),
                port.awburst.eq(Burst.INCR),
                port.awvalid.eq(asking & left[number]),
                port.wdata.eq(beat.data.word_select(number, 8 * size)),
                port.wstrb.eq(beat.strobe.word_select(number, size)),
                port.wlast.eq(last),
                port.wvalid.eq(there & waiting[number]),
                port.bready.eq(1),
                full[number].eq(~owed.w_rdy),
                owes[number].eq(owed.r_rdy),
                owed.w_data.eq(bursts.burst.payload.address),
                owed.w_en.eq(start & chosen[number]),
                owed.r_en.eq(port.bvalid),
            ]
            with m.If(port.bvalid & port.bresp[1] & ~self.error):
                m.d.sync += [
                    self.error.eq(1),
                    self.response.eq(port.bresp),
                    self.refused.eq(owed.r_data),
                ]
        return m
